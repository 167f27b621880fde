"""Tree-structured Parzen estimator."""

from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from pydantic import Field

from trm.config.base import Written


class TPE(Written):
    """Optuna's tree-structured Parzen estimator, multivariate."""

    type: Literal["tpe"] = "tpe"
    """Names the sampler."""
    startup_trials: int = Field(5, ge=0)
    """Trials with a result before the estimator takes over from random draws."""
    candidates: int = Field(64, ge=1)
    """Draws from the good trials' density, of which the best is taken."""


class _JointTPE(TPESampler):  # type: ignore[misc]
    """Knobs without conditions are drawn together, the others one by one, which the space tells without a look at the history."""

    def __init__(self, joint: dict[str, BaseDistribution], **options: Any) -> None:
        super().__init__(**options)
        self._joint = {path: one for path, one in joint.items() if not one.single()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._joint

"""Tree-structured Parzen estimator."""

from typing import Any, ClassVar, Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from pydantic import Field

from trm.search.samplers.distributions import distribution
from trm.search.samplers.sampler import Ask, SamplerSettings


class TPE(SamplerSettings):
    """Optuna's tree-structured Parzen estimator, multivariate."""

    most_shown: ClassVar[int | None] = 2000
    """An ask grows with their number."""
    learns_from_earlier: ClassVar[bool] = True
    mixes_with_beliefs: ClassVar[bool] = True

    climb: ClassVar[float] = 2.25

    type: Literal["tpe"] = "tpe"
    """Names the sampler."""
    startup_trials: int = Field(5, ge=0)
    """Trials with a result before the estimator takes over from random draws."""
    candidates: int = Field(64, ge=1)
    """Draws from the good trials' density, of which the best is taken."""

    def sampler(self, ask: Ask) -> TPESampler:
        """Knobs without conditions are drawn together."""
        joint = {path: distribution(knob) for path, knob in sorted(ask.knobs.items()) if not knob.when}
        return _JointTPE(joint, seed=ask.seed, n_startup_trials=self.startup_trials, n_ei_candidates=self.candidates)


class _JointTPE(TPESampler):  # type: ignore[misc]
    """Knobs without conditions are drawn together, the others one by one, which the space tells without a look at the history."""

    def __init__(self, joint: dict[str, BaseDistribution], **options: Any) -> None:
        super().__init__(**options)
        self._joint = {path: one for path, one in joint.items() if not one.single()}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._joint

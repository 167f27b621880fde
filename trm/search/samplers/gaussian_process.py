"""Gaussian process."""

from typing import Any, ClassVar, Literal

from optuna.distributions import BaseDistribution
from optuna.samplers import GPSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial
from pydantic import Field

from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.space.rules import leaves_kept_constraints_out


class GaussianProcess(SamplerSettings):
    """Optuna's Gaussian process (needs scipy and torch); it learns from all scored trials, of fronts from finished ones."""

    most_shown: ClassVar[int | None] = 250
    """An ask grows with the cube of their number."""
    reads_ranks: ClassVar[bool] = False
    reads_finished_alone: ClassVar[bool] = True
    learns_from_earlier: ClassVar[bool] = True
    mixes_with_beliefs: ClassVar[bool] = True

    type: Literal["gp"] = "gp"
    """Names the sampler."""
    startup_trials: int = Field(10, ge=1)
    """Scored trials before the process takes over from random draws."""

    def sampler(self, ask: Ask) -> GPSampler:
        """Warns of nothing where a knob is drawn by itself."""
        kind = _Process if leaves_kept_constraints_out(ask.rules) else GPSampler
        return kind(seed=ask.seed, n_startup_trials=self.startup_trials, warn_independent_sampling=False)


class _Process(GPSampler):  # type: ignore[misc]
    """Fits no second process to constraints that all trials keep, which would say nothing and takes half of an ask."""

    def _sample_relative_impl(
        self, study: Study, completed: list[FrozenTrial], running: list[FrozenTrial], space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if all(value <= 0 for one in completed for value in one.constraints.values()):
            completed = [
                create_trial(state=one.state, values=one.values, params=one.params, distributions=one.distributions)
                for one in completed
            ]
        return dict(super()._sample_relative_impl(study, completed, running, space))

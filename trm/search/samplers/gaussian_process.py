"""Gaussian process."""

from typing import ClassVar, Literal

from optuna.samplers import GPSampler
from pydantic import Field

from trm.search.samplers.sampler import Ask, SamplerSettings


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
        return GPSampler(seed=ask.seed, n_startup_trials=self.startup_trials, warn_independent_sampling=False)

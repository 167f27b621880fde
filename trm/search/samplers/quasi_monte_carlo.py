"""Quasi-Monte Carlo sequences."""

from typing import Any, Literal

import optuna
from optuna.samplers import QMCSampler
from optuna.study import Study

from trm.config.base import Written


class QuasiMonteCarlo(Written):
    """Optuna's low-discrepancy sequences (needs scipy); conditional knobs are drawn at random."""

    type: Literal["qmc"] = "qmc"
    """Names the sampler."""
    sequence: Literal["sobol", "halton"] = "sobol"
    """Which sequence."""


class _Sequence(QMCSampler):  # type: ignore[misc]
    """Optuna counts a sequence's points in the study, which is rebuilt at every ask: here the trial's number is the count."""

    def __init__(self, kind: str, sequence_seed: int, trial_seed: int, number: int) -> None:
        super().__init__(
            qmc_type=kind,
            scramble=True,
            seed=sequence_seed,
            independent_sampler=optuna.samplers.RandomSampler(seed=trial_seed),
            warn_independent_sampling=False,
        )
        self._next_point = number

    def _find_sample_id(self, study: Study, search_space: Any) -> int:
        self._next_point += 1
        return self._next_point - 1

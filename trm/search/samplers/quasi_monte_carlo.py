"""Quasi-Monte Carlo sequences."""

from typing import Any, Literal

import optuna
from optuna.samplers import QMCSampler
from optuna.study import Study

from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.seeds import derived_seed


class QuasiMonteCarlo(SamplerSettings):
    """Optuna's low-discrepancy sequences (needs scipy); conditional knobs are drawn at random."""

    type: Literal["qmc"] = "qmc"
    """Names the sampler."""
    sequence: Literal["sobol", "halton"] = "sobol"
    """Which sequence."""

    def sampler(self, ask: Ask) -> QMCSampler:
        """Point `number` of the sweep's sequence."""
        return _Sequence(self.sequence, derived_seed(ask.sweep_seed, "sequence", bits=32), ask.seed, ask.number)


class _Sequence(QMCSampler):  # type: ignore[misc]
    """Optuna counts a sequence's points in the study's attributes, which no journal holds: here the trial's number is the count."""

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

"""Rungs: amounts of the sweep's fidelity at which a trial is scored, and the steps they mean for one configuration."""

import math
from dataclasses import dataclass

from trm.search.schedulers.settings import Asha, Hyperband, MedianStopping, PopulationBasedTraining, Scheduler, SuccessiveHalving

ETA = RUNGS = 3
"""What stands for `eta` and `rungs` of a scheduler that leaves them open, as long as nobody has chosen (`ladder.py`)."""


@dataclass(frozen=True)
class Rungs:
    """Amount of fidelity at each rung, growing; the last is the whole length of a trial."""

    amounts: tuple[float, ...]
    eta: int
    """One in so many goes on from a rung; 1: every one."""

    @staticmethod
    def of(scheduler: Scheduler, per_trial: float) -> "Rungs":
        """The scheduler's rungs up to `per_trial`.

        Geometric for halving: rung k of R at per_trial / eta^(R - 1 - k). At even distances for median stopping and populations.
        Without a scheduler, one rung.
        """
        match scheduler:
            case Asha() | SuccessiveHalving() | Hyperband():
                eta, rungs = scheduler.eta or ETA, scheduler.rungs or RUNGS
                return Rungs(tuple(per_trial / eta**power for power in range(rungs - 1, -1, -1)), eta)
            case MedianStopping() | PopulationBasedTraining():
                count = scheduler.rungs if isinstance(scheduler, MedianStopping) else scheduler.generations
                return Rungs(tuple(per_trial * (index + 1) / count for index in range(count)), 1)
            case _:
                return Rungs((per_trial,), 1)

    @property
    def last(self) -> int:
        """Index of the last rung."""
        return len(self.amounts) - 1

    def steps(self, step_amount: float) -> tuple[int, ...]:
        """Optimizer steps at each rung for a configuration whose step takes `step_amount`: at least the rung's amount."""
        return tuple(max(1, math.ceil(amount / step_amount * (1 - 1e-12))) for amount in self.amounts)


def first_rung_need(warmup_steps: int, halt_max_steps: int) -> int:
    """Steps before a score means something: 100, two warm-ups, four times the longest stay of a puzzle (DESIGN 4)."""
    return max(100, 2 * warmup_steps, 4 * halt_max_steps)

"""Rungs: amounts of training FLOPs at which a trial is scored, and the steps they mean for one configuration."""

import math
from dataclasses import dataclass

from trm.search.settings import Asha, Scheduler


@dataclass(frozen=True)
class Rungs:
    """Training FLOPs of each rung, growing; the last is the whole budget of a trial."""

    flops: tuple[float, ...]
    eta: int

    @staticmethod
    def of(scheduler: Scheduler, train_flops: float) -> "Rungs":
        """Geometric rungs up to `train_flops`: rung k of R has train_flops / eta^(R - 1 - k). Without a scheduler, one rung."""
        if isinstance(scheduler, Asha):
            powers = range(scheduler.rungs - 1, -1, -1)
            return Rungs(tuple(train_flops / scheduler.eta**power for power in powers), scheduler.eta)
        return Rungs((train_flops,), 1)

    @property
    def last(self) -> int:
        """Index of the last rung."""
        return len(self.flops) - 1

    def steps(self, step_flops: float) -> tuple[int, ...]:
        """Optimizer steps at each rung for a configuration whose step costs `step_flops`: at least the rung's FLOPs."""
        return tuple(max(1, math.ceil(flops / step_flops * (1 - 1e-12))) for flops in self.flops)


def first_rung_need(warmup_steps: int, halt_max_steps: int) -> int:
    """Steps before a score means something: 100, two warm-ups, four times the longest stay of a puzzle (DESIGN 4)."""
    return max(100, 2 * warmup_steps, 4 * halt_max_steps)

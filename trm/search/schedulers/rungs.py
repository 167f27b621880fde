"""Rungs: amounts of the sweep's fidelity at which a trial is scored, and the steps they mean for one configuration."""

from dataclasses import dataclass

from trm.config.step_costs import SLACK, StepCosts

ETA = RUNGS = 3
"""What stands for `eta` and `rungs` of a scheduler that leaves them open, as long as nobody has chosen (`rung_choice.py`)."""


@dataclass(frozen=True)
class Rungs:
    """Amount of fidelity at each rung, growing; the last is the whole length of a trial."""

    amounts: tuple[float, ...]
    eta: int
    """One in so many goes on from a rung; 1: every one."""

    @staticmethod
    def geometric(per_trial: float, eta: int, count: int) -> "Rungs":
        """Rung k of `count` at per_trial / eta^(count - 1 - k); one in `eta` goes on."""
        return Rungs(tuple(per_trial / eta**power for power in range(count - 1, -1, -1)), eta)

    @staticmethod
    def even(per_trial: float, count: int) -> "Rungs":
        """`count` rungs at even distances, from which every trial goes on."""
        return Rungs(tuple(per_trial * (index + 1) / count for index in range(count)), 1)

    @property
    def last(self) -> int:
        """Index of the last rung."""
        return len(self.amounts) - 1

    def begin_soon(self, trials: int, slots: int) -> bool:
        """Whether so many trials come to the first rung side by side within half the time that one takes to the last.

        Nothing that a finished trial tells would then be known before the last of them begins.
        """
        return 2 * trials * self.amounts[0] <= slots * self.amounts[-1] * (1 + 1e-9)

    def steps(self, amounts: StepCosts) -> tuple[int, ...]:
        """Optimizer steps at each rung for a configuration whose steps take `amounts`: at least the rung's amount."""
        return tuple(amounts.steps_for(amount, slack=SLACK) for amount in self.amounts)


def first_rung_need(warmup_steps: int, halt_max_steps: int) -> int:
    """Steps before a score means something: 100, two warm-ups, four times the longest stay of a puzzle (DESIGN 4)."""
    return max(100, 2 * warmup_steps, 4 * halt_max_steps)

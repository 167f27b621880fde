"""What a sweep has spent, over all its drivers, against what its budget allows; a fold over the journal like the search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trm.search.journal.events import DriverStarted, Event, LegStarted
from trm.search.resources.clock import Clock
from trm.search.settings import Budget

HOUR = 3600.0


@dataclass(frozen=True)
class Spent:
    """Amounts at one moment, those of running legs included where a clock tells them."""

    train_flops: float
    """Of legs that ended, failed attempts included."""
    gpu_hours: float
    wall_clock_seconds: float


class Spending:
    """Adds up FLOPs, GPU-hours and seconds."""

    def __init__(self) -> None:
        """Nothing is spent."""
        self.clock = Clock()
        self.train_flops = 0.0
        self._gpu_seconds = 0.0
        self._gpus = 0.0
        self._slots: dict[int, int] = {}
        """Trial -> slots of its leg, where that has more than one."""

    def read(self, event: Event) -> None:
        """Time went on to `event`."""
        self.clock.read(event.at)

    def start(self, event: DriverStarted, void: Sequence[LegStarted]) -> None:
        """A driver begins; the legs `void` of the one before held their GPUs up to the last thing it said."""
        for leg in void:
            self.release(leg, self.clock.latest)
        self.clock.start(event.at)
        self._gpus = event.gpus

    def hold(self, leg: LegStarted, slots: int) -> None:
        """The leg, which starts, has the GPUs of so many slots."""
        if slots > 1:
            self._slots[leg.trial] = slots

    def release(self, leg: LegStarted, at: float) -> None:
        """The leg gave its GPUs back."""
        self._gpu_seconds += self._seconds(leg, at)
        self._slots.pop(leg.trial, None)

    def _seconds(self, leg: LegStarted, at: float) -> float:
        """GPU-seconds of the leg up to `at`."""
        return self._gpus * self._slots.get(leg.trial, 1) * max(0.0, at - leg.at)

    def spent(self, now: float, running: Sequence[LegStarted]) -> Spent:
        """What is spent at `now`, while the legs `running` run."""
        held = sum(self._seconds(leg, now) for leg in running)
        return Spent(self.train_flops, (self._gpu_seconds + held) / HOUR, self.clock.elapsed(now))

    def why_over(self, budget: Budget, now: float, running: Callable[[], Sequence[LegStarted]]) -> str | None:
        """Which clock has run out, so that even running legs must stop; None when none has. `running` tells the legs that run."""
        if budget.wall_clock_seconds is not None and self.clock.elapsed(now) >= budget.wall_clock_seconds:
            return f"budget.wall_clock_seconds {budget.wall_clock_seconds:g} is spent"
        if budget.gpu_hours is not None and self.spent(now, running()).gpu_hours >= budget.gpu_hours:
            return f"budget.gpu_hours {budget.gpu_hours:g} is spent"
        return None

    def why_too_much(self, budget: Budget, promised: float, flops: float) -> str | None:
        """Why a leg of `flops` training FLOPs may not start while running legs still take `promised`; None when it may."""
        left = float("inf") if budget.train_flops is None else budget.train_flops - self.train_flops - promised
        if flops <= left * (1 + 1e-9):
            return None
        return f"budget.train_flops {budget.train_flops:g} is spent: {left:.3g} are left, the next leg takes {flops:.3g}"

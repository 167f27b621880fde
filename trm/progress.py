"""How far a sweep is: a fold over the journal's events, and what the running legs say of themselves."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from trm.search.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, SweepStarted

WARM_UP_SECONDS = 5.0
"""No guess at the time that is left before legs have run so long."""


@runtime_checkable
class RunningLeg(Protocol):
    """What a running leg says of itself."""

    @property
    def trial(self) -> int:
        """Number of the trial."""

    @property
    def rung(self) -> int:
        """Rung at which the leg ends."""

    @property
    def step(self) -> int:
        """Optimizer step since the trial's start."""

    @property
    def until_steps(self) -> int:
        """Step at which the leg ends."""

    @property
    def loss(self) -> float:
        """Latest training loss."""

    @property
    def steps_per_second(self) -> float:
        """Speed of late."""


@dataclass(frozen=True)
class RungProgress:
    """One rung."""

    train_flops: float
    """Training FLOPs of a trial that reached it."""
    running: int
    """Trials on their way to it."""
    completed: int
    """Trials that reached it."""
    best: float | None
    """Best objective at it."""


@dataclass(frozen=True)
class BestTrial:
    """The best objective so far, among the trials that reached the highest rung that any reached with a result."""

    trial: int
    rung: int
    objective: float
    standard_error: float | None
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """Everything a person wants to see of a sweep at one moment."""

    asked: int
    """Trials that exist."""
    statuses: Mapping[str, int]
    """Trial status -> how many."""
    rungs: Sequence[RungProgress]
    best: BestTrial | None
    flops_spent: float
    """Training FLOPs so far, the running legs' included."""
    flops_expected: float | None
    """Training FLOPs of the whole sweep, as its rungs suggest; null: no number of trials was given."""
    elapsed_seconds: float
    """Since this driver's first leg started."""
    left_seconds: float | None
    """Until the expected end at the speed so far; null while that is unknown."""
    legs: Sequence[RunningLeg]


class SweepProgress:
    """Folds a sweep's events; `snapshot` adds the clock and the running legs."""

    def __init__(self, *, trials: int | None, rung_flops: Sequence[float], eta: int = 1, mode: str = "max") -> None:
        """`rung_flops`: training FLOPs of a trial at each rung; `eta`: one in so many goes on from a rung (1: every one)."""
        self._trials = trials
        self._rung_flops = list(rung_flops)
        self._eta = eta
        self._sign = 1.0 if mode == "max" else -1.0
        self._asked: dict[int, Asked] = {}
        self._statuses: dict[int, str] = {}
        self._open: dict[int, LegStarted] = {}
        self._results: dict[int, dict[int, LegEnded]] = {}
        self._flops: dict[int, float] = {}
        self._flops_before_driver = 0.0
        self._first_leg_at: float | None = None
        self.name = ""
        """The sweep's name, from its first event."""

    def apply(self, event: Event) -> None:
        """Take in the next event of the journal."""
        match event:
            case SweepStarted():
                self.name = event.name
            case DriverStarted():
                self._open.clear()
                self._flops_before_driver, self._first_leg_at = sum(self._flops.values()), None
            case Asked():
                self._asked[event.trial] = event
                self._statuses[event.trial] = "running"
            case LegStarted():
                self._open[event.trial] = event
                self._statuses[event.trial] = "running"
                self._first_leg_at = event.at if self._first_leg_at is None else self._first_leg_at
            case LegEnded():
                self._open.pop(event.trial, None)
                self._flops[event.trial] = max(self._flops.get(event.trial, 0.0), event.train_flops)
                if event.status == "completed":
                    self._results.setdefault(event.rung, {})[event.trial] = event
            case Decided():
                self._statuses[event.trial] = event.status
            case _:
                pass

    def snapshot(self, now: float, legs: Sequence[RunningLeg] = (), wall_clock_left: float | None = None) -> Snapshot:
        """The sweep as it stands at unix time `now`; `wall_clock_left`: seconds that the budget still has."""
        spent = sum(self._flops.values()) + sum(self._flops_of(leg) for leg in legs)
        expected = self._expected_flops()
        elapsed = 0.0 if self._first_leg_at is None else max(0.0, now - self._first_leg_at)
        own = spent - self._flops_before_driver
        left = None
        if expected is not None and own > 0 and elapsed >= WARM_UP_SECONDS:
            left = elapsed * max(0.0, expected - spent) / own
        if wall_clock_left is not None:
            left = wall_clock_left if left is None else min(left, wall_clock_left)
        return Snapshot(
            asked=len(self._asked),
            statuses=Counter(self._statuses.values()),
            rungs=[self._rung(index) for index in range(len(self._rung_flops))],
            best=self._best(),
            flops_spent=spent,
            flops_expected=expected,
            elapsed_seconds=elapsed,
            left_seconds=left,
            legs=sorted(legs, key=lambda leg: leg.trial),
        )

    def _flops_of(self, leg: RunningLeg) -> float:
        """Training FLOPs of a running leg beyond those that are booked already."""
        asked = self._asked.get(leg.trial)
        done = leg.step * asked.step_flops if asked is not None and leg.trial in self._open else 0.0
        return max(0.0, done - self._flops.get(leg.trial, 0.0))

    def _expected_flops(self) -> float | None:
        if self._trials is None:
            return None
        total, before = 0.0, 0.0
        for index, flops in enumerate(self._rung_flops):
            reaching = max(self._trials // self._eta**index, len(self._results.get(index, {})) + self._running_to(index))
            total += reaching * (flops - before)
            before = flops
        return total

    def _running_to(self, rung: int) -> int:
        return sum(leg.rung == rung for leg in self._open.values())

    def _rung(self, index: int) -> RungProgress:
        results = self._results.get(index, {})
        objectives = [result.objective for result in results.values() if _is_number(result.objective)]
        best = max((value for value in objectives if value is not None), key=lambda value: self._sign * value, default=None)
        return RungProgress(self._rung_flops[index], self._running_to(index), len(results), best)

    def _best(self) -> BestTrial | None:
        for rung in sorted(self._results, reverse=True):
            scored = [result for result in self._results[rung].values() if _is_number(result.objective)]
            if scored:
                best = max(scored, key=lambda result: (self._sign * (result.objective or 0.0), -(result.loss or math.inf)))
                assert best.objective is not None
                return BestTrial(best.trial, rung, best.objective, best.standard_error, self._asked[best.trial].params)
        return None


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

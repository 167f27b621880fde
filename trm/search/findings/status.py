"""Where a sweep stands, from its folder's journal alone: what a second person asks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trm.search.findings.tables import interval_95
from trm.search.journal.events import DriverStarted, DriverStopped, Event, SlotsChanged
from trm.search.journal.trial import Trial
from trm.search.resources.spending import Spent
from trm.search.search import Search
from trm.search.settings import Budget


@dataclass(frozen=True)
class OpenLeg:
    """A leg that was started and has not ended."""

    trial: int
    rung: int
    attempt: int
    started_at: float
    """Unix seconds."""
    expected_end: float | None
    """Unix seconds, by the speeds learned so far; null: unknown."""
    steps: tuple[int, int]
    """Optimizer steps at its beginning and at its end."""


@dataclass(frozen=True)
class Leader:
    """The best trial so far."""

    trial: int
    rung: int | None
    objective: float
    interval_95: tuple[float, float] | None
    params: Mapping[str, object]


@dataclass(frozen=True)
class SweepStatus:
    """A sweep at one moment."""

    name: str
    driver: str | None
    """host:pid of the last driver; null: there was none."""
    state: str
    """In a few words: running, killed, left in order and why, or ended and why."""
    is_running: bool
    events: int
    slots: int
    asked: int
    statuses: Mapping[str, int]
    confirmations: Mapping[str, int]
    """Status -> how many; confirmations are no trials of the search."""
    legs: Sequence[OpenLeg]
    best: Leader | None
    spent: Spent
    budget: Budget
    """Of the last driver."""


class StatusFold:
    """Folds a sweep's events; `status` says where it stands."""

    def __init__(self, search: Search) -> None:
        """`search` is before its first event."""
        self.search = search
        self._last: Event | None = None
        self._count = self._slots = 0

    def apply(self, event: Event) -> None:
        """Takes the next event in."""
        self.search.apply(event)
        if isinstance(event, DriverStarted | SlotsChanged):
            self._slots = event.slots
        self._last, self._count = event, self._count + 1

    def status(self, now: float, *, is_driven: bool) -> SweepStatus:
        """The sweep at unix time `now`; `is_driven`: a living driver holds its folder."""
        search = self.search
        is_running = is_driven and search.ended is None
        ranked = search.leaderboard()
        return SweepStatus(
            name=search.started.name if search.started is not None else search.space.name,
            driver=search.driver.driver if search.driver is not None else None,
            state=self._state(is_driven),
            is_running=is_running,
            events=self._count,
            slots=self._slots,
            asked=len(search.searched),
            statuses=Counter(trial.status for trial in search.searched),
            confirmations=Counter(trial.status for trial in search.trials if trial.is_confirmation),
            legs=[_open_leg(trial) for trial in search.trials if trial.leg is not None],
            best=self._leader(ranked[0]) if ranked else None,
            spent=search.spending.spent(now if is_running else search.spending.clock.latest, search.open_legs),
            budget=search.budget,
        )

    def _state(self, is_driven: bool) -> str:
        if self.search.ended is not None:
            return f"ended: {self.search.ended.reason}" + (", and its driver reports on the winner" if is_driven else "")
        if is_driven:
            return "running"
        if isinstance(self._last, DriverStopped):
            return f"left in order: {self._last.reason}"
        return "its driver was killed" if self.search.driver is not None else "its driver was killed at the start"

    def _leader(self, trial: Trial) -> Leader:
        result = trial.result
        assert result is not None
        assert result.objective is not None
        interval = interval_95(self.search.space.objective.metric, result)
        return Leader(trial.number, trial.rung, result.objective, interval, trial.shown_params)


def larger_budget(search: Search) -> tuple[str, str] | None:
    """In words and as an option what a sweep that ended could go on with; None where no larger budget makes it do so."""
    ended, budget = search.ended, search.budget
    if ended is None or search.is_exhausted:
        return None
    if budget.trials is not None and len(search.searched) >= budget.trials:
        return f"up to {2 * budget.trials} trials", f"--trials {2 * budget.trials}"
    for limit in ("train_flops", "wall_clock_seconds", "gpu_hours"):
        if ended.reason.startswith(f"budget.{limit} "):
            twice = 2 * getattr(budget, limit)
            return f"up to {twice:g} {limit}", f"--set budget.{limit}={twice:g}"
    return None


def _open_leg(trial: Trial) -> OpenLeg:
    leg = trial.leg
    assert leg is not None
    expected = None if leg.expected_seconds is None else leg.at + leg.expected_seconds
    begun = trial.result.steps if trial.result is not None else 0
    return OpenLeg(trial.number, leg.rung, leg.attempt, leg.at, expected, (begun, leg.until_steps))

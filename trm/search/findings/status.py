"""Where a sweep stands, from its folder's journal alone: what a second person asks."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trm.search.findings.confirmed import winner
from trm.search.findings.tables import broken, interval_95
from trm.search.journal.trial import Trial
from trm.search.resources.spending import Spent
from trm.search.settings import Budget
from trm.search.state import SweepState


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
    """The best trial so far: the one that the leaderboard names, and that would be exported now."""

    trial: int
    rung: int | None
    objective: float
    """Its score; where it is confirmed, the mean over seeds."""
    standard_error: float | None
    """Of its own score."""
    interval_95: tuple[float, float] | None
    seeds: int | None
    """Seeds that the mean is over; null: it is not confirmed."""
    params: Mapping[str, Any]
    is_fresh: bool = True
    """Whether all of them are fresh ones; else one is the search's own."""
    breaks: tuple[str, ...] = ()
    """Outcome constraints that it breaks."""


@dataclass(frozen=True)
class SweepStatus:
    """A sweep at one moment."""

    name: str
    driver: str | None
    """host:pid of the last driver; null: there was none."""
    state: str
    """In a few words: running, waiting for what, killed, left in order and why, or ended and why."""
    is_running: bool
    waits_since: float | None
    """Unix seconds since which no leg runs for want of a place, which `state` names; null: it does not wait."""
    events: int
    slots: int
    asked: int
    statuses: Mapping[str, int]
    confirmations: Mapping[str, int]
    """Status -> how many; confirmations are no trials of the state."""
    legs: Sequence[OpenLeg]
    best: Leader | None
    spent: Spent
    budget: Budget
    """Of the last driver."""


def sweep_status(state: SweepState, now: float, *, is_driven: bool) -> SweepStatus:
    """The sweep at unix time `now`; `is_driven`: a living driver holds its folder."""
    is_running = is_driven and state.ended is None and state.left is None
    return SweepStatus(
        name=state.name,
        driver=state.driver.driver if state.driver is not None else None,
        state=_in_words(state, is_driven),
        is_running=is_running,
        waits_since=state.awaits.at if is_running and state.awaits is not None else None,
        events=state.events,
        slots=state.slots if state.driver is not None else 0,
        asked=len(state.searched),
        statuses=Counter(trial.status for trial in state.searched),
        confirmations=Counter(trial.status for trial in state.trials if trial.is_confirmation),
        legs=[_open_leg(trial) for trial in state.trials if trial.leg is not None],
        best=leader(state),
        spent=state.spent(now if is_running else state.spending.clock.latest),
        budget=state.budget,
    )


def leader(state: SweepState) -> Leader | None:
    """The best trial so far; null while none was scored."""
    found = winner(state)
    if found is None:
        return None
    trial, confirmed, result = found.trial, found.confirmed, found.trial.result
    assert result is not None
    assert result.objective is not None
    breaks = broken(state, trial)
    if confirmed is None:
        interval = interval_95(state.space.objective.metric, result)
        own = Leader(trial.number, trial.rung, result.objective, result.standard_error, interval, None, trial.shown_params)
        return replace(own, breaks=breaks)
    low, high = confirmed.low, confirmed.high
    interval = None if low is None or high is None else (low, high)
    is_fresh = not confirmed.own
    return Leader(trial.number, trial.rung, confirmed.mean, None, interval, confirmed.seeds, trial.shown_params, is_fresh, breaks)


def _in_words(state: SweepState, is_driven: bool) -> str:
    if state.ended is not None:
        return f"ended: {state.ended.reason}" + (", and its driver reports on the winner" if is_driven else "")
    if state.left is not None:  # whose driver may hold the folder for some seconds more
        return f"left in order: {state.left.reason}"
    if is_driven:
        return "running" if state.awaits is None else state.awaits.what or ""
    return "its driver was killed" if state.driver is not None else "its driver was killed at the start"


def larger_budget(state: SweepState) -> tuple[str, str] | None:
    """In words and as an option what a sweep that ended could go on with; None where no larger budget makes it do so."""
    ended, budget = state.ended, state.budget
    if ended is None or state.exhausted is not None:
        return None
    if budget.trials is not None and len(state.searched) >= budget.trials:
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

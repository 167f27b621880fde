"""A sweep looked at from its folder alone, driven or not, without Ray: `--status` and `--replay`."""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from trm.console.long_work import shown
from trm.console.streams import one_line, say
from trm.errors import EXIT_DONE, EXIT_FAILED
from trm.search.decisions import set_aside as set_aside_trials
from trm.search.findings.replay import replay
from trm.search.findings.status import Leader, OpenLeg, SweepStatus, larger_budget, sweep_status
from trm.search.journal.events import Event
from trm.search.journal.journal import Unread, read_events, set_aside, unread
from trm.search.journal.lease import is_held
from trm.search.log import FILE as JOURNAL
from trm.search.search import Search
from trm.search.state import SweepState
from trm.sweeps.commands import with_option
from trm.sweeps.folder import begun_rules, read_sweep
from trm.sweeps.search import sweep_search
from trm.terminal.command_line import show
from trm.terminal.display import STATUS_ORDER, breaks_text, duration, event_line, flops, params_text, seeds_text

LAST_EVENTS = 6


def show_replay(folder: str) -> int:
    """Derive every decision of the sweep's journal again; ReplayDifference names the first that differs."""
    place = Path(folder)
    search, _ = _search_of(place)
    begun_rules(place)  # refuses what this program cannot derive
    with shown(f"deriving {folder} again", say) as report:
        done = replay(search, _events(place), lambda count: report("events", count, 0))
    show(f"{folder}: {done.events} events, {done.decisions} decisions about {done.trials} trials, all of them as they follow")
    left_out = unread(place / JOURNAL)
    for text in _unread_lines(place, left_out):
        show(one_line(text))
    return EXIT_FAILED if any(piece.kind == "zeroed" for piece in left_out) else EXIT_DONE


def status_of(folder: Path) -> list[str]:
    """Where the sweep stands, in lines."""
    state = _search_of(folder)[0].state
    for event in _events(folder):
        state.apply(event)
    now = time.time()
    return list(status_lines(sweep_status(state, now, is_driven=is_held(folder)), state.space.objective.metric, now))


def show_status(folder: str) -> int:
    """Say where the sweep stands."""
    place = Path(folder)
    search, command = _search_of(place)
    state, last = search.state, deque[tuple[float, str]](maxlen=LAST_EVENTS)
    metric = state.space.objective.metric
    with shown(f"reading {place / JOURNAL}", say) as report:
        for count, event in enumerate(_events(place)):
            report("events", count, 0)
            state.apply(event)
            if (line := event_line(event, metric)) is not None:
                last.append((event.at, line))
    now = time.time()
    status = sweep_status(state, now, is_driven=is_held(place))
    for one in state.space.objective.contrary:
        show(f"objective  {one}: this sweep of an earlier version looks for the worst")
    for text in status_lines(status, metric, now):
        show(one_line(text))
    for text in set_aside_trials(state.trials):
        show(one_line(f"set aside  {text}"))
    if not status.is_running:  # of a living driver it is a line on its way
        for text in _unread_lines(place, unread(place / JOURNAL)):
            show(one_line(text))
    if last:
        show("last events")
        for at, line in last:
            show(one_line(f"  {_ago(now - at):>14}  {line}"))
    if not status.is_running and command:
        for text in _going_on(state, command):
            show(text)
    return EXIT_DONE


def _going_on(state: SweepState, command: str) -> Iterator[str]:
    """How to go on with a sweep that nobody drives: one that has ended needs a larger budget, or has nothing left to do."""
    if state.ended is None:
        yield f"go on with it:\n  {one_line(command)}"
    elif (larger := larger_budget(state)) is not None:
        yield f"go on with it, {larger[0]}:\n  {one_line(with_option(command, larger[1]))}"


def _unread_lines(folder: Path, left_out: list[Unread]) -> Iterator[str]:
    """What the journal holds and nobody counts, and what drivers cut out of it because of that."""
    for piece in left_out:
        yield f"not read   {piece.text}"
    for path in set_aside(folder / JOURNAL):
        yield f"set aside  {path.name}: {path.stat().st_size} bytes that a driver cut out of the journal: they count for nothing"


def status_lines(status: SweepStatus, metric: str, now: float) -> Iterator[str]:
    """The sweep in lines: driver, trials, running legs, best, budget."""
    waits = "" if status.waits_since is None else f", {duration(now - status.waits_since)}"
    yield f"sweep {status.name}: {status.state}{waits}"
    yield f"driver     {status.driver or 'none'}, {status.slots} at a time, {status.events} events"
    counts = [f"{count} {name.replace('_', ' ')}" for name in STATUS_ORDER if (count := status.statuses.get(name))]
    of = f" of {status.budget.trials}" if status.budget.trials else ""
    yield f"trials     {status.asked}{of}" + (f": {', '.join(counts)}" if counts else "")
    for leg in status.legs:
        yield f"{'leg' if status.is_running else 'cut short':<10} {_leg_text(leg, now)}"
    yield "best       " + ("no result yet" if status.best is None else _best_text(status.best, metric))
    yield from (f"spent      {text}" for text in _budget_texts(status))


def _leg_text(leg: OpenLeg, now: float) -> str:
    until = ""
    if leg.expected_end is not None:
        left = leg.expected_end - now
        until = f", due in {duration(left)}" if left >= 0 else f", {duration(-left)} over the expected end"
    first, last = leg.steps
    retry = f", attempt {leg.attempt + 1}" if leg.attempt else ""
    return f"trial {leg.trial} to rung {leg.rung}, steps {first} to {last}{retry}, begun {_ago(now - leg.started_at)}{until}"


def _best_text(best: Leader, metric: str) -> str:
    interval = "" if best.interval_95 is None else f" (95 %: {best.interval_95[0]:.4f} to {best.interval_95[1]:.4f})"
    score = f"{metric} {best.objective:.4f}{interval}{seeds_text(best)}{breaks_text(best)}"
    return f"{score}, trial {best.trial} at rung {best.rung}: {params_text(best.params)}"


def _budget_texts(status: SweepStatus) -> Iterator[str]:
    spent, budget = status.spent, status.budget
    yield _of(flops(spent.train_flops), budget.train_flops, flops((budget.train_flops or 0) - spent.train_flops))
    left = duration((budget.wall_clock_seconds or 0) - spent.wall_clock_seconds)
    yield _of(f"{duration(spent.wall_clock_seconds)} of drivers' time", budget.wall_clock_seconds, left)
    if spent.gpu_hours or budget.gpu_hours:
        yield _of(f"{spent.gpu_hours:.2f} GPU-hours", budget.gpu_hours, f"{(budget.gpu_hours or 0) - spent.gpu_hours:.2f}")


def _of(spent: str, limit: float | None, left: str) -> str:
    return spent if limit is None else f"{spent}, {left} left"


def _ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"


def _events(folder: Path) -> Iterator[Event]:
    return (entry.event for entry in read_events(folder / JOURNAL))


def _search_of(folder: Path) -> tuple[Search, str]:
    space, sets, command = read_sweep(folder)
    return sweep_search(space, sets), command

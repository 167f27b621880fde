"""A replay: every decision of a journal derived again from what stands before it, and compared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from trm.errors import TRMError
from trm.search.findings.confirmed import winner
from trm.search.journal.events import (
    EVENT,
    Adopted,
    Asked,
    Decided,
    DriverStarted,
    Event,
    LegEnded,
    LegStarted,
    LegWidened,
    Reported,
    SlotsChanged,
    SpaceExhausted,
    SweepEnded,
    TestTimeChosen,
)
from trm.search.search import Search
from trm.search.test_time import due_choice

DECISIONS = (Asked, SpaceExhausted, LegStarted, LegWidened, Decided, Adopted, SweepEnded)
"""Events that follow from those before them; all others are told to the search: results, drivers, clock readings."""


CIRCUMSTANCES = frozenset({"memory_bytes"})
"""What follows from the resources of the driver of that time, which a journal does not hold."""


class ReplayDifference(TRMError):
    """A decision in a journal is not the one that follows from what stands before it."""


@dataclass(frozen=True)
class Replayed:
    """What was derived again."""

    events: int
    decisions: int
    trials: int


def replay(search: Search, events: Iterable[Event], on_event: Callable[[int], None] = lambda count: None) -> Replayed:
    """Folds `events` into `search`, which must be before its first, and derives every decision from what came before it.

    ReplayDifference at the first that differs, with its number in the journal. `on_event` hears how many are done.
    """
    course = _Course(search)
    count = 0
    for count, event in enumerate(events, start=1):
        course.follow(count - 1, event)
        on_event(count)
    return Replayed(count, course.decisions, len(search.state.trials))


class _Course:
    """What a driver does, one event at a time: it journals all that follows at a moment, in one write."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._due: list[Event] = []
        """What is left of the decisions that were derived together."""
        self._slots = 0
        self.decisions = 0

    def follow(self, number: int, event: Event) -> None:
        if isinstance(event, DECISIONS):
            self._check_decision(number, event)
            self.decisions += 1
        else:
            self._check_told(number, event)
        self._search.state.apply(event)

    def _check_decision(self, number: int, event: Event) -> None:
        search, now = self._search, event.at
        if isinstance(event, LegWidened) and not self._due:
            self._due = [due] if (due := search.next_widening(now, event.spare)) is not None else []
        elif not self._due:
            self._due = search.next_events(now, 1) or (search.closing_events(now) if search.is_done(now) is not None else [])
        if not self._due:
            raise _difference(number, event, "nothing: the sweep waits for its legs")
        expected = self._due.pop(0)
        if (difference := _first_difference(event, expected)) is not None:
            raise _difference(number, event, f"{_line(expected)} ({difference})")
        if isinstance(event, LegStarted):
            own, held = search.state.trials[event.trial].held_slots, search.state.held_slots
            if held - own + max(1, own) > self._slots:
                raise _difference(number, event, f"no leg: {held} run on {self._slots} slots")

    def _check_told(self, number: int, event: Event) -> None:
        match event:
            case DriverStarted():
                self._due, self._slots = [], event.slots  # the driver before may have been killed between two writes
            case SlotsChanged():
                self._slots = event.slots
            case LegEnded():
                due = self._due or self._search.due_decisions(event.at)
                if due:
                    raise _difference(number, event, _line(due[0]))
            case TestTimeChosen():
                expected = due_choice(self._search.state, event.at)
                if expected is None or (difference := _first_difference(event, expected)) is not None:
                    raise _difference(number, event, "nothing" if expected is None else f"{_line(expected)} ({difference})")
            case Reported():
                best = winner(self._search.state)
                if best is None or best.run.number != event.trial:
                    raise _difference(number, event, f"a report on trial {best.run.number if best is not None else None}")
            case _:
                pass


def _first_difference(event: Event, expected: Event) -> str | None:
    """The first field in which the journal's event is another than expected; None when they are the same.

    A journal that is older than a field says nothing of it.
    """
    there, here = (EVENT.dump_python(one, mode="json") for one in (event, expected))
    unsaid = there.keys() - event.model_fields_set - {"event"}
    for key in dict.fromkeys([*there, *here]):
        if key not in CIRCUMSTANCES | unsaid and there.get(key) != here.get(key):
            return f"{key}: {there.get(key)!r} there, {here.get(key)!r} here"
    return None


def _difference(number: int, event: Event, follows: str) -> ReplayDifference:
    return ReplayDifference(f"event {number}: the journal says {_line(event)}, but what follows is {follows}")


def _line(event: Event) -> str:
    values: dict[str, Any] = EVENT.dump_python(event, mode="json")
    shown = ("trial", "rung", "attempt", "status", "params", "reason")
    return " ".join([values["event"], *(f"{key}={values[key]}" for key in shown if key in values)])

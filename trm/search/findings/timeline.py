"""When which leg ran, and on how many slots at once: what kept a sweep waiting shows as gaps."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trm.search.journal.events import LegEnded
from trm.search.journal.trial import Trial
from trm.search.state import SweepState

SAME_MOMENT_SECONDS = 0.5
"""Clocks of two processes differ, and a leg's end is written a moment after the next one may begin."""


@dataclass(frozen=True)
class Span:
    """A leg on the clock."""

    trial: int
    rung: int
    what: str
    """trial | confirmation | audit | the status of a leg that did not complete"""
    slot: int
    """From 0: the lowest that was free when it began."""
    start_seconds: float
    """Since the first leg began."""
    seconds: float
    busy_seconds: float
    """Of those in training and evaluation."""


@dataclass(frozen=True)
class Timeline:
    """The legs of a sweep on the clock, those that ended and say when they ran."""

    began_at: float
    """Unix seconds of the first leg's start."""
    spans: tuple[Span, ...]
    slots: int
    """Most legs at once."""
    busy_share: float
    """Of the slots' seconds while a driver was there: those in training and evaluation."""

    @property
    def sentence(self) -> str:
        """How busy the slots were, in words."""
        slots = "one slot was" if self.slots == 1 else f"{self.slots} slots were"
        return f"{slots} training and scoring for {self.busy_share:.0%} of the drivers' time, start and end included"

    @property
    def values(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self) | {"sentence": self.sentence}


def timeline(state: SweepState) -> Timeline | None:
    """The legs on the clock; None where no leg has ended."""
    ended = ((leg, trial) for trial in state.trials for leg in _ended(trial))
    timed = [(leg.started_at, leg.ended_at, leg, trial) for leg, trial in ended if leg.started_at and leg.ended_at]
    legs = sorted(timed, key=lambda one: (one[0], one[3].number, one[2].rung))
    if not legs:
        return None
    began = legs[0][0]
    slots = slots_of([(start, end) for start, end, _, _ in legs])
    spans = tuple(
        Span(trial.number, leg.rung, _what(trial, leg), slot, start - began, end - start, leg.train_seconds + leg.eval_seconds)
        for slot, (start, end, leg, trial) in zip(slots, legs, strict=True)
    )
    count = max(slots) + 1
    clock = state.spending.clock
    widths = [trial.wide.get((leg.rung, leg.attempt), 1) for _, _, leg, trial in legs]
    busy = sum(span.busy_seconds * width for span, width in zip(spans, widths, strict=True))
    there = count * clock.elapsed(clock.latest)
    return Timeline(began, spans, count, busy / there if there > busy else 1.0)


def slots_of(spans: Sequence[tuple[float, float]]) -> list[int]:
    """For each (start, end), in order of starts, the lowest slot that is free by then."""
    free_at = list[float]()
    found = []
    for start, end in spans:
        free = next((slot for slot, until in enumerate(free_at) if until <= start + SAME_MOMENT_SECONDS), None)
        if free is None:
            free = len(free_at)
            free_at.append(start)
        free_at[free] = end
        found.append(free)
    return found


def _ended(trial: Trial) -> list[LegEnded]:
    lost = [] if trial.trouble is None else [trial.trouble]
    return [*trial.results.values(), *trial.yields, *lost]


def _what(trial: Trial, leg: LegEnded) -> str:
    if leg.status not in ("completed", "yielded"):
        return leg.status
    if trial.is_confirmation:
        return "confirmation"
    return "audit" if trial.control_from is not None and leg.rung > trial.control_from else "trial"

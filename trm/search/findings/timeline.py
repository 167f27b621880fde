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
    beside: tuple[int, ...] = ()
    """Slots that it had besides, a leg with more workers."""


@dataclass(frozen=True)
class Timeline:
    """The legs of a sweep on the clock, those that ended and say when they ran."""

    began_at: float
    """Unix seconds of the first leg's start."""
    spans: tuple[Span, ...]
    slots: int
    """Most at once."""
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
    slots = slots_of([(start, end, trial.wide.get((leg.rung, leg.attempt), 1)) for start, end, leg, trial in legs])
    spans = tuple(
        Span(
            trial.number,
            leg.rung,
            _what(trial, leg),
            own,
            start - began,
            end - start,
            leg.train_seconds + leg.eval_seconds,
            tuple(others),
        )
        for (own, *others), (start, end, leg, trial) in zip(slots, legs, strict=True)
    )
    count = max(map(max, slots)) + 1
    clock = state.spending.clock
    busy = sum(span.busy_seconds * (1 + len(span.beside)) for span in spans)
    there = count * clock.elapsed(clock.latest)
    return Timeline(began, spans, count, busy / there if there > busy else 1.0)


def slots_of(spans: Sequence[tuple[float, float, int]]) -> list[tuple[int, ...]]:
    """For each (start, end, how many), in order of starts, the lowest slots that are free by then."""
    free_at = list[float]()
    found = []
    for start, end, count in spans:
        free = [slot for slot, until in enumerate(free_at) if until <= start + SAME_MOMENT_SECONDS][:count]
        free += range(len(free_at), len(free_at) + count - len(free))
        free_at += [end] * (max(free) + 1 - len(free_at))
        for slot in free:
            free_at[slot] = end
        found.append(tuple(free))
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

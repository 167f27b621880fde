"""A trial as the journal tells it, and its phase: what it does now, as one value."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, assert_never

from trm.search.journal.events import Adopted, Asked, Decided, LegEnded, LegStarted, LegStatus, TrialStatus
from trm.search.order import Score

ENDED = frozenset({"finished", "stopped", "diverged", "out_of_memory", "failed"})


@dataclass(frozen=True)
class Waiting:
    """A leg should run and waits for a slot: the trial is new, goes on, or is tried again."""

    target: int
    """Rung at which the leg will end."""


@dataclass(frozen=True)
class Running:
    """A leg runs."""

    leg: LegStarted


@dataclass(frozen=True)
class Undecided:
    """A leg ended, and nothing was decided since."""

    target: int | None
    """Rung that the leg did not reach; null: it was scored there."""


@dataclass(frozen=True)
class Paused:
    """It was scored and is paused at its rung, from where it may be promoted."""


@dataclass(frozen=True)
class Stopped:
    """Stopped only because nothing better was left to do: a sweep that goes on may take it up again."""

    target: int | None
    """Rung that it was on the way to; null: it is paused at its last."""


@dataclass(frozen=True)
class Reopened:
    """A new driver found it stopped on its way: it waits for a slot, and is told as stopped until its leg starts."""

    target: int


@dataclass(frozen=True)
class Ended:
    """It has ended for good, unless its rungs grow."""

    status: TrialStatus


Phase = Waiting | Running | Undecided | Paused | Stopped | Reopened | Ended
ACTIVE: tuple[type[Phase], ...] = (Waiting, Running, Undecided, Reopened)
"""Phases of trials that are on their way, or were a moment ago."""


@dataclass
class Trial:
    """Everything known of one trial; changed only by the fold."""

    asked: Asked
    phase: Phase = Waiting(0)
    results: dict[int, LegEnded] = field(default_factory=dict)
    """Completed legs, by the rung they end at."""
    scores: dict[int, Score] = field(default_factory=dict)
    """What trials are ranked by, of each of those legs."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Legs started, by rung."""
    troubles: Counter[LegStatus] = field(default_factory=Counter)
    """Legs that did not complete, by what became of them, since its last score; without those lost with their whole node."""
    node_losses: int = 0
    """Those."""
    adoptions: list[Adopted] = field(default_factory=list)
    """Each time that it took over another trial's checkpoint."""
    origin: str | None = None
    """Checkpoint that its next leg starts from, relative to the sweep folder; null: from scratch."""
    trouble: LegEnded | None = None
    """The last leg that did not complete."""
    decided: Decided | None = None
    control_from: int | None = None
    """Rung at which early stopping had ended it; it runs on, ranked against nobody, and shows what was lost."""
    slots: int = 1
    """That its running leg has."""
    wider: int | None = None
    """Slots that it was promised when its leg was told to save; null: none."""
    carried: LegEnded | None = None
    """How far it had come where its last leg yielded, since its last score; null: none did."""
    yields: list[LegEnded] = field(default_factory=list)
    """Its legs that were stopped to go on with more slots, or fewer."""
    wide: dict[tuple[int, int], int] = field(default_factory=dict)
    """Slots of its legs that had more than one, by rung and attempt."""
    pace: float = 1.0
    """Seconds of its last leg on one slot, as a multiple of what had been expected."""
    spent_flops: float = 0.0
    """Training FLOPs of all legs, those of failed attempts included."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    overhead_seconds: float = 0.0

    @property
    def number(self) -> int:
        """The trial's number, from 0."""
        return self.asked.trial

    @property
    def status(self) -> TrialStatus:
        """What it is called in tables."""
        match self.phase:
            case Waiting() | Running() | Undecided():
                return "running"
            case Paused():
                return "paused"
            case Stopped() | Reopened():
                return "stopped"
            case Ended(status):
                return status
        assert_never(self.phase)

    @property
    def is_troubled(self) -> bool:
        """Whether it ended without coming to what it was asked for."""
        return self.status in ("diverged", "out_of_memory", "failed")

    @property
    def leg(self) -> LegStarted | None:
        """The leg that runs now."""
        return self.phase.leg if isinstance(self.phase, Running) else None

    @property
    def target_rung(self) -> int | None:
        """Rung that it is on the way to, whether a leg runs or waits for a slot; null: it is paused at a rung, or has ended."""
        match self.phase:
            case Running(leg):
                return leg.rung
            case Waiting(target) | Undecided(target) | Stopped(target) | Reopened(target):
                return target
            case Paused() | Ended():
                return None
        assert_never(self.phase)

    @property
    def is_control(self) -> bool:
        """Whether early stopping had ended it and it runs on."""
        return self.control_from is not None

    @property
    def is_confirmation(self) -> bool:
        """Whether it trains another trial's configuration again, for the sake of a fresh seed."""
        return self.asked.confirms is not None

    @property
    def is_ranked(self) -> bool:
        """Whether its scores stand on the rungs' rung_results."""
        return not self.is_control and not self.is_confirmation

    @property
    def params(self) -> dict[str, Any]:
        """Searched path -> value, as they are now."""
        return self.adoptions[-1].params if self.adoptions else self.asked.params

    @property
    def shown_params(self) -> dict[str, Any]:
        """Searched path -> value as the run has it, where its length caps some: what a person is shown."""
        asked = self.asked
        return self.params | {path: value for path, value in asked.used.items() if self.params.get(path) == asked.params[path]}

    @property
    def rung(self) -> int | None:
        """The last rung it was scored at."""
        return max(self.results) if self.results else None

    @property
    def next_rung(self) -> int:
        """The rung that it is on the way to, or would go on to."""
        if self.target_rung is not None:
            return self.target_rung
        assert self.rung is not None, "a trial that is on no way was scored"
        return self.rung + 1

    @property
    def steps(self) -> int:
        """Optimizer steps at its last rung."""
        return self.result.steps if self.result is not None else 0

    @property
    def begun_steps(self) -> int:
        """Optimizer steps that its next leg finds done: those at its last rung, or where it yielded since."""
        return max(self.steps, self.carried.steps if self.carried is not None else 0)

    @property
    def held_slots(self) -> int:
        """Slots that nobody else may have: of its running leg, or promised to its next."""
        return max(self.slots if self.leg is not None else 0, self.wider or 0)

    @property
    def result(self) -> LegEnded | None:
        """Result of its last completed leg."""
        return self.results[max(self.results)] if self.results else None

    @property
    def score(self) -> Score | None:
        """What the trial is ranked by among all trials: its last score."""
        return self.scores[max(self.scores)] if self.scores else None

    @property
    def checkpoint(self) -> str | None:
        """Checkpoint of the last rung that it was scored at, relative to the sweep folder."""
        return self.result.checkpoint if self.result is not None else None

    @property
    def is_reopenable(self) -> bool:
        """Whether a sweep that goes on may take it up again."""
        return isinstance(self.phase, Paused | Stopped | Reopened)

    @property
    def is_waiting(self) -> bool:
        """Whether a leg should run but none does, in this sweep or in one that goes on."""
        match self.phase:
            case Waiting() | Reopened():
                return True
            case Stopped(target) | Undecided(target):
                return target is not None
            case Running() | Paused() | Ended():
                return False
        assert_never(self.phase)

"""What a scheduler is: its settings in a search space, what it may know of a sweep, and what it decides.

A scheduler is one file: a `SchedulerSettings` with a `type`, and the `Scheduler` that its `scheduler` makes. `choice.py` names it.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from trm.config.base import Written
from trm.search.knobs.knobs import Knob
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.rungs import Rungs
from trm.search.settings import Fidelity
from trm.search.space.rules import RULES


@dataclass(frozen=True)
class SchedulerContext:
    """Where a sweep stands. All of it follows from the journal, and none of it from the order in which equals arrived."""

    rungs: Mapping[int, Sequence[Rung]]
    """Group of trials that are compared with each other -> its scores, rung by rung; a group without a trial is absent."""
    asked: int
    """Trials that exist; their numbers are below this."""
    is_asking_over: bool
    """Whether no further trial will come."""
    targets: Mapping[int, int]
    """Trials on their way (a leg runs, or waits for a slot) -> the rung that they are on the way to."""
    paused: AbstractSet[int]
    """Trials that rest at a rung and were not stopped."""
    params_of: Callable[[int], Mapping[str, Any]]
    """A trial's searched knobs as they are now, by its number."""
    asks_first: bool = False
    """Whether so many slots are there that all trials begin before one is promoted."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a trial that was scored at a rung below the last."""

    status: Literal["paused", "running", "stopped"]
    """Rests there; goes on at once; has ended for good."""
    reason: str


@dataclass(frozen=True)
class Exploit:
    """A paused trial is to go on from another's checkpoint of the same rung, with other knobs."""

    trial: int
    rung: int
    source: int
    params: Mapping[str, Any]
    """All its searched knobs from there on."""


@runtime_checkable
class Scheduler(Protocol):
    """What decides about trials: a pure function of where the sweep stands, so that a replay decides the same.

    The search asks in this order: `decision` for a leg that ended, `stops`, `exploits`; then, while a slot is free, it
    starts legs that wait, then `promotion`, then a new trial when `may_ask`.
    """

    def group(self, trial: int) -> int:
        """Group of a trial, by its number: only trials of one group are ranked against each other."""

    def first_rung(self, trial: int) -> int:
        """Rung that a new trial trains to before it is scored."""

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """What becomes of `trial`, which was scored at `rung`, not the last."""

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Paused trials that will never go on, with the reason; a sweep with a larger budget may take them up again."""

    def exploits(self, context: SchedulerContext) -> Sequence[Exploit]:
        """Who goes on from whose checkpoint; asked again until there are none."""

    def promotion(self, context: SchedulerContext) -> int | None:
        """The paused trial that goes on next, or None."""

    def may_ask(self, context: SchedulerContext) -> bool:
        """Whether a new trial may start now; False: it has to wait for what runs."""


@dataclass(frozen=True)
class SearchedKnobs:
    """What a scheduler may know of the space whose trials it schedules."""

    knobs: Mapping[str, Knob]
    """In the order of their conditions."""
    seed: int
    """Of the sweep."""
    keeps_rules: Callable[[Mapping[str, Any]], bool]
    """Whether such values mean a trial that may run."""
    rules: int = RULES
    """By which the sweep began (`rules.py`)."""


class SchedulerSettings(Written):
    """A scheduler as a search space says it, and what is known of it before a trial runs."""

    changes_knobs: ClassVar[bool] = False
    """Whether a trial's knobs change on its way, so that no one configuration stands behind its score."""

    knows_outcomes: ClassVar[bool] = True
    """Whether it ranks those behind that break outcome constraints."""

    type: str
    """Names the scheduler."""

    @abstractmethod
    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """What decides about the trials."""

    @abstractmethod
    def rungs_up_to(self, per_trial: float) -> Rungs:
        """Rungs of a trial of `per_trial`, the last."""

    @abstractmethod
    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """The rung that follows one at `amount`, beyond `rungs`, on the way to `per_trial`; None: no rung can follow."""

    def check(self, paths: Iterable[str], fidelity: Fidelity, *, has_fronts: bool) -> None:
        """ConfigError for searched `paths`, a fidelity, or several objectives that the scheduler cannot deal with."""

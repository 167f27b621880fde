"""What a scheduler decides, and what it may know when it does."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from trm.search.schedulers.rung import Rung


@dataclass(frozen=True)
class Standing:
    """Where a sweep stands. All of it follows from the journal, and none of it from the order in which equals arrived."""

    boards: Mapping[int, Sequence[Rung]]
    """Group of trials that are compared with each other -> its scores, a board a rung; a group without a trial is absent."""
    asked: int
    """Trials that exist; their numbers are below this."""
    is_asking_over: bool
    """Whether no further trial will come."""
    headings: Mapping[int, int]
    """Trials on their way (a leg runs, or waits for a slot) -> the rung that they are on the way to."""
    paused: AbstractSet[int]
    """Trials that rest at a rung and were not stopped."""
    params_of: Callable[[int], Mapping[str, Any]]
    """A trial's searched knobs as they are now, by its number."""


@dataclass(frozen=True)
class Verdict:
    """What becomes of a trial that was scored at a rung below the last."""

    status: Literal["paused", "running", "stopped"]
    """Rests there; goes on at once; has ended for good."""
    reason: str


@dataclass(frozen=True)
class Adoption:
    """A paused trial is to go on from another's checkpoint of the same rung, with other knobs."""

    trial: int
    rung: int
    source: int
    params: Mapping[str, Any]
    """All its searched knobs from there on."""


@runtime_checkable
class Policy(Protocol):
    """A scheduler: a pure function of where the sweep stands, so that a replay decides the same.

    The search asks in this order: `verdict` for a leg that ended, `left_behind`, `adoptions`; then, while a slot is free, it
    starts legs that wait, then `promotion`, then a new trial when `may_ask`.
    """

    def group(self, trial: int) -> int:
        """Group of a trial, by its number: only trials of one group are ranked against each other."""

    def first_rung(self, trial: int) -> int:
        """Rung that a new trial trains to before it is scored."""

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """What becomes of `trial`, which was scored at `rung`, not the last."""

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Paused trials that will never go on, with the reason; a sweep with a larger budget may take them up again."""

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """Who goes on from whose checkpoint; asked again until there are none."""

    def promotion(self, standing: Standing) -> int | None:
        """The resting trial that goes on next, or None."""

    def may_ask(self, standing: Standing) -> bool:
        """Whether a new trial may start now; False: it has to wait for what runs."""

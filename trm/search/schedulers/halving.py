"""Synchronous successive halving (arXiv 1502.07943) and hyperband (arXiv 1603.06560): a bracket is scored whole, then halved."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from trm.search.schedulers.complete import is_complete, rank_text, stops_in
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import Decision, Exploit, Scheduler, SchedulerContext, SchedulerSettings, SearchedKnobs


@dataclass(frozen=True)
class Bracket:
    """Trials that are halved together."""

    size: int
    first_rung: int


@dataclass(frozen=True)
class Brackets:
    """Brackets that follow each other in turn, for ever; each instance is a group of its own, told by its trials' numbers."""

    cycle: tuple[Bracket, ...]

    def group(self, trial: int) -> int:
        """Number of the instance that `trial` belongs to."""
        turn, place = divmod(trial, self._turn)
        group = turn * len(self.cycle)
        for bracket in self.cycle:
            if place < bracket.size:
                break
            place -= bracket.size
            group += 1
        return group

    def bracket(self, group: int) -> Bracket:
        """What kind of bracket instance `group` is."""
        return self.cycle[group % len(self.cycle)]

    def start(self, group: int) -> int:
        """Number of the first trial of instance `group`."""
        turn, index = divmod(group, len(self.cycle))
        return turn * self._turn + sum(bracket.size for bracket in self.cycle[:index])

    @property
    def _turn(self) -> int:
        return sum(bracket.size for bracket in self.cycle)


class _Halving(SchedulerSettings):
    """What cohorts and hyperband share."""

    eta: int = Field(3, ge=2, le=16)
    """Each rung has eta times the fidelity of the one before, and 1/eta of its trials."""

    @property
    @abstractmethod
    def brackets(self) -> Brackets:
        """Which trials are halved together."""

    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """Halves one bracket after the other."""
        return SynchronousHalving(self.brackets)


class SuccessiveHalving(_Halving):
    """Synchronous successive halving (arXiv 1502.07943): the whole cohort is scored at a rung, then the best 1/eta go on."""

    type: Literal["successive_halving"] = "successive_halving"
    """Names the scheduler."""
    rungs: int = Field(3, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`."""
    cohort: int | None = Field(None, ge=2)
    """Trials that are halved together; null: eta^(rungs - 1), of which one reaches the last rung."""

    @property
    def brackets(self) -> Brackets:
        """One bracket, from the first rung."""
        return Brackets((Bracket(self.cohort or max(2, self.eta ** (self.rungs - 1)), 0),))

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """Geometric rungs."""
        return Rungs.geometric(per_trial, self.eta, self.rungs)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """Eta times as much."""
        return amount * rungs.eta


class Hyperband(_Halving):
    """Hyperband (arXiv 1603.06560): cohorts of successive halving that start at different rungs, in turn."""

    type: Literal["hyperband"] = "hyperband"
    """Names the scheduler."""
    rungs: int = Field(3, ge=1, le=10)
    """Rungs, the last at `budget.per_trial`; as many brackets, one that starts at each."""

    @property
    def brackets(self) -> Brackets:
        """With R rungs, bracket s = R - 1 ... 0 has ceil(R / (s + 1) * eta^s) trials that start at rung R - 1 - s (algorithm 1)."""
        last, eta = self.rungs - 1, self.eta
        return Brackets(tuple(Bracket(-(-self.rungs * eta**s // (s + 1)), last - s) for s in range(last, -1, -1)))

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """Geometric rungs."""
        return Rungs.geometric(per_trial, self.eta, self.rungs)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """None: the sizes of the brackets hang on the number of rungs."""
        return None


class SynchronousHalving:
    """The survivors of a rung go on when every trial of the bracket that can still reach it has (see `rung.py`).

    A slot that a bracket leaves free, because it waits for its slowest, takes trials of the next. A bracket that asking ended
    before it was full is halved with the trials it has.
    """

    def __init__(self, brackets: Brackets) -> None:
        """Halves `brackets`, one after the other."""
        self._brackets = brackets

    def group(self, trial: int) -> int:
        """The bracket that its number falls into."""
        return self._brackets.group(trial)

    def first_rung(self, trial: int) -> int:
        """Where its bracket starts."""
        return self._brackets.bracket(self.group(trial)).first_rung

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Rests until its bracket is halved."""
        return Decision("paused", rank_text(context, self.group(trial), trial, rung))

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Trials of complete rungs that are no survivors."""
        groups = sorted({self.group(trial) for trial in context.paused})
        return [stop for group in groups for stop in stops_in(context, group, self._members(group))]

    def exploits(self, context: SchedulerContext) -> Sequence[Exploit]:
        """None."""
        return ()

    def promotion(self, context: SchedulerContext) -> int | None:
        """The best survivor of the oldest bracket that has one, from its highest rung."""
        for group in sorted(context.rungs):
            rungs = context.rungs[group]
            for rung in range(len(rungs) - 2, -1, -1):
                best = rungs[rung].resting_survivor()
                if best is not None and is_complete(context, group, rung, self._members(group)):
                    return best
        return None

    def may_ask(self, context: SchedulerContext) -> bool:
        """Always."""
        return True

    def _members(self, group: int) -> range:
        return range(self._brackets.start(group), self._brackets.start(group + 1))

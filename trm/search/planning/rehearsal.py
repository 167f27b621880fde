"""What is left of a sweep, played through without training: its own scheduler decides, on drawn scores (`drawn_scores.py`).

How many trials go on from a rung follows from no quota: whoever promotes while trials still arrive promotes some that others
overtake later, fronts change with every trial at an end of them, and standard errors and flat rungs let more go on (`rung.py`).
So the sweep is rehearsed some times and the mean is told. A rehearsal decides nothing, and nothing of it is journaled.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from trm.config.step_costs import StepCosts
from trm.search.objective import measures
from trm.search.order import Order, Score
from trm.search.planning.drawn_scores import EXAMPLES, DrawnScores
from trm.search.resources.speeds import Speeds
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import Scheduler, SchedulerContext
from trm.search.space.rules import RULES, asks_first, near_share
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState


@runtime_checkable
class Played(Protocol):
    """What a rehearsal must know of a trial: one that was asked for, or a candidate."""

    @property
    def flops(self) -> StepCosts:
        """Training FLOPs of its steps."""

    @property
    def amounts(self) -> StepCosts:
        """What its steps take of the sweep's fidelity."""

    @property
    def params_count(self) -> int:
        """Parameters."""

    @property
    def inference_flops(self) -> float | None:
        """FLOPs of an answer; null: nobody asks."""


@dataclass(frozen=True)
class Work:
    """Training FLOPs, and seconds of legs (0 while no speed is known)."""

    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.seconds + other.seconds)

    def __rmul__(self, factor: float) -> "Work":
        return Work(factor * self.flops, factor * self.seconds)


@dataclass(frozen=True)
class Rehearsed:
    """What a sweep took from where it was played, in the mean of some rehearsals."""

    scored: tuple[float, ...]
    """Legs that ended at each rung."""
    work: Work
    """Of all of them."""
    audited: Work
    """What trials that were stopped early would take to the last rung."""
    clock: float
    """From the first leg to the last: seconds, or FLOPs while no speed is known."""

    def scaled(self, factor: float) -> "Rehearsed":
        """Of a sweep so many times as long."""
        scored = tuple(factor * count for count in self.scored)
        return Rehearsed(scored, factor * self.work, factor * self.audited, factor * self.clock)

    @staticmethod
    def mean(several: Sequence["Rehearsed"]) -> "Rehearsed":
        """Of some rehearsals, at least one."""
        scored = tuple(map(sum, zip(*(one.scored for one in several), strict=True)))
        work = sum((one.work for one in several), Work())
        audited = sum((one.audited for one in several), Work())
        return Rehearsed(scored, work, audited, sum(one.clock for one in several)).scaled(1 / len(several))


class Costs:
    """What legs take, each worked out once."""

    def __init__(self, rungs: Rungs, speeds: Speeds) -> None:
        """Of trials that are scored at `rungs`, at the speeds known now."""
        self.rungs, self.speeds = rungs, speeds
        self._steps: dict[int, tuple[Played, tuple[int, ...]]] = {}
        self._legs: dict[tuple[int, int, int | None], Work] = {}

    def leg(self, one: Played, rung: int, before: int | None) -> Work:
        """Of a leg to `rung`, from the rung `before` or from the start."""
        key = id(one), rung, before
        if key not in self._legs:
            steps = self.steps(one)
            first, last = steps[before] if before is not None else 0, steps[rung]
            self._legs[key] = Work(one.flops.between(first, last), self.speeds.leg_seconds(one.flops, first, last) or 0.0)
        return self._legs[key]

    def steps(self, one: Played) -> tuple[int, ...]:
        """At each rung."""
        if id(one) not in self._steps:
            self._steps[id(one)] = one, self.rungs.steps(one.amounts)  # held, so that no other gets its id
        return self._steps[id(one)][1]


@dataclass(frozen=True)
class Setting:
    """What is rehearsed."""

    space: SearchSpace
    scheduler: Scheduler
    order: Order
    slots: int
    costs: Costs
    examples: int = EXAMPLES
    """Of an evaluation."""
    rules: int = RULES
    """By which the sweep began."""

    def board(self) -> list[Rung]:
        """Rungs at which nobody was scored."""
        rungs = self.costs.rungs
        kind = ParetoRung if self.space.objective.against else Rung
        return [kind(max(2, rungs.eta), self.order, near_share(self.rules)) for _ in rungs.amounts]

    def asks_first(self, trials: int) -> bool:
        """Whether all of so many trials begin before one is promoted."""
        is_counted = self.space.budget.is_counted and asks_first(self.rules)
        return is_counted and self.costs.rungs.begin_soon(trials, self.slots)

    def others(self, one: Played, rung: int, generator: random.Random) -> tuple[float, ...]:
        """What a score is weighed against; of a metric nothing is known, so that one trial's is as likely as another's."""
        trained = self.costs.rungs.amounts[rung] if self.space.fidelity == "train_flops" else None
        if trained is None:
            trained = one.flops.up_to(self.costs.steps(one)[rung])
        known = {"params": float(one.params_count), "inference_flops": one.inference_flops, "train_flops": trained}
        against = self.space.objective.against
        figures = {each.metric: known.get(each.metric, 1.0 + generator.random()) for each in against}
        return measures(self.space.objective, figures)


@dataclass
class Standing:
    """Where a sweep stands when its rehearsal begins; changed while it is played."""

    boards: dict[int, list[Rung]] = field(default_factory=dict)
    """Group of trials -> its scores, rung by rung."""
    cast: dict[int, Played] = field(default_factory=dict)
    """Trials that exist and may go on."""
    rung_of: dict[int, int] = field(default_factory=dict)
    """Trial -> rung at which it was scored last."""
    targets: dict[int, int] = field(default_factory=dict)
    """Trials on their way, in the order in which they get slots -> the rung that they are on the way to."""
    paused: set[int] = field(default_factory=set)
    undecided: Sequence[int] = ()
    """Trials that were scored, and nothing was decided since."""
    asked: int = 0
    """Trials that exist."""
    done: Mapping[int, float] = field(default_factory=dict)
    """Trial -> seconds (or FLOPs) of its running leg that are over."""

    @staticmethod
    def of(state: SweepState, done: Mapping[int, float]) -> "Standing":
        """Where the search of a sweep stands; `done` as below. Controls and confirmations are no part of it."""
        context = state.context
        running = [leg.trial for leg in state.open_legs if leg.trial in context.targets]
        return Standing(
            boards=dict(state.rung_results),
            cast={trial.number: trial.asked for trial in state.searched},
            rung_of={trial.number: trial.rung for trial in state.searched if trial.rung is not None},
            targets={trial: context.targets[trial] for trial in dict.fromkeys([*running, *sorted(context.targets)])},
            paused=set(context.paused),
            undecided=[trial.number for trial in state.undecided if trial.is_ranked and trial.target_rung is None],
            asked=len(state.trials),
            done=done,
        )

    def copied(self) -> "Standing":
        """One that may be played."""
        return Standing(
            {group: [rung.copied() for rung in board] for group, board in self.boards.items()},
            dict(self.cast),
            dict(self.rung_of),
            dict(self.targets),
            set(self.paused),
            self.undecided,
            self.asked,
            self.done,
        )


class Rehearsal:
    """One play, from where a sweep stands to its end."""

    def __init__(self, setting: Setting, standing: Standing, coming: Sequence[Played], scores: DrawnScores) -> None:
        """`coming`: the trials that will be asked for, in their order; `standing` is changed."""
        self._setting, self._at, self._coming, self._scores = setting, standing, deque(coming), scores
        self._generator = random.Random(standing.asked)
        self._waiting = deque(standing.targets)
        self._running: list[tuple[float, int]] = []
        self._last = setting.costs.rungs.last
        self._scored = [0.0] * (self._last + 1)
        self._work = self._audited = Work()

    def play(self) -> Rehearsed:
        """To the end: nothing runs and nobody goes on."""
        now = 0.0
        for scored in self._at.undecided:
            self._decide(scored)
        while True:
            while len(self._running) < self._setting.slots and (started := self._next()) is not None:
                self._start(started, now)
            if not self._running:
                return Rehearsed(tuple(self._scored), self._work, self._audited, now)
            now, trial = heapq.heappop(self._running)
            self._end(trial)

    @property
    def _context(self) -> SchedulerContext:
        at = self._at
        asks_first = self._setting.asks_first(at.asked + len(self._coming))
        return SchedulerContext(at.boards, at.asked, not self._coming, at.targets, at.paused, lambda trial: {}, asks_first)

    def _next(self) -> int | None:
        """The trial whose leg starts next, as `Search` chooses it."""
        at, scheduler = self._at, self._setting.scheduler
        if self._waiting:
            return self._waiting.popleft()
        trial = scheduler.promotion(self._context)
        if trial is not None:
            self._leave(trial)
            at.targets[trial] = at.rung_of[trial] + 1
        elif self._coming and scheduler.may_ask(self._context):
            trial, at.asked = at.asked, at.asked + 1
            at.cast[trial] = self._coming.popleft()
            at.targets[trial] = scheduler.first_rung(trial)
            at.boards.setdefault(scheduler.group(trial), self._setting.board())
        return trial

    def _start(self, trial: int, now: float) -> None:
        work = self._setting.costs.leg(self._at.cast[trial], self._at.targets[trial], self._at.rung_of.get(trial))
        self._work += work
        done = self._at.done.get(trial, 0.0) if now == 0.0 else 0.0
        length = max(0.0, (work.seconds or work.flops) - done)
        heapq.heappush(self._running, (now + length, trial))

    def _end(self, trial: int) -> None:
        at, setting = self._at, self._setting
        rung = at.rung_of[trial] = at.targets.pop(trial)
        self._scored[rung] += 1
        amounts = setting.costs.rungs.amounts
        result = self._scores.result(trial, rung, amounts[rung] / amounts[-1])
        others = setting.others(at.cast[trial], rung, self._generator)
        digest = f"{self._generator.random()}"
        score = Score(trial, result.objective, result.standard_error, result.loss, digest, others)
        at.boards[setting.scheduler.group(trial)][rung].add(score)
        self._decide(trial)
        for stopped, _ in setting.scheduler.stops(self._context):
            self._stop(stopped)

    def _decide(self, trial: int) -> None:
        at, rung = self._at, self._at.rung_of[trial]
        if rung == self._last:
            return
        match self._setting.scheduler.decision(self._context, trial, rung).status:
            case "paused":
                at.paused.add(trial)
            case "running":
                self._leave(trial)
                at.targets[trial] = rung + 1
                self._waiting.append(trial)
            case "stopped":
                self._stop(trial)

    def _stop(self, trial: int) -> None:
        self._leave(trial)
        self._audited += self._setting.costs.leg(self._at.cast[trial], self._last, self._at.rung_of[trial])

    def _leave(self, trial: int) -> None:
        self._at.paused.discard(trial)
        self._at.boards[self._setting.scheduler.group(trial)][self._at.rung_of[trial]].leave(trial)


def climb_before(space: SearchSpace) -> float:
    """How new trials of a space are taken to stand among those before them, before any was scored; fronts do not climb as one."""
    return 1.0 if space.objective.against else space.sampler.climb


def rehearsals(trials: int, enough: int) -> int:
    """How often so many trials are played, so that about `enough` are in all."""
    return max(1, math.ceil(enough / max(1, trials)))

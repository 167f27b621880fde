"""How far a sweep is: where it stands by its journal, and what the running legs say of themselves."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from trm.search.findings.status import Leader, leader
from trm.search.planning.drawn_scores import EXAMPLES, DrawnScores, climb_of
from trm.search.planning.rehearsal import Costs, Rehearsal, Rehearsed, Setting, Standing, Work, climb_before, rehearsals
from trm.search.resources.speeds import Speeds
from trm.search.resources.spending import Spent
from trm.search.state import SweepState
from trm.seeds import derived_seed

RECENT = 16
"""Trials that the next are taken to be like."""
MOST_PLAYED = 48
"""Trials that are still to be asked for, in a rehearsal of what is left; with more, each stands for several."""
PLAYED = 32
"""Trials of all rehearsals: they are played again after every event that is shown."""
MOST_OFTEN = 8
"""Rehearsals, where few trials are left."""
SHARE, QUICK_SECONDS = 0.01, 0.1
"""Of the driver's time that all rehearsals take at most, where one takes longer than so many seconds of a core."""


@runtime_checkable
class RunningLeg(Protocol):
    """What a running leg says of itself."""

    @property
    def trial(self) -> int:
        """Number of the trial."""

    @property
    def rung(self) -> int:
        """Rung at which the leg ends."""

    @property
    def step(self) -> int:
        """Optimizer step since the trial's start."""

    @property
    def until_steps(self) -> int:
        """Step at which the leg ends."""

    @property
    def loss(self) -> float:
        """Latest training loss."""

    @property
    def steps_per_second(self) -> float:
        """Speed of late."""

    @property
    def evaluated(self) -> int:
        """Batches of the evaluation that are done; 0 while it trains."""


@dataclass(frozen=True)
class RungProgress:
    """One rung."""

    amount: float
    """Of the sweep's fidelity, of a trial that reached it."""
    running: int
    """Trials on their way to it."""
    completed: int
    """Trials that reached it."""
    best: float | None
    """Best objective at it."""


@dataclass(frozen=True)
class Snapshot:
    """Everything a person wants to see of a sweep at one moment."""

    asked: int
    """Trials that exist."""
    statuses: Mapping[str, int]
    """Trial status -> how many."""
    confirmations: Mapping[str, int]
    """Status of trials that confirm a winner -> how many."""
    fidelity: str
    """What the rungs' amounts are counted in."""
    rungs: Sequence[RungProgress]
    best: Leader | None
    flops_spent: float
    """Training FLOPs so far, the running legs' included."""
    flops_expected: float | None
    """Training FLOPs of the whole sweep, as its rungs suggest; null: no number of trials was given."""
    elapsed_seconds: float
    """Since this driver's first leg started."""
    left_seconds: float | None
    """Until the expected end, by the speeds learned and the limit reached first; null while that is unknown."""
    legs: Sequence[RunningLeg]
    waiting: str | None = None
    """What no leg runs for want of, and for how long; null: legs run."""


class _Ahead(NamedTuple):
    """What is still to be done."""

    work: Work
    clock: float
    """Seconds until the last leg ends, the slots being filled as they are; 0 while no speed is known."""


class _Rehearsed(NamedTuple):
    """What was still to be done at one moment."""

    events: int
    """So many there were."""
    at: float
    """Unix time."""
    flops_spent: float
    """By legs that had ended."""
    ahead: _Ahead


class SweepProgress:
    """How far the sweep of a state is; `snapshot` adds the clock and the running legs."""

    def __init__(self, state: SweepState) -> None:
        """It may be shown from its first event on; whoever drives the sweep changes the state."""
        self._state = state
        self._ahead: _Rehearsed | None = None
        self._rehearse_from = 0.0
        """When, by this process's monotonic clock, an event is reason enough to rehearse again."""

    def snapshot(
        self, now: float, legs: Sequence[RunningLeg] = (), waiting: str | None = None, *, foresees: bool = True
    ) -> Snapshot:
        """The sweep as it stands at unix time `now`; not `foresees`, what is expected of it stays null."""
        state = self._state
        running = [leg for leg in legs if leg.trial < len(state.trials) and state.trials[leg.trial].leg is not None]
        flops = state.spending.train_flops + sum(self._unbooked_flops_of(leg) for leg in running)
        ahead = self._left(now, running) if foresees else None
        work = None if ahead is None else ahead.work
        return Snapshot(
            asked=len(state.searched),
            statuses=Counter(trial.status for trial in state.searched),
            confirmations=Counter(trial.status for trial in state.trials if trial.is_confirmation),
            fidelity=state.space.fidelity,
            rungs=[self._rung(index) for index in range(len(state.rungs.amounts))],
            best=leader(state),
            flops_spent=flops,
            flops_expected=None if work is None or state.budget.trials is None else flops + work.flops,
            elapsed_seconds=0.0 if state.first_leg_at is None else max(0.0, now - state.first_leg_at),
            left_seconds=self._seconds_left(ahead, state.spent(now)),
            legs=sorted(legs, key=lambda leg: leg.trial),
            waiting=waiting,
        )

    def _seconds_of(self, leg: RunningLeg, speeds: Speeds) -> float:
        """What a running leg has trained so far, at such speeds; 0 while none is known."""
        trial = self._state.trials[leg.trial]
        counts = trial.asked.flops.counts(trial.steps, leg.step)
        return sum(count * (speeds.step_seconds(each) or 0.0) for each, count in counts)

    def _flops_of(self, leg: RunningLeg) -> float:
        """Training FLOPs of a running leg's rung so far."""
        trial = self._state.trials[leg.trial]
        return trial.asked.flops.between(trial.steps, leg.step)

    def _unbooked_flops_of(self, leg: RunningLeg) -> float:
        """Of them those of the leg itself, which are booked when it ends: not what it had trained when it yielded."""
        trial = self._state.trials[leg.trial]
        return trial.asked.flops.between(trial.begun_steps, max(trial.begun_steps, leg.step))

    def _left(self, now: float, legs: Sequence[RunningLeg]) -> _Ahead | None:
        """What is still to be done as the scheduler goes; of one trial more where no number is given, null before the first."""
        state, known = self._state, self._state.facts.speeds
        if not state.trials:
            return None
        speeds = self._speeds_of(legs) if known.step_seconds(1.0) is None else known
        at, work, clock = self._rehearsed(now, legs, speeds, is_news=speeds is not known)
        for leg in legs:
            work += -1 * Work(self._flops_of(leg), self._seconds_of(leg, speeds))
        return _Ahead(Work(max(0.0, work.flops), max(0.0, work.seconds)), max(0.0, clock - (now - at)))

    def _rehearsed(self, now: float, legs: Sequence[RunningLeg], speeds: Speeds, *, is_news: bool) -> tuple[float, Work, float]:
        """When (unix time) the sweep was rehearsed last, the work that was left then less what was done since, and the clock then.

        It is rehearsed after an event, or where `is_news`: what the running legs say of their `speeds` is. Where that takes long,
        at most so often that it takes `SHARE` of the driver's time.
        """
        state, kept, spent = self._state, self._ahead, self._state.spending.train_flops
        is_new = is_news or kept is None or kept.events != state.events
        if kept is None or (is_new and time.monotonic() >= self._rehearse_from):
            begun = time.process_time()
            kept = self._ahead = _Rehearsed(state.events, now, spent, self._ahead_of(speeds, legs))
            took = time.process_time() - begun
            self._rehearse_from = time.monotonic() + (took / SHARE if took > QUICK_SECONDS else 0.0)
        work, clock = kept.ahead
        left = 1.0 - (spent - kept.flops_spent) / work.flops if work.flops > 0 else 1.0
        return kept.at, max(0.0, left) * work if kept.events != state.events else work, clock

    def _ahead_of(self, speeds: Speeds, legs: Sequence[RunningLeg]) -> _Ahead:
        """All legs that have not ended, those that run as if they began now; but by the clock from where they are."""
        state = self._state
        trials = max(state.budget.trials or len(state.searched) + 1, len(state.searched))
        coming = 0 if state.exhausted else trials - len(state.searched)
        played, costs = min(coming, MOST_PLAYED), Costs(state.rungs, speeds)
        likely = [trial.asked for trial in state.trials[-RECENT:]]
        standing = Standing.of(state, {leg.trial: self._seconds_of(leg, speeds) or self._flops_of(leg) for leg in legs})
        slots = max(1, state.slots)  # the work is the same while there are none
        setting = Setting(state.space, state.scheduler, state.order, slots, costs, rules=state.resolver.rules)
        seen = [
            [trial.scores[rung] for trial in state.searched if rung in trial.scores] for rung in range(len(state.rungs.amounts))
        ]
        climb, found = climb_of(state.order, seen[0], climb_before(state.space)), []
        for number in range(min(MOST_OFTEN, rehearsals(max(played, len(standing.targets)), PLAYED))):
            generator = random.Random(derived_seed(state.space.seed, "rehearsal", number))
            scores = DrawnScores(state.order, seen, EXAMPLES, generator, climb=climb)
            next_ones = [generator.choice(likely) for _ in range(played)]
            found.append(Rehearsal(setting, standing.copied(), next_ones, scores).play())
        under_way = len(standing.targets)
        mean = Rehearsed.mean(found).scaled((coming + under_way) / max(1, played + under_way))
        whole = sum((costs.leg(one, state.rungs.last, None) for one in likely), Work())
        beside = self._controls_left(costs) + self._confirmations_left() / len(likely) * whole
        beside += (state.audit.share if state.audit is not None else 0.0) * mean.audited
        clock = mean.clock + beside.seconds / slots if speeds.step_seconds(1.0) is not None else 0.0
        return _Ahead(mean.work + beside, clock)

    def _controls_left(self, costs: Costs) -> Work:
        """Legs of the trials that run on as controls, to the last rung."""
        work = Work()
        for trial in self._state.searched:
            if trial.is_control and (target := trial.target_rung) is not None:
                work += costs.leg(trial.asked, self._state.rungs.last, target - 1 if target else None)
        return work

    def _confirmations_left(self) -> int:
        """Confirmations that have not ended, if none gets further seeds."""
        confirm, asked = self._state.confirm, [trial for trial in self._state.trials if trial.is_confirmation]
        done = sum(trial.status != "running" for trial in asked)
        wanted = confirm.top * confirm.seeds if confirm is not None else 0
        return max(wanted, len(asked)) - done

    def _speeds_of(self, legs: Sequence[RunningLeg]) -> Speeds:
        """Before any leg has ended: what the running ones say of themselves."""
        speeds = Speeds()
        for leg in legs:
            if leg.steps_per_second > 0 and leg.step > 0:
                each = self._state.trials[leg.trial].asked.flops.mean(leg.step)
                speeds.observe(each, leg.step, leg.step / leg.steps_per_second)
        return speeds

    def _seconds_left(self, ahead: _Ahead | None, spent: Spent) -> float | None:
        """Until the first limit of the budget is reached; null while that is unknown, as while no leg can run."""
        budget, slots, limits = self._state.budget, self._state.slots, list[float]()
        gpus = self._state.driver.gpus if self._state.driver is not None else 0.0
        if slots and ahead is not None and (work := ahead.work).seconds > 0:
            if budget.trials is not None:
                limits.append(max(ahead.clock, work.seconds / slots))
            if budget.train_flops is not None and work.flops > 0:
                limits.append((budget.train_flops - spent.train_flops) * work.seconds / work.flops / slots)
        if budget.wall_clock_seconds is not None:
            limits.append(budget.wall_clock_seconds - spent.wall_clock_seconds)
        if budget.gpu_hours is not None and gpus * slots > 0:
            limits.append((budget.gpu_hours - spent.gpu_hours) * 3600 / (gpus * slots))
        return max(0.0, min(limits)) if limits else None

    def _running_to(self, rung: int) -> int:
        return sum(trial.leg is not None and trial.leg.rung == rung for trial in self._state.searched)

    def _rung(self, index: int) -> RungProgress:
        state = self._state
        scores = [trial.scores[index].objective for trial in state.searched if index in trial.scores]
        best = state.order.best(scores) if scores else None
        return RungProgress(state.rungs.amounts[index], self._running_to(index), len(scores), best)

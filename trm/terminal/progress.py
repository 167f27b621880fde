"""How far a sweep is: where it stands by its journal, and what the running legs say of themselves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from trm.search.findings.status import Leader, leader
from trm.search.journal.events import Asked
from trm.search.journal.trial import Trial
from trm.search.resources.speeds import Speeds
from trm.search.resources.spending import Spent
from trm.search.schedulers.rungs import Rungs
from trm.search.state import SweepState

RECENT = 16
"""Trials that the next are taken to be like."""


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


@dataclass(frozen=True)
class Work:
    """Training FLOPs, and seconds of legs (0 while no speed is known)."""

    flops: float
    seconds: float

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.seconds + other.seconds)

    def __rmul__(self, factor: float) -> "Work":
        return Work(factor * self.flops, factor * self.seconds)


def mean_leg(likely: Sequence[Asked], rungs: Rungs, rung: int, before: int | None, speeds: Speeds) -> Work:
    """What a leg to `rung`, from the rung `before` or from the start, takes for the mean of `likely` trials."""
    total = Work(0.0, 0.0)
    for asked in likely:
        steps, flops = rungs.steps(asked.amounts), asked.flops
        first, last = steps[before] if before is not None else 0, steps[rung]
        total += Work(flops.between(first, last), speeds.leg_seconds(flops, first, last) or 0.0)
    return (1 / len(likely)) * total


class SweepProgress:
    """How far the sweep of a state is; `snapshot` adds the clock and the running legs."""

    def __init__(self, state: SweepState) -> None:
        """It may be shown from its first event on; whoever drives the sweep changes the state."""
        self._state = state
        self._ahead: tuple[int, Work] | None = None
        """Kept until the next event: that many there were."""

    def snapshot(self, now: float, legs: Sequence[RunningLeg] = (), waiting: str | None = None) -> Snapshot:
        """The sweep as it stands at unix time `now`."""
        state = self._state
        running = [leg for leg in legs if leg.trial < len(state.trials) and state.trials[leg.trial].leg is not None]
        flops = state.spending.train_flops + sum(self._flops_of(leg) for leg in running)
        work = self._work_left(running)
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
            left_seconds=self._seconds_left(work, state.spent(now)),
            legs=sorted(legs, key=lambda leg: leg.trial),
            waiting=waiting,
        )

    def _flops_of(self, leg: RunningLeg) -> float:
        """Training FLOPs of a running leg so far, which are booked when it ends."""
        trial = self._state.trials[leg.trial]
        return trial.asked.flops.between(trial.steps, leg.step)

    def _work_left(self, legs: Sequence[RunningLeg]) -> Work | None:
        """What is still to be done as the scheduler goes; of one trial more where no number is given, null before the first."""
        state, known = self._state, self._state.facts.speeds
        if not state.trials:
            return None
        if known.step_seconds(1.0) is None:
            speeds = self._speeds_of(legs)
            left = self._work_ahead(speeds)
        else:
            speeds = known
            if self._ahead is None or self._ahead[0] != state.events:
                self._ahead = state.events, self._work_ahead(speeds)
            left = self._ahead[1]
        for leg in legs:
            trial = state.trials[leg.trial]
            counts = trial.asked.flops.counts(trial.steps, leg.step)
            seconds = sum(count * (speeds.step_seconds(each) or 0.0) for each, count in counts)
            left += -1 * Work(self._flops_of(leg), seconds)
        return Work(max(0.0, left.flops), max(0.0, left.seconds))

    def _work_ahead(self, speeds: Speeds) -> Work:
        """All legs that have not ended, those that run as if they began now."""
        state = self._state
        trials = max(state.budget.trials or len(state.searched) + 1, len(state.searched))
        scored = state.space.scheduler.expected_reach(state.rungs, trials)
        starts = state.space.scheduler.expected_starts(state.rungs, trials)
        likely = [trial.asked for trial in state.trials[-RECENT:]]
        left = Work(0.0, 0.0)
        for rung, (reaching, starting) in enumerate(zip(scored, starts, strict=True)):
            done = sum(rung in trial.results or _ended_before(trial, rung) for trial in state.searched)
            count = max(reaching - done, self._running_to(rung))
            share = min(1.0, starting / reaching) if reaching else 0.0
            for before, part in ((None, share), (rung - 1, 1 - share)):
                if count > 0 and part > 0:
                    left += (count * part) * mean_leg(likely, state.rungs, rung, before, speeds)
        return left + self._confirmations_left() * mean_leg(likely, state.rungs, state.rungs.last, None, speeds)

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

    def _seconds_left(self, work: Work | None, spent: Spent) -> float | None:
        """Until the first limit of the budget is reached; null while that is unknown."""
        budget, slots, limits = self._state.budget, self._state.slots, list[float]()
        gpus = self._state.driver.gpus if self._state.driver is not None else 0.0
        if work is not None and work.seconds > 0:
            if budget.trials is not None:
                limits.append(work.seconds / slots)
            if budget.train_flops is not None and work.flops > 0:
                limits.append((budget.train_flops - spent.train_flops) * work.seconds / work.flops / slots)
        if budget.wall_clock_seconds is not None:
            limits.append(budget.wall_clock_seconds - spent.wall_clock_seconds)
        if budget.gpu_hours is not None and gpus > 0:
            limits.append((budget.gpu_hours - spent.gpu_hours) * 3600 / (gpus * slots))
        return max(0.0, min(limits)) if limits else None

    def _running_to(self, rung: int) -> int:
        return sum(trial.leg is not None and trial.leg.rung == rung for trial in self._state.searched)

    def _rung(self, index: int) -> RungProgress:
        state = self._state
        scores = [trial.scores[index].objective for trial in state.searched if index in trial.scores]
        best = state.order.best(scores) if scores else None
        return RungProgress(state.rungs.amounts[index], self._running_to(index), len(scores), best)


def _ended_before(trial: Trial, rung: int) -> bool:
    """Whether a trial ended on its way to a rung, for a reason of its own."""
    decided = trial.decided
    return decided is not None and decided.rung == rung and decided.status in ("diverged", "out_of_memory", "failed")

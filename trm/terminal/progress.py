"""How far a sweep is: a fold over the journal's events, and what the running legs say of themselves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, SlotsChanged, SweepStarted
from trm.search.order import Order, loss_kinds
from trm.search.resources.speeds import Speeds
from trm.search.resources.spending import Spent
from trm.search.schedulers.growth import grown
from trm.search.schedulers.rungs import Rungs
from trm.search.space.resolution import RULES
from trm.search.space.space import SearchSpace

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
class BestTrial:
    """The best objective so far, among the trials that reached the highest rung that any reached with a result."""

    trial: int
    rung: int
    objective: float
    standard_error: float | None
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """Everything a person wants to see of a sweep at one moment."""

    asked: int
    """Trials that exist."""
    statuses: Mapping[str, int]
    """Trial status -> how many."""
    confirmations: Mapping[str, int]
    """The same of those that confirm a winner."""
    fidelity: str
    """What the rungs' amounts are counted in."""
    rungs: Sequence[RungProgress]
    best: BestTrial | None
    flops_spent: float
    """Training FLOPs so far, the running legs' included."""
    flops_expected: float | None
    """Training FLOPs of the whole sweep, as its rungs suggest; null: no number of trials was given."""
    elapsed_seconds: float
    """Since this driver's first leg started."""
    left_seconds: float | None
    """Until the expected end, by the speeds learned and the limit reached first; null while that is unknown."""
    legs: Sequence[RunningLeg]


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
        steps = rungs.steps(asked.step_amount or asked.step_flops)
        count = steps[rung] - (steps[before] if before is not None else 0)
        total += Work(count * asked.step_flops, speeds.leg_seconds(asked.step_flops, count) or 0.0)
    return (1 / len(likely)) * total


class SweepProgress:
    """Folds a sweep's events; `snapshot` adds the clock and the running legs."""

    def __init__(self, space: SearchSpace) -> None:
        """Before the first event of the sweep of `space`."""
        self._space, self._budget = space, space.budget
        self._rungs = space.scheduler.rungs_up_to(space.budget.per_trial)
        self._order = self._order_by(RULES)
        self._asked: dict[int, Asked] = {}
        self._statuses: dict[int, str] = {}
        self._open: dict[int, LegStarted] = {}
        self._results: dict[int, dict[int, LegEnded]] = {}
        self._confirmations: set[int] = set()
        self._confirm = space.confirm
        self._lost: Counter[int] = Counter()
        """Rung -> trials that ended on the way to it."""
        self._flops: dict[int, float] = {}
        self._speeds = Speeds()
        self._ahead: Work | None = None
        """Kept until the next event."""
        self._slots, self._gpus = 1, 0.0
        self._first_leg_at: float | None = None
        self.name = ""
        """The sweep's name, from its first event."""

    def apply(self, event: Event) -> None:
        """Take in the next event of the journal."""
        self._speeds.apply(event)
        self._ahead = None
        match event:
            case SweepStarted():
                self.name, self._order = event.name, self._order_by(event.rules)
            case DriverStarted():
                self._on_driver(event)
            case SlotsChanged():
                self._slots = event.slots
            case Asked():
                self._asked[event.trial] = event
                if event.confirms is not None:
                    self._confirmations.add(event.trial)
                self._statuses[event.trial] = "running"
            case LegStarted():
                self._open[event.trial] = event
                self._statuses[event.trial] = "running"
                self._first_leg_at = event.at if self._first_leg_at is None else self._first_leg_at
            case LegEnded():
                self._open.pop(event.trial, None)
                self._flops[event.trial] = max(self._flops.get(event.trial, 0.0), event.train_flops)
                if event.status == "completed" and event.trial not in self._confirmations:
                    self._results.setdefault(event.rung, {})[event.trial] = event
            case Decided():
                self._statuses[event.trial] = event.status
                if event.status in ("diverged", "out_of_memory", "failed") and event.trial not in self._confirmations:
                    self._lost[event.rung] += 1
            case _:
                pass

    def _order_by(self, rules: int) -> Order:
        return Order.of(self._space.objective.mode, loss_kinds(self._space.search, self._space.base), rules)

    def _on_driver(self, event: DriverStarted) -> None:
        self._open.clear()
        self._first_leg_at, self._slots, self._gpus, self._confirm = None, event.slots, event.gpus, event.confirm
        if event.budget is not None:
            per_trial, self._budget = event.budget.per_trial, event.budget
            is_new = not self._asked
            self._rungs = (
                self._space.scheduler.rungs_up_to(per_trial) if is_new else grown(self._space.scheduler, self._rungs, per_trial)
            )

    def snapshot(self, now: float, legs: Sequence[RunningLeg] = (), spent: Spent | None = None) -> Snapshot:
        """The sweep as it stands at unix time `now`; `spent`: what counts against its budget."""
        running = [leg for leg in legs if leg.trial in self._open]
        flops = sum(self._flops.values()) + sum(self._flops_of(leg) for leg in running)
        work = self._work_left(running)
        return Snapshot(
            asked=self._searched,
            statuses=Counter(status for trial, status in self._statuses.items() if trial not in self._confirmations),
            confirmations=Counter(self._statuses[trial] for trial in self._confirmations),
            fidelity=self._space.fidelity,
            rungs=[self._rung(index) for index in range(len(self._rungs.amounts))],
            best=self._best(),
            flops_spent=flops,
            flops_expected=None if work is None or self._budget.trials is None else flops + work.flops,
            elapsed_seconds=0.0 if self._first_leg_at is None else max(0.0, now - self._first_leg_at),
            left_seconds=self._seconds_left(work, spent),
            legs=sorted(legs, key=lambda leg: leg.trial),
        )

    def _flops_of(self, leg: RunningLeg) -> float:
        """Training FLOPs of a running leg beyond those that are booked already."""
        return max(0.0, leg.step * self._asked[leg.trial].step_flops - self._flops.get(leg.trial, 0.0))

    def _work_left(self, legs: Sequence[RunningLeg]) -> Work | None:
        """What is still to be done as the scheduler goes; of one trial more where no number is given, null before the first."""
        if not self._asked:
            return None
        speeds = self._speeds if self._speeds.step_seconds(1.0) is not None else self._speeds_of(legs)
        if self._ahead is None or speeds is not self._speeds:
            self._ahead = self._work_ahead(speeds)
        left = self._ahead
        for leg in legs:
            asked = self._asked[leg.trial]
            made = self._flops_of(leg)
            left += -1 * Work(made, made / asked.step_flops * (speeds.step_seconds(asked.step_flops) or 0.0))
        return Work(max(0.0, left.flops), max(0.0, left.seconds))

    def _work_ahead(self, speeds: Speeds) -> Work:
        """All legs that have not ended, those that run as if they began now."""
        trials = max(self._budget.trials or self._searched + 1, self._searched)
        scored = self._space.scheduler.expected_reach(self._rungs, trials)
        starts = self._space.scheduler.expected_starts(self._rungs, trials)
        likely = [self._asked[trial] for trial in sorted(self._asked)[-RECENT:]]
        left = Work(0.0, 0.0)
        for rung, (reaching, starting) in enumerate(zip(scored, starts, strict=True)):
            done = len(self._results.get(rung, {})) + self._lost[rung]
            count = max(reaching - done, self._running_to(rung))
            share = min(1.0, starting / reaching) if reaching else 0.0
            for before, part in ((None, share), (rung - 1, 1 - share)):
                if count > 0 and part > 0:
                    left += (count * part) * mean_leg(likely, self._rungs, rung, before, speeds)
        return left + self._confirmations_left() * mean_leg(likely, self._rungs, self._rungs.last, None, speeds)

    @property
    def _searched(self) -> int:
        return len(self._asked) - len(self._confirmations)

    def _confirmations_left(self) -> int:
        """Confirmations that have not ended, if none gets further seeds."""
        done = sum(self._statuses[trial] != "running" for trial in self._confirmations)
        wanted = self._confirm.top * self._confirm.seeds if self._confirm is not None else 0
        return max(wanted, len(self._confirmations)) - done

    def _speeds_of(self, legs: Sequence[RunningLeg]) -> Speeds:
        """Before any leg has ended: what the running ones say of themselves."""
        speeds = Speeds()
        for leg in legs:
            if leg.steps_per_second > 0:
                speeds.observe(self._asked[leg.trial].step_flops, leg.step, leg.step / leg.steps_per_second)
        return speeds

    def _seconds_left(self, work: Work | None, spent: Spent | None) -> float | None:
        """Until the first limit of the budget is reached; null while that is unknown."""
        budget, limits = self._budget, list[float]()
        if work is not None and work.seconds > 0:
            if budget.trials is not None:
                limits.append(work.seconds / self._slots)
            if budget.train_flops is not None and spent is not None and work.flops > 0:
                limits.append((budget.train_flops - spent.train_flops) * work.seconds / work.flops / self._slots)
        if spent is not None and budget.wall_clock_seconds is not None:
            limits.append(budget.wall_clock_seconds - spent.wall_clock_seconds)
        if spent is not None and budget.gpu_hours is not None and self._gpus > 0:
            limits.append((budget.gpu_hours - spent.gpu_hours) * 3600 / (self._gpus * self._slots))
        return max(0.0, min(limits)) if limits else None

    def _running_to(self, rung: int) -> int:
        return sum(leg.rung == rung for trial, leg in self._open.items() if trial not in self._confirmations)

    def _rung(self, index: int) -> RungProgress:
        results = self._results.get(index, {})
        objectives = [result.objective for result in results.values() if result.objective is not None]
        best = self._order.best(objectives) if objectives else None
        return RungProgress(self._rungs.amounts[index], self._running_to(index), len(results), best)

    def _best(self) -> BestTrial | None:
        for rung in sorted(self._results, reverse=True):
            done = [result for result in self._results[rung].values() if result.objective is not None]
            if done:
                scores = [self._order.score(result, self._asked[result.trial].digest) for result in done]
                best = self._results[rung][min(scores, key=self._order.key).trial]
                assert best.objective is not None
                return BestTrial(best.trial, rung, best.objective, best.standard_error, self._asked[best.trial].shown_params)
        return None

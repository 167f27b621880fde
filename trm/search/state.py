"""Where a sweep stands: what the journal's events add up to. It changes by `apply` alone, so that a replay comes to the same.

Everything that is shown of a sweep (terminal, `--status`, MLflow, tables, pictures, the exported winner) is a function of this
state, so that all of it names the same best trial and the same compute at every moment.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import get_args

from trm.errors import SweepError
from trm.search.decisions import is_set_aside
from trm.search.journal.events import (
    Adopted,
    Asked,
    Decided,
    DriverStarted,
    DriverStopped,
    Event,
    LegEnded,
    LegStarted,
    LegWidened,
    PlaceAwaited,
    Reported,
    SlotsChanged,
    SpaceExhausted,
    SweepEnded,
    SweepStarted,
    TestTimeChosen,
    TestTimePassed,
)
from trm.search.journal.priors import Prior
from trm.search.journal.trial import ACTIVE, ENDED, Ended, Paused, Phase, Reopened, Running, Stopped, Trial, Undecided, Waiting
from trm.search.leaderboard import Leaderboard
from trm.search.objective import figures, measures, outcomes, violation
from trm.search.order import Order, Score, loss_kinds
from trm.search.resources.speeds import own_steps
from trm.search.resources.spending import Spending, Spent
from trm.search.schedulers.growth import grown
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import SchedulerContext
from trm.search.settings import Budget
from trm.search.space.candidates import CostOf, Facts, Resolver, SetFacts, scheduler_of
from trm.search.space.rules import asks_first, near_share
from trm.search.space.space import SearchSpace


class SweepState:
    """Where a sweep stands."""

    def __init__(
        self,
        space: SearchSpace,
        cost_of: CostOf | None = None,
        *,
        epoch_rows: float | None = None,
        sets: Mapping[str, SetFacts] | None = None,
    ) -> None:
        """A sweep of `space` before its first event; who only follows a journal need not know what configurations cost.

        `epoch_rows`: rows that an epoch visits, where the fidelity is epochs; `sets`: of a space with several data sets.
        """
        self.space = space
        self.budget = space.budget
        self.facts = Facts(epoch_rows=epoch_rows, sets=sets or {})
        self.resolver = Resolver(space, cost_of, self.facts)
        self.scheduler = scheduler_of(space)
        self.order = self._order_by(self.resolver.rules)
        """Which of two scores is better."""
        self._leaderboard = Leaderboard(self.order, has_fronts=bool(space.objective.against))
        self.confirm, self.audit, self.test_time = space.confirm, space.audit, space.test_time
        self.trials: list[Trial] = []
        self.searched: list[Trial] = []
        """Trials that the search asked for: all but confirmations."""
        self.confirmations: dict[int, list[Trial]] = {}
        """Trial -> trials that train its configuration again."""
        self.early_stops = 0
        """Trials that early stopping ended, or would have ended had they not become controls."""
        self.rung_results: dict[int, list[Rung]] = {}
        """Group of trials that are ranked against each other -> its scores, a board a rung."""
        self.spending = Spending()
        self.events = 0
        """Events so far."""
        self.legs = 0
        """Legs that ended, whatever came of them."""
        self.slots = 1
        """Legs that run side by side."""
        self._wide: set[int] = set()
        """Trials that have more than one slot, or were promised more."""
        self.first_leg_at: float | None = None
        """Unix seconds at which this driver's first leg started."""
        self.awaits: PlaceAwaited | None = None
        """Why no leg runs though some could; null: they run."""
        self.started: SweepStarted | None = None
        self.driver: DriverStarted | None = None
        self.left: DriverStopped | None = None
        """How the last driver left in order; null: it drives, was killed, or ended the sweep."""
        self.ended: SweepEnded | None = None
        self.reports: dict[int, Reported] = {}
        self.test_time_passes: dict[str, list[TestTimePassed]] = {}
        self.test_time_chosen: dict[str, TestTimeChosen] = {}
        """By the checkpoint whose weights they are of."""
        self.copies: dict[str, int] = {}
        """Digest of a configuration -> trials of the search that have it."""
        self._in: dict[type[Phase], set[int]] = {kind: set() for kind in get_args(Phase)}
        """Phase -> numbers of the trials that are in it."""
        self._targets: dict[int, int] = {}
        """Ranked trials on their way -> the rung that they are on the way to."""
        self._context: SchedulerContext | None = None
        """As of the last event."""
        self.exhausted: str | None = None
        """Why the space has nothing new to offer; null: it has."""
        self.best_ever: Score | None = None
        """The best score that any rung saw, which a target is compared with."""

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.started.name if self.started is not None else self.space.name

    @property
    def rungs(self) -> Rungs:
        """Amounts of fidelity at which trials are scored; a resume with a longer `budget.per_trial` adds some."""
        return self.resolver.rungs

    @property
    def priors(self) -> list[Prior]:
        """Earlier sweeps that it starts from."""
        return self.started.priors if self.started is not None else []

    def apply(self, event: Event) -> None:
        """Takes an event in; SweepError when it cannot follow what came before."""
        self._context = None
        if not isinstance(event, DriverStarted):
            self.spending.read(event)
        match event:
            case SweepStarted():
                self._on_sweep_started(event)
            case DriverStarted():
                self._on_driver(event)
            case Asked():
                self._on_asked(event)
            case SpaceExhausted():
                self.exhausted = event.reason if event.too_small is None else f"{event.reason}: {event.too_small}"
            case LegStarted():
                self._on_leg_started(event)
            case LegWidened():
                self._on_leg_widened(event)
            case LegEnded():
                self._on_leg_ended(event)
            case Decided():
                self._on_decided(event)
            case Adopted():
                self._on_adopted(event)
            case Reported():
                self.reports[event.trial] = event
            case TestTimePassed():
                self.test_time_passes.setdefault(event.checkpoint, []).append(event)
            case TestTimeChosen():
                self.test_time_chosen[event.checkpoint] = event
            case SlotsChanged():
                self.slots = event.slots
                for number in sorted(self._wide):  # promised places may be on what has left
                    self._hold(self.trials[number], self.trials[number].slots, None)
            case PlaceAwaited():
                self.awaits = None if event.what is None else event
            case DriverStopped():
                self.left = event
            case SweepEnded():
                self.ended = event
                self.spending.clock.stop()
            case _:
                pass
        self.facts.speeds.apply(event)
        self.events += 1
        self._context = None

    def _on_sweep_started(self, event: SweepStarted) -> None:
        self.started, self.resolver.rules, self.order = event, event.rules, self._order_by(event.rules)
        self.scheduler = scheduler_of(self.space, event.rules)
        self._leaderboard = Leaderboard(self.order, has_fronts=bool(self.space.objective.against))

    def _order_by(self, rules: int) -> Order:
        return Order.of(self.space.objective.mode, loss_kinds(self.space.search, self.space.base), rules)

    def _on_driver(self, event: DriverStarted) -> None:
        self.spending.start(event, self.open_legs)
        self.driver, self.left, self.ended, self.exhausted = event, None, None, None
        self.slots, self.first_leg_at, self.awaits = event.slots, None, None
        self.facts.memory.device(event.device_bytes)
        self.facts.disk_bytes = event.disk_bytes
        self.confirm, self.audit, self.test_time = event.confirm, event.audit, event.test_time
        if event.budget is not None:
            self._take_budget(event.budget)
        for trial in self._active_trials():
            if isinstance(trial.phase, Running):
                self._enter(trial, Waiting(trial.phase.leg.rung))
        for number in sorted(self._in[Stopped]):
            if (target := self.trials[number].target_rung) is not None:
                self._enter(self.trials[number], Reopened(target))
        for trial in self._active_trials():
            del trial.troubles["lost"]
            trial.node_losses = 0
            self._hold(trial, 1, None)

    def _enter(self, trial: Trial, phase: Phase) -> None:
        """The only way from one phase to another."""
        self._in[type(trial.phase)].discard(trial.number)
        self._in[type(phase)].add(trial.number)
        trial.phase = phase
        target = trial.target_rung if isinstance(phase, ACTIVE) and trial.is_ranked else None
        if target is None:
            self._targets.pop(trial.number, None)
        else:
            self._targets[trial.number] = target

    def _active_trials(self) -> list[Trial]:
        return [self.trials[number] for number in sorted(set().union(*(self._in[kind] for kind in ACTIVE)))]

    def _take_budget(self, budget: Budget) -> None:
        before, self.budget = self.budget, budget
        if not self.trials:
            self.resolver.rungs = self.space.scheduler.rungs_up_to(budget.per_trial)
        elif budget.per_trial != before.per_trial:
            self.resolver.rungs = grown(self.space.scheduler, self.rungs, budget.per_trial)
            for rung_results in self.rung_results.values():
                rung_results += self._new_rung_results(len(rung_results))
            for trial in self.trials:
                if trial.phase == Ended("finished") and trial.is_ranked:
                    self._enter(trial, Paused())

    def _on_asked(self, event: Asked) -> None:
        _require(event.trial == len(self.trials), event)
        trial = Trial(event)
        self.trials.append(trial)
        if event.confirms is not None:
            self._enter(trial, Waiting(self.rungs.last))
            self.confirmations.setdefault(event.confirms, []).append(trial)
            return
        self._enter(trial, Waiting(self.scheduler.first_rung(event.trial)))
        self.searched.append(trial)
        self.rung_results.setdefault(self.scheduler.group(event.trial), self._new_rung_results(0))
        self.copies[event.digest] = self.copies.get(event.digest, 0) + 1

    def _new_rung_results(self, first: int) -> list[Rung]:
        kind = ParetoRung if self.space.objective.against else Rung
        return [kind(max(2, self.rungs.eta), self.order, near_share(self.resolver.rules)) for _ in self.rungs.amounts[first:]]

    def _on_leg_started(self, event: LegStarted) -> None:
        trial = self._trial(event.trial, event)
        _require(trial.leg is None and event.rung == trial.next_rung < len(self.rungs.amounts), event)
        if trial.target_rung is None:
            self._leave_rung(trial)
        if event.attempt == 0:
            trial.troubles.clear()
            trial.node_losses, trial.carried = 0, None
        self._hold(trial, trial.wider or 1, None)
        self.spending.hold(event, trial.slots)
        if trial.slots > 1:
            trial.wide[event.rung, event.attempt] = trial.slots
        self._enter(trial, Running(event))
        trial.attempts[event.rung] = event.attempt + 1
        self.first_leg_at = event.at if self.first_leg_at is None else self.first_leg_at

    def _hold(self, trial: Trial, slots: int, wider: int | None) -> None:
        """The trial's slots, and what it was promised, are these from here on."""
        trial.slots, trial.wider = slots, wider
        if slots > 1 or wider is not None:
            self._wide.add(trial.number)
        else:
            self._wide.discard(trial.number)

    @property
    def held_slots(self) -> int:
        """Slots that legs have or were promised."""
        running, wide = self._in[Running], self._wide
        return len(running) - len(running & wide) + sum(self.trials[number].held_slots for number in wide)

    def _on_leg_widened(self, event: LegWidened) -> None:
        trial = self._trial(event.trial, event)
        leg = trial.leg
        _require(leg is not None and (leg.rung, leg.attempt) == (event.rung, event.attempt) and event.slots > trial.slots, event)
        self._hold(trial, trial.slots, event.slots)

    def _on_leg_ended(self, event: LegEnded) -> None:
        trial = self._trial(event.trial, event)
        _require(self.is_open(event), event)
        assert trial.leg is not None
        self.spending.release(trial.leg, event.at)
        self.legs += 1
        flops = _own_flops(trial, event)
        trial.spent_flops += flops
        self.spending.train_flops += flops
        trial.train_seconds += event.train_seconds
        trial.eval_seconds += event.eval_seconds
        trial.overhead_seconds += event.overhead_seconds
        if event.status == "yielded":
            if event.steps >= trial.begun_steps:  # else it yielded before its first step
                trial.carried = event
            trial.yields.append(event)
            self._hold(trial, 1, trial.wider)
            self._enter(trial, Waiting(event.rung))
            return
        if event.status == "completed" and event.objective is not None:
            if trial.slots == 1:
                self._learn(trial, trial.leg, event)
            self._enter(trial, Undecided(None))
            self._take_result(trial, event)
        else:
            self._enter(trial, Undecided(event.rung))
            trial.trouble = event
            if event.with_node:
                trial.node_losses += 1
            else:
                trial.troubles[event.status] += 1
            if event.status == "out_of_memory" and trial.slots == 1:  # more workers on a machine need more of it
                self.facts.memory.ran_out(trial.asked.memory_bytes)
        self._hold(trial, 1, None)

    def _learn(self, trial: Trial, leg: LegStarted, event: LegEnded) -> None:
        """What a leg on one slot says of the next; on more, each worker has less to hold and to do."""
        self.facts.memory.completed(trial.asked.memory_bytes, event.peak_memory_bytes)
        if leg.expected_seconds and leg.attempt == 0:  # another goes on from what the one before has left
            trial.pace = (event.train_seconds + event.eval_seconds + event.overhead_seconds) / leg.expected_seconds

    def _take_result(self, trial: Trial, event: LegEnded) -> None:
        assert event.objective is not None
        others = measures(self.space.objective, self.figures(trial, event))
        broken = violation(self.space.objective, self.outcomes(trial, event))
        score = self.order.score(event, trial.asked.digest, others, broken)
        trial.results[event.rung], trial.scores[event.rung] = event, score
        trial.origin = event.checkpoint
        self.reports.pop(event.trial, None)  # it was on weights that are not its last any more
        if trial.is_ranked:
            self._rung_results_of(trial)[event.rung].add(score)
        if not trial.is_confirmation:
            self._leaderboard.place(score, event.rung)
            if self.best_ever is None or self._stands_before(score, self.best_ever):
                self.best_ever = score

    def _on_decided(self, event: Decided) -> None:
        trial = self._trial(event.trial, event)
        trial.decided = event
        self.early_stops += event.is_early
        if trial.leg is not None:  # the sweep's end cuts it short
            self.spending.release(trial.leg, event.at)
        self._hold(trial, 1, None)
        target, is_over = trial.target_rung, event.status in ENDED and not event.reopens
        if (event.status == "running" and target is None) or (is_over and event.status != "finished"):
            self._leave_rung(trial)
        if event.is_early and event.status == "running":
            trial.control_from = event.rung
        if event.status == "running":
            self._enter(trial, Waiting(event.rung + 1 if target is None else target))
        elif event.status == "paused":
            self._enter(trial, Paused())
        else:
            self._enter(trial, Ended(event.status) if is_over else Stopped(target))

    def _on_adopted(self, event: Adopted) -> None:
        trial, source = self._trial(event.trial, event), self._trial(event.source, event)
        _require(trial.target_rung is None and trial.rung == event.rung and event.rung in source.results, event)
        self._leave_rung(trial)
        trial.adoptions.append(event)
        trial.origin = source.results[event.rung].checkpoint
        self._enter(trial, Waiting(event.rung + 1))

    def is_open(self, event: LegEnded) -> bool:
        """Whether `event` ends a leg that runs: false for one that a new driver voided, or that ended before."""
        if not 0 <= event.trial < len(self.trials):
            return False
        leg = self.trials[event.trial].leg
        return leg is not None and (leg.rung, leg.attempt) == (event.rung, event.attempt)

    @property
    def running(self) -> AbstractSet[int]:
        """Trials that a leg runs of."""
        return self._in[Running]

    @property
    def open_legs(self) -> list[LegStarted]:
        """Legs that run, by trial."""
        return [leg for number in sorted(self._in[Running]) if (leg := self.trials[number].leg) is not None]

    @property
    def waiting(self) -> list[Trial]:
        """Trials whose next leg waits for a slot."""
        resting = set[int]().union(*(self._in[kind] for kind in ACTIVE if kind is not Running))
        return [trial for number in sorted(resting) if (trial := self.trials[number]).is_waiting]

    @property
    def undecided(self) -> list[Trial]:
        """Trials whose last leg ended and about whom nothing was decided since."""
        return [self.trials[number] for number in sorted(self._in[Undecided])]

    @property
    def has_asked_all(self) -> bool:
        """Whether no further trial of the search will come."""
        limit = self.budget.trials
        return self.exhausted is not None or (limit is not None and len(self.searched) >= limit)

    @property
    def context(self) -> SchedulerContext:
        """What a scheduler may know; asked for several times between two events."""
        if self._context is None:
            self._context = self._new_context()
        return self._context

    def _new_context(self) -> SchedulerContext:
        return SchedulerContext(
            rungs=self.rung_results,
            asked=len(self.trials),
            is_asking_over=self.has_asked_all,
            targets=self._targets,
            paused=self._in[Paused],
            params_of=lambda number: self.trials[number].params,
            asks_first=self._asks_first,
        )

    @property
    def _asks_first(self) -> bool:
        trials = self.budget.trials if self.budget.is_counted else None
        return trials is not None and asks_first(self.resolver.rules) and self.rungs.begin_soon(trials, self.slots)

    @property
    def is_hopeless(self) -> bool:
        """Whether trials failed and none ever completed a leg: the job has failed, not only its trials."""
        return self.best_ever is None and bool(self._failed)

    @property
    def has_only_failed(self) -> int | None:
        """How many trials failed, where all that exist have failed or wait and none ever completed a leg; null otherwise."""
        failed = len(self._failed) if self.best_ever is None else 0
        active = sum(len(self._in[kind]) for kind in ACTIVE)
        return failed if failed and failed + active == len(self.trials) else None

    @property
    def first_failure(self) -> str | None:
        """Why the first trial that failed, or was lost again and again, did; null when none did."""
        trouble = self._failed[0].trouble if self._failed else None
        return trouble.error if trouble is not None else None

    @property
    def _failed(self) -> list[Trial]:
        ended = sorted(self._in[Ended] | self._in[Stopped])
        return [self.trials[number] for number in ended if _has_failed(self.trials[number])]

    def spent(self, now: float) -> Spent:
        """What the sweep has spent at unix time `now`, over all its drivers."""
        return self.spending.spent(now, self.open_legs)

    def needed_checkpoints(self) -> set[str]:
        """Checkpoints, relative to the sweep folder, that a leg starts from now or may start from, cut short or not yet begun."""
        alive = [trial for trial in self.trials if trial.status in ("running", "paused") or trial.is_waiting]
        return {trial.origin for trial in alive if trial.origin is not None}

    def leaderboard(self) -> list[Trial]:
        """Trials of the search that were scored, best first by their last scores (`order.py`).

        With several objectives front by front, and so within each front: the first is the best by the objective's own metric.
        """
        return [self.trials[number] for number in self._leaderboard.ranked]

    def fronts(self) -> list[list[Trial]]:
        """Scored trials by Pareto front of their last scores, the best first; with one objective, equals are a front."""
        return [[self.trials[number] for number in front] for front in self._leaderboard.fronts()]

    @property
    def leader(self) -> Trial | None:
        """The first of the leaderboard; null while no trial was scored."""
        number = self._leaderboard.first
        return None if number is None else self.trials[number]

    def best_of_each(self, count: int, is_wanted: Callable[[Trial], bool]) -> list[Trial]:
        """The best wanted trial of so many configurations, those of the highest rungs first, then by the leaderboard."""
        found: dict[str, Trial] = {}
        for number in self._leaderboard.by_rung:
            trial = self.trials[number]
            if is_wanted(trial):
                found.setdefault(trial.asked.digest, trial)
            if len(found) == count:
                break
        return list(found.values())

    def _leave_rung(self, trial: Trial) -> None:
        if trial.rung is not None and trial.is_ranked:
            self._rung_results_of(trial)[trial.rung].leave(trial.number)

    def _rung_results_of(self, trial: Trial) -> list[Rung]:
        return self.rung_results[self.scheduler.group(trial.number)]

    def figures(self, trial: Trial, result: LegEnded) -> dict[str, float | None]:
        """What a score of the trial is weighed against, by name."""
        amount = self.rungs.amounts[result.rung] if self.space.fidelity == "train_flops" else None
        return figures(self.space.objective, trial.asked, result, amount)

    def outcomes(self, trial: Trial, result: LegEnded) -> dict[str, float | None]:
        """What a score of the trial came to of the figures that outcome constraints are about."""
        amount = self.rungs.amounts[result.rung] if self.space.fidelity == "train_flops" else None
        return outcomes(self.space.objective, trial.asked, result, amount)

    def _stands_before(self, one: Score, other: Score) -> bool:
        return (one.violation, self.order.cost(one.objective)) < (other.violation, self.order.cost(other.objective))

    def _trial(self, number: int, event: Event) -> Trial:
        _require(0 <= number < len(self.trials), event)
        return self.trials[number]


def _has_failed(trial: Trial) -> bool:
    return trial.phase == Ended("failed") or (isinstance(trial.phase, Stopped) and is_set_aside(trial))


def _own_flops(trial: Trial, event: LegEnded) -> float:
    """Training FLOPs that a leg took itself: not those that an earlier attempt left it, and all when it had to begin anew."""
    if event.status == "completed":
        flops = trial.asked.flops
        return flops.between(event.steps - own_steps(event, flops, trial.begun_steps), event.steps)
    before = trial.carried or trial.result
    return max(0.0, event.train_flops - (before.train_flops if before is not None else 0.0))


def _require(holds: bool, event: Event) -> None:
    if not holds:
        raise SweepError(
            f"the journal cannot be: {event!r} does not follow from what stands before it", remedy="restore it from a copy"
        )

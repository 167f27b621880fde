"""The search itself: a fold over the journal's events, and the events that follow from where it stands.

It needs no cluster and reads no clock: what happens is told by `apply`, what to do is asked by `next_events(now, slots_free)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trm.config import RunConfig
from trm.errors import SweepError
from trm.search.asha import Rung, Score
from trm.search.asking import Asker
from trm.search.candidates import CostOf, Facts, Resolver
from trm.search.events import (
    Adopted,
    Asked,
    Decided,
    DriverStarted,
    Event,
    LegEnded,
    LegStarted,
    Reported,
    SpaceExhausted,
    SpeedMeasured,
    SweepEnded,
    SweepStarted,
)
from trm.search.policies.choice import policy_of
from trm.search.policies.growth import grown
from trm.search.policies.policy import Standing, Verdict
from trm.search.rungs import Rungs
from trm.search.seeds import derived_seed
from trm.search.settings import Budget
from trm.search.space import SearchSpace
from trm.search.speeds import own_steps
from trm.search.spending import Spending, Spent
from trm.search.trial import ENDED, Trial
from trm.search.verdicts import stopped, verdict

HOPELESS = 3
"""So many trials failed and none ever completed a leg: the sweep cannot work."""


@dataclass(frozen=True)
class LegOrder:
    """Everything a worker needs to run a leg."""

    trial: int
    rung: int
    attempt: int
    config: RunConfig
    until_steps: int
    from_checkpoint: str | None
    """Relative to the sweep folder; null: from scratch."""


class Search:
    """Where a sweep stands, and what follows from it."""

    def __init__(self, space: SearchSpace, cost_of: CostOf, *, folder: str | None = None, epoch_rows: float | None = None) -> None:
        """A sweep of `space` before its first event; `folder` is the built data set that orders carry, of `epoch_rows` an epoch."""
        self.space = space
        self.folder = folder
        self.budget = space.budget
        self.facts = Facts(epoch_rows=epoch_rows)
        self.resolver = Resolver(space, cost_of, self.facts)
        self.policy = policy_of(space)
        self.trials: list[Trial] = []
        self.boards: dict[int, list[Rung]] = {}
        """Group of trials that are ranked against each other -> its scores, a board a rung."""
        self.spending = Spending()
        self.started: SweepStarted | None = None
        self.driver: DriverStarted | None = None
        self.ended: SweepEnded | None = None
        self.reports: dict[int, Reported] = {}
        self._asker = Asker(self.resolver)
        self._copies: dict[str, int] = {}
        self._active: set[int] = set()
        self._paused: set[int] = set()
        self._undecided: set[int] = set()
        self._exhausted: str | None = None
        self._failed = 0
        self._best: tuple[int, float] | None = None
        """Trial and objective of the best score so far, at any rung."""

    @property
    def rungs(self) -> Rungs:
        """Amounts of fidelity at which trials are scored; a resume with a longer `budget.per_trial` adds some."""
        return self.resolver.rungs

    # The fold -------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Takes an event in; SweepError when it cannot follow what came before."""
        if not isinstance(event, DriverStarted):
            self.spending.read(event)
        match event:
            case SweepStarted():
                self.started = event
            case DriverStarted():
                self._on_driver(event)
            case Asked():
                self._on_asked(event)
            case SpaceExhausted():
                self._exhausted = event.reason
            case SpeedMeasured():
                self.facts.speeds.observe(event.step_flops, event.steps, event.seconds)
            case LegStarted():
                self._on_leg_started(event)
            case LegEnded():
                self._on_leg_ended(event)
            case Decided():
                self._on_decided(event)
            case Adopted():
                self._on_adopted(event)
            case Reported():
                self.reports[event.trial] = event
            case SweepEnded():
                self.ended = event
                self.spending.clock.stop()
            case _:
                pass

    def _on_driver(self, event: DriverStarted) -> None:
        self.spending.start(event, self.open_legs)
        self.driver, self.ended, self._exhausted = event, None, None
        self.facts.memory.device(event.device_bytes)
        self.facts.disk_bytes = event.disk_bytes
        if event.budget is not None:
            self._take_budget(event.budget)
        for number in self._active:
            self.trials[number].leg = None
        self._active.update(trial.number for trial in self.trials if trial.is_waiting)

    def _take_budget(self, budget: Budget) -> None:
        before, self.budget = self.budget, budget
        if not self.trials:
            self.resolver.rungs = Rungs.of(self.space.scheduler, budget.per_trial)
        elif budget.per_trial != before.per_trial:
            self.resolver.rungs = grown(self.space.scheduler, self.rungs, budget.per_trial)
            for boards in self.boards.values():
                boards += self._new_boards(len(boards))
            for trial in self.trials:
                if trial.status == "finished":
                    trial.status = "paused"
                    self._paused.add(trial.number)

    def _on_asked(self, event: Asked) -> None:
        _require(event.trial == len(self.trials), event)
        self.trials.append(Trial(event, heading=self.policy.first_rung(event.trial)))
        self.boards.setdefault(self.policy.group(event.trial), self._new_boards(0))
        self._copies[event.digest] = self._copies.get(event.digest, 0) + 1
        self._active.add(event.trial)

    def _new_boards(self, first: int) -> list[Rung]:
        return [Rung(max(2, self.rungs.eta), self.space.objective.mode) for _ in self.rungs.amounts[first:]]

    def _on_leg_started(self, event: LegStarted) -> None:
        trial = self._trial(event.trial, event)
        _require(trial.leg is None and event.rung == trial.next_rung < len(self.rungs.amounts), event)
        if trial.heading is None:
            self._leave_board(trial)
        if event.attempt == 0:
            trial.failures = trial.losses = trial.stalls = 0
        trial.status, trial.heading, trial.leg = "running", event.rung, event
        trial.attempts[event.rung] = event.attempt + 1
        self._paused.discard(event.trial)
        self._active.add(event.trial)

    def _on_leg_ended(self, event: LegEnded) -> None:
        trial = self._trial(event.trial, event)
        _require(self.is_open(event), event)
        assert trial.leg is not None
        self.spending.release(trial.leg, event.at)
        trial.leg = None
        before = trial.result.train_flops if trial.result is not None else 0.0
        flops = max(0.0, event.train_flops - before)
        trial.spent_flops += flops
        self.spending.train_flops += flops
        trial.train_seconds += event.train_seconds
        trial.eval_seconds += event.eval_seconds
        trial.overhead_seconds += event.overhead_seconds
        self._undecided.add(event.trial)
        if event.status == "completed" and event.objective is not None:
            trial.results[event.rung] = event
            trial.heading, trial.origin = None, event.checkpoint
            self._boards_of(trial)[event.rung].add(_score(trial, event))
            if self._best is None or self._better(event.objective, self._best[1]) != self._best[1]:
                self._best = event.trial, event.objective
            self._learn(trial, event)
        else:
            trial.trouble = event
            trial.failures += event.status == "failed"
            trial.losses += event.status == "lost"
            trial.stalls += event.status == "stalled"
            if event.status == "out_of_memory":
                self.facts.memory.ran_out(trial.asked.memory_bytes)

    def _learn(self, trial: Trial, event: LegEnded) -> None:
        """What a completed leg says of speed and memory."""
        asked = trial.asked
        before = max((result.steps for rung, result in trial.results.items() if rung < event.rung), default=0)
        self.facts.memory.completed(asked.memory_bytes, event.peak_memory_bytes)
        self.facts.speeds.observe_leg(
            asked.step_flops,
            own_steps(event, asked.step_flops, before),
            train_seconds=event.train_seconds,
            eval_seconds=event.eval_seconds,
            overhead_seconds=event.overhead_seconds,
        )

    def _on_decided(self, event: Decided) -> None:
        trial = self._trial(event.trial, event)
        trial.status, trial.decided = event.status, event
        self._failed += event.status == "failed"
        self._undecided.discard(event.trial)
        self._paused.discard(event.trial)
        if event.status == "running":
            if trial.heading is None:
                self._leave_board(trial)
                trial.heading = event.rung + 1
            return
        self._active.discard(event.trial)
        trial.leg = None
        if event.status == "paused":
            self._paused.add(event.trial)
        if event.status in ENDED and not event.reopens:
            trial.heading = None
            if event.status != "finished":
                self._leave_board(trial)

    def _on_adopted(self, event: Adopted) -> None:
        trial, source = self._trial(event.trial, event), self._trial(event.source, event)
        _require(trial.heading is None and trial.rung == event.rung and event.rung in source.results, event)
        trial.adopted, trial.origin = event, source.results[event.rung].checkpoint

    def _leave_board(self, trial: Trial) -> None:
        if trial.rung is not None:
            self._boards_of(trial)[trial.rung].leave(trial.number)

    def _boards_of(self, trial: Trial) -> list[Rung]:
        return self.boards[self.policy.group(trial.number)]

    def _better(self, one: float, other: float) -> float:
        return max(one, other) if self.space.objective.mode == "max" else min(one, other)

    def _trial(self, number: int, event: Event) -> Trial:
        _require(0 <= number < len(self.trials), event)
        return self.trials[number]

    # What follows ---------------------------------------------------------------------------------------------------

    def next_events(self, now: float, slots_free: int) -> list[Event]:
        """The next events to journal, apply and act upon; ask again after that, until there are none: then wait.

        Decisions come first; then, while a slot is free, a leg that waits, a promotion, a new trial.
        """
        if due := self.due_decisions(now):
            return due
        if slots_free <= 0 or self.ended is not None or self._must_stop(now) is not None:
            return []
        leg = self._next_leg(now)
        if leg is None and not self._has_asked_all and self.policy.may_ask(self._standing()):
            return [] if self._too_much(self._first_leg_flops()) else [self._ask(now)]
        return [leg] if isinstance(leg, LegStarted) else []

    def due_decisions(self, now: float) -> list[Event]:
        """What is to be decided now: about legs that ended, about who is left behind, about who goes on from whose checkpoint."""
        if self._undecided:
            metric = self.space.objective.metric
            ended = [self.trials[number] for number in sorted(self._undecided)]
            due = [decided for trial in ended if (decided := verdict(trial, self._scored(trial), metric, now))]
            if due:
                return list(due)
        standing = self._standing()
        if stops := self.policy.left_behind(standing):
            return [stopped(self.trials[number], reason, now) for number, reason in stops]
        return [
            Adopted(trial=one.trial, rung=one.rung, source=one.source, params=dict(one.params), at=now)
            for one in self.policy.adoptions(standing)
        ]

    def is_done(self, now: float) -> str | None:
        """Why nothing is left to do, or null. A spent clock ends a sweep while legs run: interrupt them, then `closing_events`."""
        if self.ended is not None:
            return self.ended.reason
        must = self._must_stop(now)
        if must is not None or self._undecided or self.open_legs or self.due_decisions(now):
            return must
        leg = self._next_leg(now)
        if leg is not None:
            return leg if isinstance(leg, str) else None
        if self._has_asked_all:
            return self._exhausted or f"all {len(self.trials)} trials have ended"
        return self._too_much(self._first_leg_flops())

    def closing_events(self, now: float) -> list[Event]:
        """Ends the sweep: what runs or rests is stopped (a sweep that goes on takes it up again), and why."""
        reason = self.is_done(now) or "stopped"
        open_ones = [trial for trial in self.trials if trial.status in ("running", "paused")]
        stops: list[Event] = [stopped(trial, f"the sweep ended: {reason}", now) for trial in open_ones]
        return [*stops, SweepEnded(reason=reason, at=now)]

    def order(self, leg: LegStarted) -> LegOrder:
        """What a worker needs to run `leg`."""
        trial = self.trials[leg.trial]
        config = self.space.run_config(trial.params, seed=trial.asked.seed, folder=self.folder, max_steps=trial.asked.max_steps)
        return LegOrder(leg.trial, leg.rung, leg.attempt, config, leg.until_steps, leg.from_checkpoint)

    def is_open(self, event: LegEnded) -> bool:
        """Whether `event` ends a leg that runs: false for one that a new driver voided, or that ended before."""
        if not 0 <= event.trial < len(self.trials):
            return False
        leg = self.trials[event.trial].leg
        return leg is not None and (leg.rung, leg.attempt) == (event.rung, event.attempt)

    def needed_checkpoints(self) -> set[str]:
        """Checkpoints, relative to the sweep folder, that a leg starts from now or may start from as the sweep stands."""
        alive = [trial for trial in self.trials if trial.status in ("running", "paused")]
        return {trial.origin for trial in alive if trial.origin is not None}

    def spent(self, now: float) -> Spent:
        """What the sweep has spent, over all its drivers."""
        return self.spending.spent(now, self.open_legs)

    @property
    def is_hopeless(self) -> bool:
        """Whether trials failed and none ever completed a leg: the job has failed, not only its trials."""
        return self._failed > 0 and self._best is None

    @property
    def first_failure(self) -> str | None:
        """Why the first trial that failed did; null when none did."""
        return next((trial.trouble.error for trial in self.trials if trial.status == "failed" and trial.trouble is not None), None)

    @property
    def open_legs(self) -> list[LegStarted]:
        """Legs that run, by trial."""
        return [leg for number in sorted(self._active) if (leg := self.trials[number].leg) is not None]

    def leaderboard(self) -> list[Trial]:
        """Trials that were scored, best first: by the last score's objective, then its loss, then the compute it took."""
        sign = -1.0 if self.space.objective.mode == "max" else 1.0

        def place(trial: Trial) -> tuple[float, float, float, str]:
            result = trial.result
            assert result is not None
            assert result.objective is not None
            loss = float("inf") if result.loss is None else result.loss
            return (sign * result.objective, loss, result.train_flops, trial.asked.digest)

        return sorted((trial for trial in self.trials if trial.results), key=place)

    # Parts ----------------------------------------------------------------------------------------------------------

    def _standing(self) -> Standing:
        headings = {number: rung for number in self._active if (rung := self.trials[number].heading) is not None}
        return Standing(
            boards=self.boards,
            asked=len(self.trials),
            is_asking_over=self._has_asked_all,
            headings=headings,
            paused=self._paused,
            params_of=lambda number: self.trials[number].params,
        )

    def _scored(self, trial: Trial) -> Verdict | None:
        if trial.heading is not None or trial.rung is None or trial.rung == self.rungs.last:
            return None
        return self.policy.verdict(self._standing(), trial.number, trial.rung)

    def _must_stop(self, now: float) -> str | None:
        """Why even running legs are to stop."""
        over = self.spending.why_over(self.budget, now, self.open_legs)
        if over is not None:
            return over
        if self._best is not None and self.budget.target is not None:
            trial, objective = self._best
            if objective == self._better(objective, self.budget.target):
                return f"trial {trial} reached the target {self.budget.target:g} with {objective:g}"
        if self._failed >= HOPELESS and self._failed + len(self._active) == len(self.trials) and self.is_hopeless:
            return f"all of the first {self._failed} trials failed: {self.first_failure}"
        return None

    @property
    def _has_asked_all(self) -> bool:
        limit = self.budget.trials
        return self._exhausted is not None or (limit is not None and len(self.trials) >= limit)

    def _next_leg(self, now: float) -> LegStarted | str | None:
        """The next leg of a trial that exists, or why the budget forbids it; None when none waits and none is promoted."""
        number = next((number for number in sorted(self._active) if self.trials[number].is_waiting), None)
        if number is None:
            number = self.policy.promotion(self._standing())
        if number is None:
            return None
        trial = self.trials[number]
        until = self._steps_at(trial, trial.next_rung)
        left = until - trial.steps
        return self._too_much(left * trial.asked.step_flops) or LegStarted(
            trial=number,
            rung=trial.next_rung,
            attempt=trial.attempts.get(trial.next_rung, 0),
            until_steps=until,
            from_checkpoint=trial.origin,
            expected_seconds=self.facts.speeds.leg_seconds(trial.asked.step_flops, left),
            at=now,
        )

    def _steps_at(self, trial: Trial, rung: int) -> int:
        return self.rungs.steps(trial.asked.step_amount or trial.asked.step_flops)[rung]

    def _too_much(self, flops: float) -> str | None:
        """Why a leg of so many training FLOPs may not start; None when it may."""
        legs = [(self.trials[leg.trial], leg) for leg in self.open_legs]
        promised = sum((leg.until_steps - trial.steps) * trial.asked.step_flops for trial, leg in legs)
        return self.spending.why_too_much(self.budget, promised, flops)

    def _first_leg_flops(self) -> float:
        """What the first leg of a trial that is not asked yet takes; where fidelity is no compute, as much as the one before."""
        rung = self.policy.first_rung(len(self.trials))
        if self.space.fidelity == "train_flops":
            return self.rungs.amounts[rung]
        return self._steps_at(self.trials[-1], rung) * self.trials[-1].asked.step_flops if self.trials else 0.0

    def _ask(self, now: float) -> Event:
        number = len(self.trials)
        choice = self._asker.choose(self.trials, self._copies, number)
        if choice is None:
            return SpaceExhausted(reason=self._asker.why_none, at=now)
        one = choice.candidate
        return Asked(
            trial=number,
            params=one.params,
            source=choice.source,
            digest=one.digest,
            seed=derived_seed(self.space.seed, "trial", number),
            max_steps=one.max_steps,
            step_flops=one.step_flops,
            params_count=one.params_count,
            step_amount=one.step_amount,
            memory_bytes=one.memory_bytes,
            checkpoint_bytes=one.checkpoint_bytes,
            sampler_notes=choice.notes,
            at=now,
        )


def replayed(space: SearchSpace, cost_of: CostOf, events: Iterable[Event], *, folder: str | None = None) -> Search:
    """The search after `events`."""
    search = Search(space, cost_of, folder=folder)
    for event in events:
        search.apply(event)
    return search


def _score(trial: Trial, event: LegEnded) -> Score:
    assert event.objective is not None
    loss = float("inf") if event.loss is None else event.loss
    return Score(trial.number, event.objective, event.standard_error or 0.0, loss, trial.asked.digest)


def _require(holds: bool, event: Event) -> None:
    if not holds:
        raise SweepError(
            f"the journal cannot be: {event!r} does not follow from what stands before it", remedy="restore it from a copy"
        )

"""The search itself: a fold over the journal's events, and the events that follow from where it stands.

It needs no cluster and reads no clock: what happens is told by `apply`, what to do is asked by `next_events(now, slots_free)`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trm.config import RunConfig
from trm.errors import SweepError
from trm.search.asha import Rung, Score
from trm.search.asking import Asker
from trm.search.candidates import CostOf, Resolver
from trm.search.clock import Clock
from trm.search.events import (
    Asked,
    Decided,
    DriverStarted,
    Event,
    LegEnded,
    LegStarted,
    Reported,
    SweepEnded,
    SweepStarted,
)
from trm.search.seeds import derived_seed
from trm.search.space import SearchSpace
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

    def __init__(self, space: SearchSpace, cost_of: CostOf, *, folder: str | None = None) -> None:
        """A sweep of `space` before its first event; `folder` is the built data set that orders carry."""
        self.space = space
        self.folder = folder
        self.resolver = Resolver(space, cost_of)
        self.rung_flops = self.resolver.rungs.amounts
        self.trials: list[Trial] = []
        self.rungs = [Rung(max(2, self.resolver.rungs.eta), space.objective.mode) for _ in self.rung_flops]
        self.clock = Clock()
        self.started: SweepStarted | None = None
        self.driver: DriverStarted | None = None
        self.ended: SweepEnded | None = None
        self.reports: dict[int, Reported] = {}
        self._asker = Asker(self.resolver)
        self._digests: dict[str, int] = {}
        self._active: set[int] = set()
        self._undecided: set[int] = set()
        self._exhausted: str | None = None
        self._failed = 0

    # The fold -------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Takes an event in; SweepError when it cannot follow what came before."""
        if not isinstance(event, DriverStarted):
            self.clock.read(event.at)
        match event:
            case SweepStarted():
                self.started = event
            case DriverStarted():
                self._on_driver(event)
            case Asked():
                self._on_asked(event)
            case LegStarted():
                self._on_leg_started(event)
            case LegEnded():
                self._on_leg_ended(event)
            case Decided():
                self._on_decided(event)
            case Reported():
                self.reports[event.trial] = event
            case SweepEnded():
                self.ended = event
                self.clock.stop()

    def _on_driver(self, event: DriverStarted) -> None:
        self.clock.start(event.at)
        self.driver, self.ended = event, None
        for number in self._active:
            self.trials[number].leg = None
        self._active.update(trial.number for trial in self.trials if trial.is_waiting)

    def _on_asked(self, event: Asked) -> None:
        _require(event.trial == len(self.trials), event)
        self.trials.append(Trial(event))
        self._digests.setdefault(event.digest, event.trial)
        self._active.add(event.trial)

    def _on_leg_started(self, event: LegStarted) -> None:
        trial = self._trial(event.trial, event)
        _require(trial.leg is None and event.rung == len(trial.results) < len(self.rungs), event)
        if trial.heading is None:
            self.rungs[event.rung - 1].leave(event.trial)
            trial.failures = trial.losses = 0
        trial.status, trial.heading, trial.leg = "running", event.rung, event
        trial.attempts[event.rung] = event.attempt + 1
        self._active.add(event.trial)

    def _on_leg_ended(self, event: LegEnded) -> None:
        trial = self._trial(event.trial, event)
        _require(self.is_open(event), event)
        trial.leg = None
        before = trial.result.train_flops if trial.result is not None else 0.0
        trial.spent_flops += max(0.0, event.train_flops - before)
        trial.train_seconds += event.train_seconds
        trial.eval_seconds += event.eval_seconds
        trial.overhead_seconds += event.overhead_seconds
        self._undecided.add(event.trial)
        if event.status == "completed" and event.objective is not None:
            trial.results[event.rung] = event
            trial.heading = None
            self.rungs[event.rung].add(_score(trial, event))
        else:
            trial.trouble = event
            trial.failures += event.status == "failed"
            trial.losses += event.status == "lost"

    def _on_decided(self, event: Decided) -> None:
        trial = self._trial(event.trial, event)
        trial.status, trial.decided = event.status, event
        self._failed += event.status == "failed"
        self._undecided.discard(event.trial)
        if event.status != "running":
            self._active.discard(event.trial)
            trial.leg = None
        if event.status in ENDED and not event.reopens:
            trial.heading = None
            if event.status != "finished" and trial.rung is not None:
                self.rungs[trial.rung].leave(event.trial)

    def _trial(self, number: int, event: Event) -> Trial:
        _require(0 <= number < len(self.trials), event)
        return self.trials[number]

    # What follows ---------------------------------------------------------------------------------------------------

    def next_events(self, now: float, slots_free: int) -> list[Event]:
        """The next events to journal, apply and act upon; ask again after that, until there are none: then wait.

        Decisions come first; then, while a slot is free, a leg that waits, a promotion, a new trial.
        """
        due: list[Event] = [*self.due_decisions(now)]
        if due:
            return due
        if slots_free <= 0 or self.ended is not None or self._must_stop(now) is not None:
            return []
        waiting = [number for number in sorted(self._active) if self.trials[number].is_waiting]
        if waiting:
            return [self._leg(self.trials[waiting[0]], now)]
        promoted = self._promotion()
        if promoted is not None:
            return [self._leg(self.trials[promoted], now)]
        asked = self._ask(now)
        return [asked] if asked is not None else []

    def due_decisions(self, now: float) -> list[Decided]:
        """What is to be decided now: about legs that ended, and about who is left behind at a settled rung."""
        metric = self.space.objective.metric
        ended = [self.trials[number] for number in sorted(self._undecided)]
        due = [decided for trial in ended if (decided := verdict(trial, self.rungs, metric, now))]
        return due or self._left_behind(now)

    def is_done(self, now: float) -> str | None:
        """Why nothing is left to do, or null. A spent clock ends a sweep while legs run: interrupt them, then `closing_events`."""
        if self.ended is not None:
            return self.ended.reason
        must = self._must_stop(now)
        if must is not None:
            return must
        if self._active or self._undecided or not self._has_asked_all or self._promotion() is not None or self._left_behind(now):
            return None
        return self._exhausted or f"all {len(self.trials)} trials have ended"

    def closing_events(self, now: float) -> list[Event]:
        """Ends the sweep: what runs or rests is stopped (a sweep that goes on takes it up again), and why."""
        reason = self.is_done(now) or "stopped"
        open_ones = [trial for trial in self.trials if trial.status in ("running", "paused")]
        stops: list[Event] = [stopped(trial, f"the sweep ended: {reason}", now) for trial in open_ones]
        return [*stops, SweepEnded(reason=reason, at=now)]

    def order(self, leg: LegStarted) -> LegOrder:
        """What a worker needs to run `leg`."""
        asked = self.trials[leg.trial].asked
        config = self.space.run_config(asked.params, seed=asked.seed, folder=self.folder, max_steps=asked.max_steps)
        return LegOrder(leg.trial, leg.rung, leg.attempt, config, leg.until_steps, leg.from_checkpoint)

    def is_open(self, event: LegEnded) -> bool:
        """Whether `event` ends a leg that runs: false for one that a new driver voided, or that ended before."""
        if not 0 <= event.trial < len(self.trials):
            return False
        leg = self.trials[event.trial].leg
        return leg is not None and (leg.rung, leg.attempt) == (event.rung, event.attempt)

    @property
    def is_hopeless(self) -> bool:
        """Whether trials failed and none ever completed a leg: the job has failed, not only its trials."""
        return self._failed > 0 and not any(trial.results for trial in self.trials)

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

    def _must_stop(self, now: float) -> str | None:
        limit = self.space.budget.wall_clock_seconds
        if limit is not None and self.clock.elapsed(now) >= limit:
            return f"budget.wall_clock_seconds {limit:g} is spent"
        if self._failed >= HOPELESS and self._failed + len(self._active) == len(self.trials):
            if not self.is_hopeless:
                return None
            return f"all of the first {self._failed} trials failed: {self.first_failure}"
        return None

    @property
    def _has_asked_all(self) -> bool:
        limit = self.space.budget.trials
        return self._exhausted is not None or (limit is not None and len(self.trials) >= limit)

    def _ask(self, now: float) -> Asked | None:
        if self._has_asked_all:
            return None
        number = len(self.trials)
        choice = self._asker.choose(self.trials, self._digests, number)
        if choice is None:
            self._exhausted = self._asker.why_none
            return None
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

    def _leg(self, trial: Trial, now: float) -> LegStarted:
        rung = len(trial.results)
        steps = self.resolver.rungs.steps(trial.asked.step_flops)
        return LegStarted(
            trial=trial.number,
            rung=rung,
            attempt=trial.attempts.get(rung, 0),
            until_steps=trial.asked.max_steps if rung == len(steps) - 1 else min(steps[rung], trial.asked.max_steps),
            from_checkpoint=trial.checkpoint,
            at=now,
        )

    def _promotion(self) -> int | None:
        for index in range(len(self.rungs) - 2, -1, -1):
            board = self.rungs[index]
            best = board.promotable()
            if best is None and self._is_settled(index):
                best = board.resting_survivor()
            if best is not None:
                return best
        return None

    def _left_behind(self, now: float) -> list[Decided]:
        stops: list[Decided] = []
        for index, board in enumerate(self.rungs[:-1]):
            if not self._is_settled(index):
                break
            survivors = board.survivors()
            for number in board.resting:
                trial = self.trials[number]
                if number not in survivors and trial.status == "paused":
                    reason = f"rank {board.rank(number) + 1} of {len(board)} at rung {index}, {len(survivors)} go on"
                    stops.append(stopped(trial, reason, now))
        return stops

    def _is_settled(self, index: int) -> bool:
        """Whether no further trial can reach rung `index`."""
        if not self._has_asked_all:
            return False
        headings = (self.trials[number].heading for number in self._active)
        if any(heading is not None and heading <= index for heading in headings):
            return False
        return all(board.resting_survivor() is None for board in self.rungs[:index])


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

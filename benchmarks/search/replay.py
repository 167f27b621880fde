"""Whole sweeps on a recorded table, through the search that real sweeps use, at thousands of times real time.

    table = Table.load(TABLES / "sudoku4x4")
    history = replay(space_of(table, trials=25), table, seed=3)
    history.moments[-1]          # trials asked, training FLOPs spent, the configuration that is reported as best
    history.search.leaderboard() # the real `Search` after the real events
    history.runs.taken           # recorded seeds that stood for the runs of each configuration

A leg trains for as long as the recorded run took, and is scored as that was; only the difference to its last rung is paid. Every
run of a configuration, a confirmation too, is another recorded seed while there are any, so `table.truth(config,
without=history.runs.taken[config])` is what seeds say that the search never saw. Nothing is written to disk.
"""

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.search.tables import Runs, Table
from trm.search.journal.events import DriverStarted, Event, LegEnded, LegStarted, SweepStarted
from trm.search.journal.priors import Prior
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey
from trm.search.search import Search
from trm.search.space.candidates import Candidate, Facts, Rejected
from trm.search.space.space import SearchSpace


@dataclass(frozen=True)
class Moment:
    """Where a sweep stands after a run was scored."""

    trials: int
    """Begun so far."""
    train_flops: float
    """Spent so far."""
    incumbent: int | None
    """The configuration that would be reported as best."""
    objective: float
    """What was measured of it."""


@dataclass
class History:
    """A sweep that was replayed."""

    moments: list[Moment] = field(default_factory=list)
    runs: Runs | None = None
    search: Search | None = None
    """Ours only: where the search stands at the end."""
    ends: list[tuple[int, int, float]] = field(default_factory=list)
    """Peers only: configuration, last epoch and last accuracy of each trial, in order."""
    events: list[Event] = field(default_factory=list)
    """Ours only: what its journal would hold."""
    seconds: float = 0.0
    """Real seconds that the replay took."""
    trained_seconds: float = 0.0
    """Seconds that the recorded runs took for what was replayed."""

    def incumbent_after(self, train_flops: float) -> int | None:
        """The configuration reported as best once so many training FLOPs are spent."""
        known = [moment for moment in self.moments if moment.train_flops <= train_flops * (1 + 1e-9)]
        return known[-1].incumbent if known else None

    def flops_until(self, good: frozenset[int]) -> float | None:
        """Training FLOPs until the incumbent is one of `good` for the first time; None: it never is."""
        return next((moment.train_flops for moment in self.moments if moment.incumbent in good), None)


def space_of(table: Table, *, trials: int, **sections: Any) -> SearchSpace:
    """The table's space with `budget.trials`, everything else as a user gets it who sets nothing, but for `sections`."""
    values = table.space.model_dump(mode="json", exclude_unset=True)
    for section in ("sampler", "scheduler", "start_points", "base_point"):
        values.pop(section, None)
    values["budget"] = {"per_trial": table.space.budget.per_trial, "trials": trials}
    return SearchSpace.model_validate({**values, "tracking": {"enabled": False}, **sections})


def replay(
    space: SearchSpace,
    table: Table,
    seed: int,
    *,
    slots: int = 1,
    priors: Sequence[Prior] = (),
    until: frozenset[int] | None = None,
) -> History:
    """The sweep of `space` with that sweep seed, `slots` legs side by side, to its end.

    `priors`: earlier sweeps that it starts from; `until`: or to the first incumbent that is one of these configurations.
    """
    started = time.perf_counter()
    space = _with_ladder(space, table).model_copy(update={"seed": seed})
    course = _Course(Search(space, table.cost_of), table, Runs(table, seed), slots)
    course.run(priors, until or frozenset())
    history = course.history
    history.search, history.runs = course.search, course.runs
    history.seconds = time.perf_counter() - started
    return history


class _Course:
    """One sweep on its way."""

    def __init__(self, search: Search, table: Table, runs: Runs, slots: int) -> None:
        self.search, self.runs, self.history = search, runs, History()
        self._table, self._slots, self._now = table, slots, 1000.0
        self._running: list[tuple[float, int, LegStarted]] = []
        search.state.resolver.resolve = _remembered(search, table)  # type: ignore[method-assign]

    def run(self, priors: Sequence[Prior], until: frozenset[int]) -> None:
        space, now = self.search.state.space, self._now
        digest, read = space.frozen_digest(), list(priors)
        self._take(SweepStarted(name=space.name, seed=space.seed, space_digest=digest, versions={}, priors=read, at=now))
        driver = DriverStarted(driver="replay:1", fence=1, slots=self._slots, budget=space.budget, at=now)
        self._take(driver.model_copy(update={"confirm": space.confirm, "audit": space.audit}))
        while self.search.is_done(self._now) is None:
            self._advance()
            if self._running:
                self._now, _, leg = heapq.heappop(self._running)
                self._end(leg)
                if self.history.moments[-1].incumbent in until:
                    return
            else:
                assert self.search.is_done(self._now), "nothing runs and nothing is left to do, but the sweep is not done"
        for event in self.search.closing_events(self._now):
            self._take(event)

    def _take(self, event: Event) -> None:
        self.search.state.apply(event)
        self.history.events.append(event)

    def _advance(self) -> None:
        while events := self.search.next_events(self._now, self._slots - len(self._running)):
            for event in events:
                self._take(event)
                if isinstance(event, LegStarted):
                    seconds = self._score(event).train_seconds
                    heapq.heappush(self._running, (self._now + seconds, event.trial, event))

    def _end(self, leg: LegStarted) -> None:
        ended = self._score(leg)
        self.history.trained_seconds += ended.train_seconds
        self._take(ended)
        for event in self.search.due_decisions(self._now):
            self._take(event)
        best = self.search.state.leaderboard()[0]
        assert best.result is not None
        assert best.result.objective is not None
        spent, config = self.search.state.spending.train_flops, self._table.config(best.params)
        self.history.moments.append(Moment(len(self.search.state.trials), spent, config, best.result.objective))

    def _score(self, leg: LegStarted) -> LegEnded:
        trial = self.search.state.trials[leg.trial]
        curve = self.runs.curve(leg.trial, self._table.config(trial.params))
        point = curve.at(leg.until_steps, self._table.examples)
        before = curve.at(trial.steps, self._table.examples).seconds if trial.steps else 0.0
        return LegEnded(
            trial=leg.trial,
            rung=leg.rung,
            attempt=leg.attempt,
            status="completed",
            objective=point.accuracy,
            standard_error=point.standard_error,
            loss=point.loss,
            steps=leg.until_steps,
            train_flops=leg.until_steps * trial.asked.step_flops,
            train_seconds=point.seconds - before,
            checkpoint=f"trials/{leg.trial:04d}/{leg.until_steps}-{leg.attempt}",
            at=self._now,
        )


def _with_ladder(space: SearchSpace, table: Table) -> SearchSpace:
    """The space as a driver would start it; looked up once for all repetitions."""
    rules = "ladder " + space.model_dump_json(include={"base", "search", "constraints", "scheduler", "budget"})
    known = table.remembered.setdefault(rules, {})
    if () not in known:
        known[()] = with_rungs(Survey(space, table.cost_of, Facts())).space.scheduler
    return space.model_copy(update={"scheduler": known[()]})


def _remembered(search: Search, table: Table) -> Any:
    """`search.resolver.resolve`, each configuration looked at once in all repetitions: no device and no disk is too small."""
    rules = search.state.space.model_dump_json(include={"base", "search", "constraints", "fidelity", "resources"})
    known = table.remembered.setdefault(rules, {})
    resolve = search.state.resolver.resolve

    def remembering(params: Mapping[str, Any], *, is_limited: bool = True) -> Candidate | Rejected:
        key = (*table.key(params), search.state.rungs)
        if key not in known:
            known[key] = resolve(params, is_limited=is_limited)
        return known[key]

    return remembering

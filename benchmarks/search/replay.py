"""Whole sweeps on a recorded table, through the search that real sweeps use, at about a thousand times real time.

    table = Table.load(TABLES / "sudoku4x4")
    history = replay(space_of(table, trials=25), table, seed=3)
    history.moments[-1]          # trials asked, training FLOPs spent, the configuration that is reported as best
    history.search.leaderboard() # the real `Search` after the real events
    history.runs.taken           # recorded seeds that stood for the runs of each configuration

A leg trains for as long as the recorded run took, and is scored as that was; only the difference to its last rung is paid. Every
run of a configuration, a confirmation too, is another recorded seed while there are any, so `table.truth(config,
without=history.runs.taken[config])` is what seeds say that the search never saw. Nothing is written to disk.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.search.course import Course, Trained
from benchmarks.search.tables import Runs, Table
from trm.search.findings.confirmed import winner
from trm.search.journal.events import Event, LegEnded, LegStarted
from trm.search.journal.priors import Prior
from trm.search.journal.trial import Trial
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey
from trm.search.search import Search
from trm.search.space.candidates import Candidate, CostOf, Facts, Rejected
from trm.search.space.defaults import with_defaults
from trm.search.space.rules import RULES
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
    course: Course | None = None
    """Ours only: how it came there."""
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
    for section in ("sampler", "scheduler", "start_points", "base_point", "confirm"):
        values.pop(section, None)
    values["budget"] = {"per_trial": table.space.budget.per_trial, "trials": trials}
    mapping = {**values, "tracking": {"enabled": False}, **sections}
    return with_defaults(SearchSpace.model_validate(mapping), mapping, RULES)


def replay(
    space: SearchSpace,
    table: Table,
    seed: int,
    *,
    slots: int = 1,
    priors: Sequence[Prior] = (),
    until: frozenset[int] | None = None,
    rules: int = RULES,
    kind: type[Course] = Course,
) -> History:
    """The sweep of `space` with that sweep seed, `slots` legs side by side, to its end.

    `priors`: earlier sweeps that it starts from; `until`: or to the first incumbent that is one of these configurations; `rules`:
    by which it decides; `kind`: how its time goes.
    """
    started = time.perf_counter()
    space = with_ladder(space, table.cost_of, table.remembered).model_copy(update={"seed": seed})
    search, runs = Search(space, table.cost_of), Runs(table, seed)
    resolved_once(search, table.remembered, table.key)
    trainer = _Recorded(search, table, runs, until or frozenset())
    course = kind(search, trainer, slots=slots, rules=rules)
    course.run(priors)
    return History(
        moments=trainer.moments,
        runs=runs,
        search=search,
        course=course,
        events=course.events,
        seconds=time.perf_counter() - started,
        trained_seconds=sum(event.train_seconds for event in course.events if isinstance(event, LegEnded)),
    )


class _Recorded:
    """Trains on recorded curves, and notes where the sweep stands."""

    def __init__(self, search: Search, table: Table, runs: Runs, until: frozenset[int]) -> None:
        self.moments: list[Moment] = []
        self._search, self._table, self._runs, self._until = search, table, runs, until

    def train(self, trial: Trial, leg: LegStarted) -> Trained:
        """As the recorded run was scored there; only the difference to its last rung is paid."""
        curve = self._runs.curve(leg.trial, self._table.config(trial.params))
        point = curve.at(leg.until_steps, self._table.examples)
        before = curve.at(trial.steps, self._table.examples).seconds if trial.steps else 0.0
        return Trained(point.accuracy, point.loss, point.standard_error, point.seconds - before)

    def ended(self, trial: Trial, leg: LegStarted) -> bool:
        """Whether who is best now is one of those that end the sweep."""
        best = winner(self._search.state)
        assert best is not None
        assert best.trial.result is not None
        assert best.trial.result.objective is not None
        spent, config = self._search.state.spending.train_flops, self._table.config(best.trial.params)
        self.moments.append(Moment(len(self._search.state.trials), spent, config, best.trial.result.objective))
        return config in self._until


Remembered = dict[str, dict[Any, Any]]
"""What parameters mean under the rules of a space: the same in every replay, and dear to find out."""


def with_ladder(space: SearchSpace, cost_of: CostOf, remembered: Remembered) -> SearchSpace:
    """The space as a driver would start it; looked up once for all repetitions."""
    rules = "ladder " + space.model_dump_json(include={"base", "search", "constraints", "scheduler", "budget"})
    known = remembered.setdefault(rules, {})
    if () not in known:
        known[()] = with_rungs(Survey(space, cost_of, Facts())).space.scheduler
    return space.model_copy(update={"scheduler": known[()]})


def resolved_once(search: Search, remembered: Remembered, key_of: Callable[[Mapping[str, Any]], Hashable]) -> None:
    """Lets a search look at each configuration once in all repetitions: no device and no disk is too small."""
    rules = search.state.space.model_dump_json(include={"base", "search", "constraints", "fidelity", "resources"})
    known = remembered.setdefault(rules, {})
    resolve = search.state.resolver.resolve

    def remembering(params: Mapping[str, Any], *, is_limited: bool = True) -> Candidate | Rejected:
        key = key_of(params), search.state.rungs
        if key not in known:
            known[key] = resolve(params, is_limited=is_limited)
        return known[key]

    search.state.resolver.resolve = remembering  # type: ignore[method-assign]

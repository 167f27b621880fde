"""Optuna's study of a sweep with several objectives, rebuilt at every ask. `study.py` has the table of one objective.

With several directions Optuna knows no pruned score: NSGA-II, NSGA-III and the Gaussian process read COMPLETE alone, and TPE fails
at a PRUNED trial with intermediate values, because it asks the study for its one direction. So that early stopping teaches, and a
low rung's score never passes for a finished one:

| a trial that is | is shown as | because |
| --- | --- | --- |
| scored: finished, stopped, paused, on its way to the next rung | COMPLETE with its places | all samplers of fronts read it |
| running, not scored yet | RUNNING | counts as bad until it is scored, so that trials side by side spread |
| stopped before it was scored, or set aside | FAIL, of which samplers learn nothing | it is not known how good it is |
| diverged, out of memory, failed | COMPLETE, last in every place, a constraint broken | fills its generation, behind all others |
| rejected before it was asked | not at all | no slot was taken, and the next draw keeps the rule |

A place is a number for each objective, less is better: 0 to 1 among the trials whose last score is at the same rung, and 2 more for
every group that stands before. First the highest rung's trials, then the next one's; at each rung those that score above zero,
then those that do not, with the loss in place of the objective. So whoever came to a higher rung dominates whoever did not.

A Gaussian process would take such steps for a cliff: it is shown finished trials alone, with what was measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import Knob
from trm.search.order import Order, sorted_fronts
from trm.search.samplers.distributions import distribution
from trm.search.samplers.study import constraints_shown
from trm.search.samplers.study_storage import NAME, HistoryStorage
from trm.search.settings import Objective
from trm.stats.pareto import Point

TROUBLE = ("diverged", "out_of_memory", "failed")
Group = tuple[float, int, bool]
"""By how far outcome constraints are broken, less the rung, and whether a trial shows nothing there: groups in their order."""


class FrontView:
    """Builds studies with a direction an objective, all of them minimized; keeps what it built of a trial, but for its places."""

    def __init__(
        self, knobs: Mapping[str, Knob], objective: Objective, *, has_places: bool = True, most: int | None = None
    ) -> None:
        """For trials whose parameters come from `knobs`; without places, finished trials have what was measured and others nothing.

        A study holds at most the best and latest `most` trials.
        """
        self._distributions = {path: distribution(knob) for path, knob in knobs.items()}
        self._order = Order(objective.mode)
        self._count = 1 + len(objective.against)
        self._has_places, self._most = has_places, most
        self._built: dict[int, tuple[tuple[TrialState, int | None], FrozenTrial]] = {}

    def study(self, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """A study in memory that holds `trials`."""
        groups = self._groups(trials)
        if self._most is not None and len(trials) > self._most:
            trials = self._chosen(trials, groups, self._most)
        values = self._places(groups) if self._has_places else self._measured(trials)
        if self._has_places:
            values |= {trial.number: [2.0 * len(groups)] * self._count for trial in trials if trial.status in TROUBLE}
        history = [self._frozen(trial, values.get(trial.number)) for trial in trials]
        for index, one in enumerate(history):
            one.number = one._trial_id = index
        directions = [StudyDirection.MINIMIZE] * self._count
        return optuna.Study(NAME, HistoryStorage(directions, history), sampler=sampler)

    def _groups(self, trials: Sequence[Trial]) -> dict[Group, dict[int, Point]]:
        """Where trials stand in the groups that are compared with each other, best group first."""
        groups: dict[Group, dict[int, Point]] = {}
        for trial in trials:
            rung, score = trial.rung, trial.score
            if rung is None or score is None or trial.status in TROUBLE:
                continue
            broken, is_scoreless = self._order.group(score)
            groups.setdefault((broken, -rung, is_scoreless), {})[trial.number] = self._order.point(score)
        return dict(sorted(groups.items()))

    def _places(self, groups: Mapping[Group, Mapping[int, Point]]) -> dict[int, list[float]]:
        found: dict[int, list[float]] = {}
        for index, points in enumerate(groups.values()):
            columns = [_shares(column) for column in zip(*points.values(), strict=True)]
            places = zip(*columns, strict=True)
            found |= {number: [2.0 * index + share for share in place] for number, place in zip(points, places, strict=True)}
        return found

    def _measured(self, trials: Sequence[Trial]) -> dict[int, list[float]]:
        found: dict[int, list[float]] = {}
        for trial in trials:
            if trial.status == "finished" and trial.score is not None:
                values = [self._order.cost(trial.score.objective), *trial.score.others]
                if all(map(math.isfinite, values)):
                    found[trial.number] = values
        return found

    def _chosen(self, trials: Sequence[Trial], groups: Mapping[Group, Mapping[int, Point]], most: int) -> list[Trial]:
        """The latest trials, and of the earlier ones the best, a tenth of all that are shown."""
        count = most // 10
        earlier = {trial.number for trial in trials[: count - most]}
        best = set[int]()
        for number in _in_order(groups, earlier):
            if len(best) == count:
                break
            best.add(number)
        return [trial for trial in trials if trial.number in best or trial.number not in earlier]

    def _frozen(self, trial: Trial, values: list[float] | None) -> FrozenTrial:
        state = _state(trial, values)
        known = self._built.get(trial.number)
        if known is not None and known[0] == (state, trial.rung):
            known[1].values = values
            return known[1]
        built = create_trial(
            state=state,
            values=values,
            params=trial.asked.params,
            distributions={path: self._distributions[path] for path in trial.asked.params},
            system_attrs=dict(trial.asked.sampler_notes),
            constraints=constraints_shown(trial, is_impossible=trial.status in TROUBLE),
        )
        self._built[trial.number] = (state, trial.rung), built
        return built


def _state(trial: Trial, values: list[float] | None) -> TrialState:
    if values is not None:
        return TrialState.COMPLETE
    return TrialState.RUNNING if trial.status == "running" and trial.rung is None else TrialState.FAIL


def _shares(column: Sequence[float]) -> list[float]:
    """Values of one objective as shares of their range; 1 for one that is not known."""
    finite = [value for value in column if math.isfinite(value)]
    low, width = (min(finite), max(finite) - min(finite)) if finite else (0.0, 0.0)
    return [((value - low) / width if width else 0.0) if math.isfinite(value) else 1.0 for value in column]


def _in_order(groups: Mapping[Group, Mapping[int, Point]], wanted: set[int]) -> Iterator[int]:
    """The wanted trials, best first: group by group, front by front."""
    for points in groups.values():
        for front in sorted_fronts([(point, number) for number, point in points.items() if number in wanted]):
            yield from front

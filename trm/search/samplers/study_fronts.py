"""Optuna's study of a sweep with several objectives, followed from ask to ask. `study.py` has the table of one objective.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import Knob
from trm.search.order import Order
from trm.search.samplers.distributions import distribution
from trm.search.samplers.study import constraints_shown
from trm.search.samplers.study_changes import Changes
from trm.search.samplers.study_rows import StudyRows
from trm.search.samplers.study_storage import NAME, HistoryStorage
from trm.search.settings import Objective
from trm.stats.pareto import Fronts, Point

TROUBLE = ("diverged", "out_of_memory", "failed")
GroupKey = tuple[float, int, bool]
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
        self._directions = [StudyDirection.MINIMIZE] * (1 + len(objective.against))
        self._has_places, self._most = has_places, most
        self._changes = Changes()
        self._forget()

    def _forget(self) -> None:
        self._built: list[_Built] = []
        self._groups: dict[GroupKey, _Group] = {}
        self._rows = StudyRows(self._distributions, self._directions)

    def study(self, trials: Sequence[Trial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        """A study in memory that holds `trials`."""
        is_other, changed = self._changes.since(trials)
        if is_other:
            self._forget()
        for index in changed:
            self._build(index, trials[index])
        shown = self._chosen(len(trials))
        if self._has_places:
            self._place(shown)
        history = [self._built[index].trial for index in shown]
        for number, one in enumerate(history):
            one.number = one._trial_id = number
        return optuna.Study(NAME, HistoryStorage(self._directions, history, self._rows.told(shown)), sampler=sampler)

    def _build(self, index: int, trial: Trial) -> None:
        stage = (trial.status, len(trial.results))  # what is shown follows from these, and from who else is there
        known = self._built[index] if index < len(self._built) else None
        if known is not None:
            if known.stage == stage:
                return
            if known.group is not None:
                self._groups[known.group].take_out(index)
        made = _Built(stage, self._group_of(trial), self._frozen(trial))
        self._built[index : index + 1] = [made]
        if made.group is not None:
            assert trial.score is not None
            self._groups.setdefault(made.group, _Group()).put(index, self._order.point(trial.score))
        self._rows.put(index, made.trial)

    def _group_of(self, trial: Trial) -> GroupKey | None:
        rung, score = trial.rung, trial.score
        if rung is None or score is None or trial.status in TROUBLE:
            return None
        broken, is_scoreless = self._order.group(score)
        return broken, -rung, is_scoreless

    def _in_order(self) -> "list[tuple[GroupKey, _Group]]":
        """Groups in which anybody stands, the best first."""
        return sorted((key, group) for key, group in self._groups.items() if group.points)

    def _place(self, shown: Sequence[int]) -> None:
        """Gives trials their places among all."""
        groups = self._in_order()
        first = {key: 2.0 * place for place, (key, _) in enumerate(groups)}
        for index in shown:
            key, trial = self._built[index].group, self._built[index].trial
            if key is not None:
                trial.values = [first[key] + share for share in self._groups[key].shares(index)]
            elif trial.state == TrialState.COMPLETE:
                trial.values = [2.0 * len(groups)] * len(self._directions)

    def _chosen(self, count: int) -> Sequence[int]:
        """The latest of so many trials, and of the earlier ones the best, a tenth of all that are shown."""
        if self._most is None or count <= self._most:
            return range(count)
        most = self._most // 10
        latest, best = count - self._most + most, list[int]()
        for _, group in self._in_order():
            fronts = group.fronts(latest)
            for front in map(fronts.__getitem__, range(len(fronts))):
                best += sorted(front)
            if len(best) >= most:
                break
        return [*sorted(best[:most]), *range(latest, count)]

    def _frozen(self, trial: Trial) -> FrozenTrial:
        values = self._figures(trial)
        return create_trial(
            state=_state(trial, values),
            values=values,
            params=trial.asked.params,
            distributions={path: self._distributions[path] for path in trial.asked.params},
            system_attrs=dict(trial.asked.sampler_notes),
            constraints=constraints_shown(trial, is_impossible=trial.status in TROUBLE),
        )

    def _figures(self, trial: Trial) -> list[float] | None:
        """What the trial has of its own to show; where it has a place, a stand-in."""
        if self._has_places:
            has_place = trial.status in TROUBLE or self._group_of(trial) is not None
            return [0.0] * len(self._directions) if has_place else None
        if trial.status != "finished" or trial.score is None:
            return None
        values = [self._order.cost(trial.score.objective), *trial.score.others]
        return values if all(map(math.isfinite, values)) else None


@dataclass(frozen=True)
class _Built:
    stage: tuple[str, int]
    group: GroupKey | None
    trial: FrozenTrial


class _Group:
    """Trials that are compared with each other, by their places in the sweep."""

    def __init__(self) -> None:
        self.points: dict[int, Point] = {}
        self._ranges: list[tuple[float, float]] | None = None
        """Least finite value and width of each coordinate."""
        self._fronts: Fronts[int] | None = None
        self._until = 0
        """Trials before this stand in the fronts."""

    def put(self, index: int, point: Point) -> None:
        self.points[index], self._ranges = point, None
        if self._fronts is not None and index < self._until:
            self._fronts.add(index, point)

    def take_out(self, index: int) -> None:
        del self.points[index]
        self._ranges = None
        if index < self._until:
            self._fronts = None

    def shares(self, index: int) -> list[float]:
        """A trial's values as shares of their ranges; 1 for one that is not known."""
        if self._ranges is None:
            self._ranges = [_range(column) for column in zip(*self.points.values(), strict=True)]
        ranges = zip(self.points[index], self._ranges, strict=True)
        return [((value - low) / width if width else 0.0) if math.isfinite(value) else 1.0 for value, (low, width) in ranges]

    def fronts(self, until: int) -> Fronts[int]:
        """Fronts of the trials before one, which comes no earlier from ask to ask."""
        if self._fronts is None or until < self._until:
            self._fronts, new = Fronts(), sorted((point, index) for index, point in self.points.items() if index < until)
        else:
            new = [(self.points[index], index) for index in range(self._until, until) if index in self.points]
        for point, index in new:  # sorted, nobody who comes later dominates, so that adding pushes nobody down
            self._fronts.add(index, point)
        self._until = until
        return self._fronts


def _range(column: Sequence[float]) -> tuple[float, float]:
    finite = [value for value in column if math.isfinite(value)]
    return (min(finite), max(finite) - min(finite)) if finite else (0.0, 0.0)


def _state(trial: Trial, values: list[float] | None) -> TrialState:
    if values is not None:
        return TrialState.COMPLETE
    return TrialState.RUNNING if trial.status == "running" and trial.rung is None else TrialState.FAIL

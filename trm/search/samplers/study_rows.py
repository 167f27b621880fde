"""What TPE reads of the trials that a study shows, a row each in one array: no ask looks at every trial again.

Optuna's own sampler sorts all of them and converts all of their parameters, in Python, for every joint draw and every conditional
knob. A row is made once for what is shown of a trial.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from trm.search.samplers.standing import standings

Array = NDArray[np.float64]
FEASIBLE, PRUNED, INFEASIBLE, RUNNING, UNKNOWN = map(float, range(5))
"""What a trial is, as TPE orders them: the first three are split into good and bad, RUNNING are bad, UNKNOWN are not looked at."""
ORDER_COLUMNS = 3
"""What a trial is, and two numbers, less being better, by which it is sorted among those that are the same."""


@dataclass(frozen=True)
class Told:
    """The rows of the trials that a study shows."""

    rows: Array
    columns: Mapping[str, int]
    """Where a knob's values stand in a row."""

    def by_standing(self, trials: Sequence[FrozenTrial], cost: Callable[[float], float]) -> "Told":
        """The rows of those trials with what each scored one is worth across rungs (`standing.py`) as its order.

        `cost`: of a score, less is better. Who breaks a constraint stays where it is.
        """
        scored = [index for index, kind in enumerate(self.rows[:, 0]) if kind in (FEASIBLE, PRUNED)]
        scores = [{rung: cost(value) for rung, value in trials[index].intermediate_values.items()} for index in scored]
        rows = self.rows.copy()
        for place, _, worth in standings(scores):  # the last of a trial is what it is worth
            rows[scored[place], :ORDER_COLUMNS] = FEASIBLE, -worth, 0.0
        return Told(rows, self.columns)


class StudyRows:
    """Rows by index; columns are the order, then a knob each: its internal value, not a number where it is not active."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], directions: Sequence[StudyDirection]) -> None:
        """For trials of knobs with these distributions."""
        self._distributions = dict(distributions)
        self._directions = directions
        self._columns = {path: ORDER_COLUMNS + place for place, path in enumerate(self._distributions)}
        self._rows = np.empty((0, ORDER_COLUMNS + len(self._distributions)))

    def put(self, index: int, trial: FrozenTrial) -> None:
        """What is shown at an index from now on."""
        if index >= len(self._rows):
            more = np.empty((max(64, index + 1, len(self._rows)), self._rows.shape[1]))
            self._rows = np.concatenate([self._rows, more])
        self._rows[index] = self._row(trial)

    def told(self, indices: Sequence[int], before: Sequence[FrozenTrial] = ()) -> Told:
        """The rows at some indices, those of other trials before them."""
        rows = self._rows[np.asarray(indices, dtype=np.intp)]
        if before:
            rows = np.concatenate([[self._row(one) for one in before], rows])
        return Told(rows, self._columns)

    def _row(self, trial: FrozenTrial) -> list[float]:
        """The row of a trial."""
        params = trial.params
        values = [
            math.nan if path not in params else float(distribution.to_internal_repr(params[path]))
            for path, distribution in self._distributions.items()
        ]
        return [*self._order(trial), *values]

    def _order(self, trial: FrozenTrial) -> tuple[float, float, float]:
        if trial.state == TrialState.RUNNING:
            return RUNNING, 0.0, 0.0
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return UNKNOWN, 0.0, 0.0
        broken = sum(value for value in trial.constraints.values() if value > 0)
        if broken > 0:
            return INFEASIBLE, broken, 0.0
        if len(self._directions) > 1:
            return FEASIBLE, 0.0, 0.0
        sign = 1.0 if self._directions[0] == StudyDirection.MINIMIZE else -1.0
        if trial.state == TrialState.COMPLETE:
            return FEASIBLE, sign * trial.values[0], 0.0
        if not trial.intermediate_values:
            return PRUNED, 1.0, 0.0
        step, value = max(trial.intermediate_values.items())
        return PRUNED, -step, math.inf if math.isnan(value) else sign * value

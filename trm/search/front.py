"""The fronts of a sweep's trials, by their last scores: of the models that it leaves, those that none beats in everything.

A trial counts with its last score, at whatever rung: what was stopped early is a model too, and the rung stands beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trm.search.journal.trial import Trial
from trm.search.settings import Objective
from trm.stats.pareto import Fronts, Point


@dataclass(frozen=True)
class Weighed:
    """Where a score stands when several objectives count."""

    is_silent: bool
    """Whether it shows nothing: it is zero where more is better. Such scores stand behind all others."""
    point: Point
    """Less is better: the objective, or for a silent score its loss, and what it is weighed against."""


def weighed(objective: Objective, trial: Trial, rung: int) -> Weighed:
    """Where a trial's score at a rung stands."""
    result, others, tie = trial.results[rung], trial.others[rung], trial.tie(rung)
    assert result.objective is not None, "a completed leg has an objective"
    sign = -1.0 if objective.mode == "max" else 1.0
    is_silent = sign < 0 and result.objective <= 0
    loss = math.inf if tie is None else tie
    return Weighed(is_silent, (loss if is_silent else sign * result.objective, *others))


def fronts(objective: Objective, trials: Sequence[Trial]) -> list[list[Trial]]:
    """Scored trials, front by front; in each front in the order in which they are given."""
    groups: tuple[list[tuple[Point, int]], list[tuple[Point, int]]] = ([], [])
    for index, trial in enumerate(trials):
        assert trial.rung is not None, "it was scored"
        found = weighed(objective, trial, trial.rung)
        groups[found.is_silent].append((found.point, index))
    return [[trials[index] for index in front] for group in groups for front in sorted_fronts(group)]


def sorted_fronts(points: Sequence[tuple[Point, int]]) -> list[list[int]]:
    """Indices, front by front and in each in their order; of (point, index)."""
    found = Fronts[int]()
    for point, index in sorted(points):  # nobody who comes later dominates, so that adding pushes nobody down
        found.add(index, point)
    return [sorted(found[level]) for level in range(len(found))]

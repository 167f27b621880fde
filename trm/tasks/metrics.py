"""The metrics of all puzzles, for who must know a figure by its name alone."""

import numpy as np
from jaxtyping import Float64, Integer

from trm.evaluation.metrics import Direction, Metrics
from trm.tasks.choice import every_task, task_named


def _every() -> Metrics:
    return Metrics([metric for task in every_task().values() for metric in task.metrics])


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    return _every().is_share(metric)


def is_count(metric: str) -> bool:
    """Whether the metric counts what was scored, and says nothing of how well."""
    return _every().is_count(metric)


def direction(metric: str) -> Direction | None:
    """Whether the metric is good when it is large or small; None of a name that no evaluation reports, and of a count."""
    return _every().direction(metric)


def weights_of(metric: str, rows: Integer[np.ndarray, " puzzles"]) -> Float64[np.ndarray, " puzzles"]:
    """What each puzzle weighs in the metric: its scored rows, or 1 where every puzzle counts once."""
    found = _every().find(metric)
    is_once = found is not None and found.counts_puzzles
    return np.ones(len(rows)) if is_once else rows.astype(np.float64)


def bounds(metric: str) -> tuple[float, float]:
    """The least and the most that the metric can be."""
    return _every().bounds(metric)


def metric_names(task: str, steps: int, *, has_halted: bool = False, has_rollouts: bool = False) -> list[str]:
    """Every metric of an evaluation of a task's puzzles with `steps` supervision steps.

    `has_halted`: with those of answers at each row's halt; `has_rollouts`: with those of several rollouts.
    """
    return Metrics(task_named(task).metrics).names(steps, has_halted=has_halted, has_rollouts=has_rollouts)

"""Which puzzles that would be trained on are scored too."""

import numpy as np
from jaxtyping import Bool

from trm.data.format.manifest import TaskName
from trm.tasks.choice import task_named
from trm.tasks.task import OtherPairs, Pairs


def is_scored(task: TaskName, trained: Pairs, scored: OtherPairs, grid: tuple[int, int]) -> Bool[np.ndarray, "rows"]:
    """Which of the questions and answers `trained` are among those `scored`, as the task tells one puzzle from another."""
    if not len(trained[0]) or not len(scored[0]):
        return np.zeros(len(trained[0]), dtype=bool)
    return task_named(task).is_scored(trained, scored, grid)

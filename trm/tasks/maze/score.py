"""What mazes are scored by: the path they draw; copying the question already scores 87 % of the cells of a published maze."""

import numpy as np
from jaxtyping import Bool, Float64

from trm.evaluation.metrics import Answered, Metric
from trm.evaluation.scores import share
from trm.tasks.maze.tokens import PATH

Cells = Bool[np.ndarray, "batch cells"]


def _drawn_and_path(answered: Answered) -> tuple[Cells, Cells]:
    return answered.predictions == PATH, answered.batch.batch.labels == PATH


def path_recall(answered: Answered) -> Float64[np.ndarray, " batch"]:
    """Share of the path's cells that are drawn."""
    drawn, path = _drawn_and_path(answered)
    return share(drawn & path, path)


def path_precision(answered: Answered) -> Float64[np.ndarray, " batch"]:
    """Share of the drawn cells that are right; who draws nothing finds nothing."""
    drawn, path = _drawn_and_path(answered)
    return np.where(drawn.any(1), share(drawn & path, drawn), ~path.any(1))


def path_f1(answered: Answered) -> Float64[np.ndarray, " batch"]:
    """The harmonic mean of recall and precision."""
    drawn, path = _drawn_and_path(answered)
    total = (drawn.sum(1) + path.sum(1)).astype(np.float64)
    f1: np.ndarray = np.divide(2.0 * (drawn & path).sum(1), total, out=np.ones_like(total), where=total > 0)
    return f1


def is_shortest_path(answered: Answered) -> Float64[np.ndarray, " batch"]:
    """Whether a shortest path is drawn, whichever of many."""
    from trm.tasks.maze.solver import draws_shortest_path  # brings numba, which costs the other tasks' trials half a second

    drawn, _ = _drawn_and_path(answered)
    return draws_shortest_path(answered.batch.batch.inputs.astype(np.uint8), drawn, answered.grid).astype(np.float64)


METRICS = (
    Metric("path_recall", column=path_recall),
    Metric("path_precision", column=path_precision),
    Metric("path_f1", column=path_f1),
    Metric("shortest_path_accuracy", "share", column=is_shortest_path),
)

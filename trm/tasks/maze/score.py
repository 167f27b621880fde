"""What mazes are scored by: the path they draw."""

import numpy as np
from jaxtyping import UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.evaluation.metric_names import PATH_MEANS
from trm.evaluation.scores import Columns, Evaluation, means, of_puzzles, proportion, share
from trm.stats.intervals import mean_of
from trm.tasks.maze.solver import PATH, draws_shortest_path


class MazeScorer:
    """How well the path is drawn: copying the question already scores 87 % of the cells of a published maze."""

    def __init__(self, grid: tuple[int, int]) -> None:
        self._grid = grid

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """Path cells found (recall), drawn ones that are right (precision), both (F1), and whether a shortest path is drawn."""
        drawn, path = predictions == PATH, batch.batch.labels == PATH
        both = drawn & path
        total = (drawn.sum(1) + path.sum(1)).astype(np.float64)
        is_shortest = draws_shortest_path(batch.batch.inputs.astype(np.uint8), drawn, self._grid)
        return {
            "path_recall": share(both, path),
            "path_precision": np.where(drawn.any(1), share(both, drawn), ~path.any(1)),  # nothing drawn finds nothing
            "path_f1": np.divide(2.0 * both.sum(1), total, out=np.ones_like(total), where=total > 0),
            "draws_shortest_path": is_shortest.astype(np.float64),
        }

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """Means over mazes; a drawn shortest path counts whichever of many it is."""
        drawn = columns["draws_shortest_path"]
        found = proportion("shortest_path_accuracy", mean_of(drawn), len(np.unique(clusters)))
        by_puzzle = Evaluation(puzzles={"shortest_path_accuracy": of_puzzles(drawn, clusters)})
        return means(columns, PATH_MEANS, clusters) | found | by_puzzle

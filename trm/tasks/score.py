"""What each kind of puzzle is scored by besides exactness: cells to fill, path cells and shortest paths, ARC's votes.

A scorer turns a batch of predictions into columns, one value a row, and columns of all rows into metrics.
"""

import numpy as np
from jaxtyping import UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.evaluation.metric_names import PASSES, TASK_MEANS
from trm.evaluation.scores import Columns, Evaluation, PlainScorer, TaskScorer, means, proportion, share
from trm.stats.intervals import mean_of
from trm.tasks.arc.votes import grid_hashes, pass_at, rank_of_truth, voted_grids

SUDOKU_BLANK = 1


class SudokuScorer:
    """Accuracy on the cells that were blank: the others can be copied."""

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """Share of a board's blank cells that are filled rightly; 1 for a board without any."""
        is_blank = batch.batch.inputs == SUDOKU_BLANK
        return {"fill_accuracy": share(is_blank & (predictions == batch.batch.labels), is_blank)}

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """The mean over boards."""
        return means(columns, TASK_MEANS["sudoku"], clusters)


class ArcScorer:
    """pass@K by task: the augmentations of a task vote."""

    def __init__(self, split: Split) -> None:
        self._groups = split.clusters
        self._truths = grid_hashes(split.labels)

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """Hash of the grid voted for."""
        return {"vote": voted_grids(predictions, batch.augmentations)}

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """Shares of test pairs, averaged over a task's pairs, then over tasks; the interval counts tasks, not votes."""
        rows = columns["row"]
        pairs, ranks = rank_of_truth(rows, columns["vote"], self._truths[rows], columns["halting_probability"])
        tasks = self._groups[pairs]
        found = Evaluation({"tasks": float(len(np.unique(tasks))), "test_pairs": float(len(pairs))})
        for k in PASSES:
            by_task = pass_at(k, ranks, tasks)
            found |= proportion(f"pass_at_{k}", mean_of(by_task), len(by_task))
            found |= Evaluation(puzzles={f"pass_at_{k}": by_task})
        return found


def scorer_for(manifest: Manifest, split: Split) -> TaskScorer:
    """The scorer of the data set's task."""
    match manifest.task:
        case "sudoku":
            return SudokuScorer()
        case "maze":
            from trm.tasks.maze.score import MazeScorer  # brings numba, which costs the other tasks' trials half a second

            return MazeScorer(manifest.grid)
        case "arc":
            return ArcScorer(split)
        case "other":
            return PlainScorer()

"""What ARC is scored by: pass@K by task, after the augmentations of a task have voted."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.data.batches.split import Split
from trm.evaluation.metrics import Metric, count
from trm.evaluation.pooled import votes_of
from trm.evaluation.scores import Columns, Evaluation, proportion
from trm.stats.intervals import mean_of
from trm.tasks.arc.votes import hashes_of, pass_at, rank_of_truth, voted_grids

PASSES = (1, 2)
"""K of ARC's pass@K; the published score is pass@2."""
METRICS = (*(Metric(f"pass_at_{k}", "share", counts_puzzles=True) for k in PASSES), count("tasks"), count("test_pairs"))
MOST = 1000
NUMBERED = (Metric("pass", "share", counts_puzzles=True, numbers=(1, MOST)),)
"""pass@K for other K, where it is asked for."""


class ArcScorer:
    """pass@K by task: the augmentations of a task vote, each by all its rollouts where these vote too."""

    metrics: Sequence[Metric] = METRICS

    def __init__(self, split: Split) -> None:
        self._groups = split.clusters
        self._truths = hashes_of(split.labels)

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """Hash of the grid voted for."""
        return {"vote": voted_grids(predictions, batch.augmentations)}

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """Shares of test pairs, averaged over a task's pairs, then over tasks; the interval counts tasks, not votes."""
        pairs, ranks, tasks = self._ranked(columns)
        found = Evaluation({"tasks": float(len(np.unique(tasks))), "test_pairs": float(len(pairs))})
        for k in PASSES:
            found |= _passed(k, ranks, tasks)
        return found

    def numbered(self, metric: str, number: int, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """pass@K for another K."""
        _, ranks, tasks = self._ranked(columns)
        return _passed(number, ranks, tasks)

    def _ranked(self, columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Test pairs, the rank of each true grid, and the pairs' tasks."""
        cast = votes_of(columns)
        rows = cast["row"]
        pairs, ranks = rank_of_truth(rows, cast["vote"], self._truths[rows], cast["halting_probability"])
        return pairs, ranks, self._groups[pairs]


def _passed(k: int, ranks: np.ndarray, tasks: np.ndarray) -> Evaluation:
    """pass@K of ranked true grids."""
    name, by_task = f"pass_at_{k}", pass_at(k, ranks, tasks)
    return proportion(name, mean_of(by_task), len(by_task)) | Evaluation(puzzles={name: by_task})

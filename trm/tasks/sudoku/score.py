"""What Sudoku is scored by: the cells that were blank."""

import numpy as np
from jaxtyping import UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.evaluation.metric_names import TASK_MEANS
from trm.evaluation.scores import Columns, Evaluation, means, share

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

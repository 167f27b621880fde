"""What Sudoku is scored by: the cells that were blank."""

import numpy as np
from jaxtyping import Float64

from trm.evaluation.metrics import Answered, Metric
from trm.evaluation.scores import share
from trm.tasks.sudoku.augment import BLANK


def fill_accuracy(answered: Answered) -> Float64[np.ndarray, " batch"]:
    """Share of a board's blank cells that are filled rightly, the others can be copied; 1 for a board without any."""
    is_blank = answered.batch.batch.inputs == BLANK
    return share(is_blank & (answered.predictions == answered.batch.batch.labels), is_blank)


METRICS = (Metric("fill_accuracy", column=fill_accuracy),)

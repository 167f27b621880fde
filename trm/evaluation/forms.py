"""Symmetric forms of a puzzle: it is asked in several, and the answers are undone."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt8

from trm.data.batches.augmenter import IGNORED, as_labels
from trm.data.batches.plan import Batch, EvaluationBatch

Cells = UInt8[np.ndarray, "batch cells"]
Numbers = Int64[np.ndarray, " batch"]


@runtime_checkable
class Forms(Protocol):
    """The symmetries of a puzzle, as numbered forms of each row of a split: 0 is the row itself."""

    def asked(self, cells: Cells, rows: Numbers, forms: Numbers) -> Cells:
        """Questions or answers of rows in their forms; a function of row and form alone."""

    def undone(self, cells: Cells, rows: Numbers, forms: Numbers) -> Cells:
        """What `asked` made these of."""


def in_forms(batch: EvaluationBatch, forms: Forms, numbers: Numbers) -> Batch:
    """What the network is asked, and the labels of that."""
    own = batch.batch
    inputs = forms.asked(own.inputs.astype(np.uint8), batch.rows, numbers)
    labels = forms.asked(np.where(own.labels == IGNORED, 0, own.labels).astype(np.uint8), batch.rows, numbers)
    return Batch(inputs.astype(np.int32), as_labels(labels), own.puzzle_identifiers)

"""What the batch plan asks of an augmentation: rows of a split, varied, as the network takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt64

from trm.data.batches.split import Grids, Split
from trm.data.format.manifest import Manifest

IGNORED = -100
TOKENS = 256


@dataclass(frozen=True, eq=False)
class RowDraw:
    """Which rows a batch takes: row of the split, puzzle identifier, and 64 random bits of the slot."""

    rows: Int64[np.ndarray, "batch"]
    puzzle_identifiers: Int32[np.ndarray, "batch"]
    keys: UInt64[np.ndarray, "batch"]

    def __getitem__(self, part: slice) -> "RowDraw":
        return RowDraw(self.rows[part], self.puzzle_identifiers[part], self.keys[part])


@runtime_checkable
class Augmenter(Protocol):
    """Makes the rows of a batch from stored rows."""

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Questions and labels, varied as the slot's bits say; padding is -100 in labels."""

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Questions and labels as the identifier alone says."""


AugmenterFor = Callable[[Split, Manifest], Augmenter]
"""The augmentation that a data set's manifest asks for, over the rows of one split; `trm.tasks.augment.augmenter_for` is one."""


def _label_values() -> np.ndarray:
    values = np.arange(TOKENS, dtype=np.int32)
    values[0] = IGNORED
    return values


LABEL_VALUES = _label_values()


def as_labels(cells: UInt8[np.ndarray, "batch cells"]) -> Int32[np.ndarray, "batch cells"]:
    """Tokens as the loss takes them: padding is ignored."""
    labels: np.ndarray = LABEL_VALUES[cells]
    return labels


@dataclass(frozen=True, eq=False)
class PlainRows:
    """Rows as they are stored."""

    inputs: UInt8[np.ndarray, "rows cells"] | Grids
    labels: UInt8[np.ndarray, "rows cells"] | Grids

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """The stored rows."""
        return self.inputs[draw.rows].astype(np.int32), as_labels(self.labels[draw.rows])

    evaluate = train

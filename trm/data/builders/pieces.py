"""What generates a data set in pieces: each a function of recipe and number alone, so that a build can stop and go on."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool

from trm.errors import DatasetError

Columns = Mapping[str, np.ndarray]
"""Arrays of one length: `inputs` and `labels` (rows, cells) uint8 tokens, and extras of one value a row."""


@runtime_checkable
class PieceMaker(Protocol):
    """Makes the puzzles of a generated data set."""

    def piece(self, number: int) -> Columns:
        """Piece `number` (from 0): puzzles that keep the recipe's rules, as many as it happens to find, maybe none.

        A function of the recipe and the number, the same in any order, process and thread; it lets go of the interpreter's lock
        while it works, so that pieces can be made side by side, and takes a few seconds at most.
        """

    def is_new(self, columns: Columns) -> Bool[np.ndarray, "rows"]:
        """Which rows are symmetric forms of no row before them, in this call or an earlier one; all rows are remembered."""

    def exhausted(self, found: int, wanted: int, pieces: int) -> DatasetError | None:
        """The error when `pieces` pieces gave only `found` puzzles of `wanted` and going on is hopeless; None: go on."""

"""A few puzzles that were solved and a few that were not, with what was answered: kept while an evaluation passes by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from trm.data.batches.augmenter import IGNORED
from trm.data.batches.split import Split
from trm.evaluation.answers_file import AnsweredBatch

MOST_KEPT = 4
"""Of each kind."""
Gather = Callable[[np.ndarray], np.ndarray]
"""Rows of all workers, on each."""


@dataclass(frozen=True, eq=False)
class Example:
    """A puzzle of a split, and what a network answered to it."""

    row: int
    """Of the split."""
    puzzle: int
    question: UInt8[np.ndarray, " cells"]
    answered: UInt8[np.ndarray, " cells"]
    """Where nothing is asked, what stands in the right answer."""
    right: UInt8[np.ndarray, " cells"]

    @property
    def wrong(self) -> int:
        """How many cells are not as they should be."""
        return int(np.count_nonzero(self.answered != self.right))


class ExampleKeeper:
    """Takes batches as they are answered, and keeps the first puzzles of each kind in the order of the split.

    What is kept hangs on neither batches nor workers. Of ARC's forms only a task as it stands is kept.
    """

    def __init__(self, split: Split) -> None:
        self._split = split
        self._rows = np.zeros(0, dtype=np.int64)
        self._answered = np.zeros((0, split.inputs.shape[1]), dtype=np.uint8)

    def __call__(self, answered: AnsweredBatch) -> None:
        """Looks at a batch's rows that are as the split holds them."""
        batch = answered.batch
        is_plain = batch.augmentations == 0
        rows, asked = batch.rows[is_plain], batch.batch.labels[is_plain] != IGNORED
        self._keep(rows, np.where(asked, answered.cells[is_plain], self._split.labels[rows]))

    def _keep(self, rows: Int64[np.ndarray, " rows"], answered: UInt8[np.ndarray, "rows cells"]) -> None:
        rows, answered = np.concatenate([self._rows, rows]), np.concatenate([self._answered, answered])
        order = np.argsort(rows, kind="stable")
        rows, answered = rows[order], answered[order]
        is_exact = (answered == self._split.labels[rows]).all(1)
        kept = [self._first(rows, np.flatnonzero(is_exact == kind)) for kind in (True, False)]
        self._rows, self._answered = (column[np.concatenate(kept)] for column in (rows, answered))

    def _first(self, rows: Int64[np.ndarray, " rows"], places: Int64[np.ndarray, " places"]) -> Int64[np.ndarray, " kept"]:
        """Of the places those of the first puzzles, one of each."""
        _, first = np.unique(self._split.clusters[rows[places]], return_index=True)
        return places[np.sort(first)[:MOST_KEPT]]

    def kept(self, gathered: Gather = lambda column: column) -> tuple[list[Example], list[Example]]:
        """Those solved and those failed, of all workers together; every one of a gang calls it and gets the same."""
        rows, answered = gathered(self._rows), gathered(self._answered)
        self._rows, self._answered = self._rows[:0], self._answered[:0]
        self._keep(rows, answered)
        found = [self._example(int(row), cells) for row, cells in zip(self._rows, self._answered, strict=True)]
        return [one for one in found if not one.wrong], [one for one in found if one.wrong]

    def _example(self, row: int, answered: UInt8[np.ndarray, " cells"]) -> Example:
        split = self._split
        return Example(row, int(split.clusters[row]), split.inputs[row], answered, split.labels[row])

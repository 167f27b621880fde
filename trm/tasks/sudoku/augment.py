"""Symmetries of Sudoku: digit, band, row, stack and column permutations, and transposition where boxes are square."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64

from trm.data.batches.augmenter import LABEL_VALUES, PlainRows, RowDraw
from trm.data.batches.keyed_random import below, hashed, permutations

BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
BLANK = 1
_ASKED = 0x41534B
"""Keeps the forms of evaluations apart from every other use of rows' numbers."""


@dataclass(frozen=True, eq=False)
class SudokuForms:
    """One symmetry a row: cell s of the new board is `tokens[board[cells[s]]]`.

    `cells` permutes the cells; `tokens` maps old tokens to new ones and keeps padding and blank.
    """

    cells: Int64[np.ndarray, "batch cells"]
    tokens: UInt8[np.ndarray, "batch vocabulary"]


def _lines(keys: np.ndarray, size: int, block: int, stream: int) -> np.ndarray:
    """Rows (or columns) in a new order: blocks of `block` lines permuted, and the lines inside each."""
    blocks = permutations(keys, size // block, stream)
    inside = np.stack([permutations(keys, block, stream + 1 + k) for k in range(size // block)], axis=1)
    lines: np.ndarray = blocks[:, :, None] * block + inside
    return lines.reshape(len(keys), size)


def draw_forms(keys: UInt64[np.ndarray, "batch"], size: int) -> SudokuForms:
    """A uniformly random symmetry for each key. 6x6 boards are never transposed: a 2x3 box would become 3x2."""
    box_rows, box_columns = BOXES[size]
    rows, columns = _lines(keys, size, box_rows, 0), _lines(keys, size, box_columns, 16)
    is_transposed = (hashed(keys, 32) & np.uint64(1)).astype(bool) & (box_rows == box_columns)
    row_stride, column_stride = np.where(is_transposed, 1, size), np.where(is_transposed, size, 1)
    cells = (rows * row_stride[:, None])[:, :, None] + (columns * column_stride[:, None])[:, None, :]
    digits = permutations(keys, size, 33) + BLANK + 1
    kept = np.broadcast_to(np.arange(BLANK + 1), (len(keys), BLANK + 1))
    return SudokuForms(cells.reshape(len(keys), size * size), np.concatenate([kept, digits], axis=1).astype(np.uint8))


def keep(forms: SudokuForms, is_kept: Bool[np.ndarray, "batch"]) -> SudokuForms:
    """`forms`, with the identity where `is_kept`."""
    here = is_kept[:, None]
    return SudokuForms(
        np.where(here, np.arange(forms.cells.shape[1]), forms.cells),
        np.where(here, np.arange(forms.tokens.shape[1], dtype=np.uint8), forms.tokens),
    )


def apply(boards: UInt8[np.ndarray, "batch cells"], forms: SudokuForms) -> UInt8[np.ndarray, "batch cells"]:
    """Boards under their symmetries."""
    moved = np.take(boards.reshape(-1), forms.cells + _row_starts(boards))
    renamed: np.ndarray = np.take(forms.tokens.reshape(-1), moved + _row_starts(forms.tokens))
    return renamed


def invert(boards: UInt8[np.ndarray, "batch cells"], forms: SudokuForms) -> UInt8[np.ndarray, "batch cells"]:
    """The boards that `apply` made these of."""
    tokens = np.argsort(forms.tokens, axis=1).astype(np.uint8)
    restored = np.empty_like(boards)
    np.put_along_axis(restored, forms.cells, np.take_along_axis(tokens, boards.astype(np.int64), axis=1), axis=1)
    return restored


def _row_starts(table: np.ndarray) -> np.ndarray:
    return np.arange(0, table.size, table.shape[1])[:, None]


class SudokuRows:
    """Training rows in random forms: a new one at every visit, or one of `num_aug` + 1 fixed ones a puzzle."""

    def __init__(self, plain: PlainRows, groups: Int32[np.ndarray, "rows"], *, size: int, num_aug: int | None, seed: int) -> None:
        self._plain, self._groups, self._size = plain, groups, size
        self._num_aug, self._seed = num_aug, seed

    def forms(self, draw: RowDraw) -> SudokuForms:
        """The symmetry of each row of a batch."""
        if self._num_aug is None:
            return draw_forms(draw.keys, self._size)
        form = below(draw.keys, self._num_aug + 1)
        keys = hashed(self._seed, self._groups[draw.rows].astype(np.int64), form)
        return keep(draw_forms(keys, self._size), form == 0)

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Boards in the forms that the slots' bits say."""
        forms = self.forms(draw)
        inputs, labels = self._plain.inputs[draw.rows], self._plain.labels[draw.rows]
        return apply(inputs, forms).astype(np.int32), LABEL_VALUES[apply(labels, forms)]

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Boards as they are stored."""
        return self._plain.evaluate(draw)


class SudokuEvaluationForms:
    """Boards of an evaluation in random symmetries, a function of row and form: the same for every network."""

    def __init__(self, size: int) -> None:
        self._size = size

    def asked(
        self, cells: UInt8[np.ndarray, "batch cells"], rows: Int64[np.ndarray, "batch"], forms: Int64[np.ndarray, "batch"]
    ) -> UInt8[np.ndarray, "batch cells"]:
        """Boards under their symmetries, form 0 as they are."""
        return apply(cells, self._drawn(rows, forms))

    def undone(
        self, cells: UInt8[np.ndarray, "batch cells"], rows: Int64[np.ndarray, "batch"], forms: Int64[np.ndarray, "batch"]
    ) -> UInt8[np.ndarray, "batch cells"]:
        """The boards that these were."""
        return invert(cells, self._drawn(rows, forms))

    def _drawn(self, rows: np.ndarray, forms: np.ndarray) -> SudokuForms:
        return keep(draw_forms(hashed(_ASKED, rows, forms), self._size), forms == 0)

"""Sudoku in the published code's arrays."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64, Integer

from trm.data.batches.keyed_random import hashed
from trm.data.format.manifest import Augmentation, Manifest, SudokuAugmentation
from trm.errors import DatasetError
from trm.tasks.making.parallel import by_parts
from trm.tasks.sudoku.augment import BLANK, BOXES, apply, draw_forms, keep
from trm.tasks.task import ArrayFormat, Cells


class SudokuArrays(ArrayFormat):
    """Boards of a blank and digits, each with one solution; exported in as many forms as are asked for."""

    def vocabulary(self, side: int, tokens: int) -> tuple[str, ...]:
        """Padding, blank and digits."""
        return ("pad", ".", *map(str, range(1, side + 1)))

    def fits(self, height: int, width: int) -> bool:
        """4x4, 6x6 or 9x9."""
        return height == width and height in BOXES

    def broken(
        self, inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], side: int, *, is_test: bool
    ) -> Iterator[tuple[str, Bool[np.ndarray, "rows"]]]:
        """Boards that are none, or have several solutions."""
        from trm.tasks.sudoku.solver import count_solutions

        yield "a question must agree with its answer", (((inputs != BLANK) & (inputs != labels)) | (inputs < BLANK)).any(1)
        box_rows, box_columns = BOXES[side]
        digits = np.left_shift(1, labels.clip(0, side + 1).astype(np.int64)).reshape(-1, side, side)
        boxes = digits.reshape(-1, side // box_rows, box_rows, side // box_columns, box_columns).transpose(0, 1, 3, 2, 4)
        lines = np.concatenate([digits, digits.transpose(0, 2, 1), boxes.reshape(-1, side, side)], axis=1)
        every = sum(1 << (BLANK + digit) for digit in range(1, side + 1))
        yield "an answer must have every digit once a row, column and box", (np.bitwise_or.reduce(lines, axis=2) != every).any(1)
        boards = np.where((inputs > BLANK) & (inputs <= side + BLANK), inputs - BLANK, 0).astype(np.uint8)
        is_open = np.concatenate(by_parts(lambda part: count_solutions(part, side)[0] > 1, boards))
        yield "a board must have only one solution", is_open

    def added_forms(self, augmentation: Augmentation, num_aug: int | None) -> int:
        """As asked, else as many as the data set has."""
        if not isinstance(augmentation, SudokuAugmentation):
            return 0
        if num_aug is None and augmentation.num_aug is None:
            raise DatasetError(
                "an export must know how many forms of a Sudoku to write: the data set has a new one at every visit",
                remedy="say --num-aug N, for instance 0 or the published 1000",
            )
        return num_aug if num_aug is not None else int(augmentation.num_aug or 0)

    def in_forms(
        self, inputs: Cells, labels: Cells, groups: Int64[np.ndarray, "rows"], forms: Int64[np.ndarray, "rows"], manifest: Manifest
    ) -> tuple[Cells, Cells]:
        """Boards under the symmetries that their forms' numbers draw."""
        if not forms.any():
            return inputs, labels
        drawn = keep(draw_forms(hashed(manifest.seed, groups, forms), manifest.grid[0]), forms == 0)
        return apply(inputs, drawn), apply(labels, drawn)

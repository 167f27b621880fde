"""ARC in the published code's arrays."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Integer

from trm.tasks.arc.augment import CANVAS, FIRST_COLOUR, VOCABULARY
from trm.tasks.task import ArrayFormat


class ArcArrays(ArrayFormat):
    """Grids of colours on a canvas, those of the test split in its corner."""

    answers_by_task: ClassVar[bool] = True

    def vocabulary(self, side: int, tokens: int) -> tuple[str, ...]:
        """Padding, end marker and colours."""
        return VOCABULARY

    def fits(self, height: int, width: int) -> bool:
        """30x30."""
        return height == width == CANVAS

    def broken(
        self, inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], side: int, *, is_test: bool
    ) -> Iterator[tuple[str, Bool[np.ndarray, "rows"]]]:
        """Rows without a grid, and test grids elsewhere on the canvas."""
        yield "an ARC row must hold a grid", np.asarray((inputs < FIRST_COLOUR).all(1) | (labels < FIRST_COLOUR).all(1))
        if is_test:
            yield "an ARC test grid must lie in the canvas's corner", (inputs[:, 0] < FIRST_COLOUR) | (labels[:, 0] < FIRST_COLOUR)

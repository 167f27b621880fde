"""ARC as somebody poses it: a grid of colours with demonstrations, and what these say of an answer's shape and colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trm.data.format.manifest import Manifest
from trm.errors import QuestionError
from trm.tasks.arc.augment import CANVAS, COLOURS, END, FIRST_COLOUR, PAD, canvas, crop, sizes
from trm.tasks.arc.pairs import grid_fault
from trm.tasks.play import Cells, Pair, Play, Posed

MOST_DEMONSTRATIONS = 32


class ArcPlay(Play):
    """Grids of colours 0 to 9, and the pairs that show what is asked."""

    has_demonstrations = True

    def read(self, grid: Any, manifest: Manifest) -> Cells:
        """The grid in the corner of its canvas."""
        return np.asarray(canvas([read_colours(grid, "the grid")])[0])

    def written(self, cells: Cells, manifest: Manifest) -> list[list[int]]:
        """The grid of colours without its canvas; empty where there is none in the corner."""
        whole = crop(cells[None])
        (height,), (width,) = sizes(whole)
        grid = whole.reshape(CANVAS, CANVAS)[:height, :width].astype(np.int64) - FIRST_COLOUR
        return [list(map(int, row)) for row in grid]

    def require(self, posed: Posed, manifest: Manifest) -> None:
        """QuestionError for an empty canvas."""
        if not self.written(posed.cells, manifest):
            raise QuestionError("an ARC question must be a grid in its canvas's corner, this one is empty", remedy="post its grid")

    def broken(self, posed: Posed, answer: Cells, manifest: Manifest) -> Sequence[str] | None:
        """An empty grid, or a shape or colours that the demonstrations rule out; None without demonstrations."""
        grid = np.array(self.written(answer, manifest), dtype=np.int64)
        if not grid.size:
            return ["the answer is no grid: there is no colour in the canvas's corner"]
        if not posed.demonstrations:
            return None
        question = np.array(self.written(posed.cells, manifest), dtype=np.int64)
        found = []
        if (expected := _expected_shape(posed.demonstrations, question)) is not None and grid.shape != expected:
            found.append(
                f"the answer has {grid.shape[0]} by {grid.shape[1]} cells, the demonstrations say {expected[0]} by {expected[1]}"
            )
        known = {
            int(colour)
            for one in (question, *(side for pair in posed.demonstrations for side in pair))
            for colour in np.unique(one)
        }
        if strange := sorted(set(np.unique(grid).tolist()) - known):
            found.append(f"no demonstration and no question has colour {', '.join(map(str, strange))}")
        marked = canvas([grid.astype(np.uint8)])[0]
        if not np.array_equal(np.where(marked == PAD, PAD, answer), marked):
            stray = int(((marked == END) & (answer != END)).sum())
            found.append(f"the grid's end is not marked in {stray} cells, so its shape is not sure")
        return found


def read_colours(grid: Any, what: str) -> np.ndarray:
    """A grid of colours. QuestionError for what is none."""
    if (fault := grid_fault(grid)) is not None:
        raise QuestionError(f"{fault[0]}, {what} {fault[1]}", remedy=f"post rows of colours 0 to {COLOURS - 1}")
    return np.array(grid, dtype=np.uint8)


def read_demonstrations(values: Any) -> tuple[Pair, ...]:
    """Pairs from a list of objects with input and output, as ARC's files have them. QuestionError for what is none."""
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_DEMONSTRATIONS:
        raise QuestionError(
            f"demonstrations must be a list of 1 to {MOST_DEMONSTRATIONS} pairs",
            remedy='post [{"input": grid, "output": grid}, ...]',
        )
    pairs = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict) or set(value) != {"input", "output"}:
            raise QuestionError(
                f"a demonstration must have input and output and nothing else, number {number} does not",
                remedy='post {"input": grid, "output": grid}',
            )
        sides = [read_colours(value[side], f"demonstration {number}, {side},") for side in ("input", "output")]
        pairs.append((sides[0], sides[1]))
    return tuple(pairs)


def _expected_shape(pairs: Sequence[Pair], question: np.ndarray) -> tuple[int, ...] | None:
    """The shape that all demonstrations agree on: the question's own, or one for all; None where they do not."""
    if all(before.shape == after.shape for before, after in pairs):
        return question.shape
    shapes = {after.shape for _, after in pairs}
    return next(iter(shapes)) if len(shapes) == 1 and len(pairs) > 1 else None

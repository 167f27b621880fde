"""Mazes turned and mirrored."""

import numpy as np
from jaxtyping import Int32

from trm.data.batches.augmenter import PlainRows, RowDraw, as_labels
from trm.data.batches.keyed_random import below
from trm.tasks.making.dihedral import SYMMETRIES, apply


class MazeRows:
    """Training mazes under a random symmetry; the path is searched anew, because its rule prefers directions."""

    def __init__(self, plain: PlainRows) -> None:
        self._plain = plain

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Mazes under the symmetries that the slots' bits say, with their own labels."""
        from trm.tasks.maze.solver import solve

        mazes = apply(self._plain.inputs[draw.rows], below(draw.keys, SYMMETRIES))
        size = round(mazes.shape[1] ** 0.5)
        return mazes.astype(np.int32), as_labels(solve(mazes, (size, size)))

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Mazes as they are stored."""
        return self._plain.evaluate(draw)

"""Mazes turned and mirrored."""

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from trm.data.batches.augmenter import PlainRows, RowDraw, as_labels
from trm.data.batches.keyed_random import below
from trm.tasks.making.dihedral import SYMMETRIES, apply, invert


class MazeRows:
    """Training mazes under a random symmetry; where there are several paths it is searched anew: its rule prefers directions."""

    def __init__(self, plain: PlainRows, *, have_one_path: bool = False) -> None:
        """`have_one_path`: the label is turned with the maze."""
        self._plain, self._have_one_path = plain, have_one_path

    def train(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Mazes under the symmetries that the slots' bits say, with their own labels."""
        symmetries = below(draw.keys, SYMMETRIES)
        mazes = apply(self._plain.inputs[draw.rows], symmetries)
        if self._have_one_path:
            return mazes.astype(np.int32), as_labels(apply(self._plain.labels[draw.rows], symmetries))
        from trm.tasks.maze.solver import solve

        size = round(mazes.shape[1] ** 0.5)
        return mazes.astype(np.int32), as_labels(solve(mazes, (size, size)))

    def evaluate(self, draw: RowDraw) -> tuple[Int32[np.ndarray, "batch cells"], Int32[np.ndarray, "batch cells"]]:
        """Mazes as they are stored."""
        return self._plain.evaluate(draw)


class MazeForms:
    """Mazes of an evaluation under the eight symmetries, whose numbers forms are."""

    def asked(
        self, cells: UInt8[np.ndarray, "batch cells"], rows: Int64[np.ndarray, "batch"], forms: Int64[np.ndarray, "batch"]
    ) -> UInt8[np.ndarray, "batch cells"]:
        """Mazes turned and mirrored, form 0 as they are."""
        return apply(cells, forms)

    def undone(
        self, cells: UInt8[np.ndarray, "batch cells"], rows: Int64[np.ndarray, "batch"], forms: Int64[np.ndarray, "batch"]
    ) -> UInt8[np.ndarray, "batch cells"]:
        """Mazes as they were."""
        return invert(cells, forms)

"""The eight symmetries of a rectangle's grid, numbered as published ARC code numbers them.

0 identity, 1 to 3 counter-clockwise quarter turns, 4 mirror left-right, 5 mirror top-bottom, 6 transpose, 7 transpose across
the other diagonal.
"""

import numpy as np
from jaxtyping import Int64, UInt8

SYMMETRIES = 8
INVERSE = np.array([0, 3, 2, 1, 4, 5, 6, 7])
IS_SWAPPED = np.array([0, 1, 0, 1, 0, 0, 1, 1], dtype=bool)
"""Whether a row of the new grid was a column of the old one."""
IS_ROW_FLIPPED = np.array([0, 1, 1, 0, 0, 1, 0, 1], dtype=bool)
"""Whether going down the new grid goes backwards in the old one."""
IS_COLUMN_FLIPPED = np.array([0, 0, 1, 1, 1, 0, 0, 1], dtype=bool)
"""Whether going right in the new grid goes backwards in the old one."""


def source_cells(size: int) -> Int64[np.ndarray, "symmetries cells"]:
    """Old cell behind each new cell of a square, for each symmetry."""
    cells = np.arange(size * size).reshape(size, size)
    turned = [np.rot90(cells, k) for k in range(4)]
    others = [np.fliplr(cells), np.flipud(cells), cells.T, np.fliplr(turned[1])]
    return np.stack([grid.reshape(-1) for grid in (*turned, *others)]).astype(np.int64)


def apply(grids: UInt8[np.ndarray, "batch cells"], symmetries: Int64[np.ndarray, "batch"]) -> UInt8[np.ndarray, "batch cells"]:
    """Square grids under their symmetries."""
    size = round(grids.shape[1] ** 0.5)
    return np.take_along_axis(grids, source_cells(size)[symmetries], axis=1)


def invert(grids: UInt8[np.ndarray, "batch cells"], symmetries: Int64[np.ndarray, "batch"]) -> UInt8[np.ndarray, "batch cells"]:
    """The grids that `apply` made these of."""
    return apply(grids, INVERSE[symmetries])

"""Puzzles as rows of cells: how many cells a row has."""

import math

from trm.config.networks import DataShape
from trm.errors import ConfigError


def width_of_rows(given: int | None, shape: DataShape, *, of: str, instead: str) -> int:
    """Cells in a row of the puzzle: the `given` number, or those of a square.

    ConfigError where the puzzle has no such rows; it names what needs them, and what does not.
    """
    width = given or math.isqrt(shape.seq_len)
    if shape.seq_len % width or (given is None and width**2 != shape.seq_len):
        how = "which has no square root" if given is None else f"which does not divide by grid_width {width}"
        high = next(side for side in range(math.isqrt(shape.seq_len), 0, -1) if shape.seq_len % side == 0)
        raise ConfigError(
            f"{of} needs rows of cells: the puzzles have {shape.seq_len} cells, {how}",
            remedy=f"set grid_width to the cells in a row, {shape.seq_len // high} for instance, or {instead}",
        )
    return width

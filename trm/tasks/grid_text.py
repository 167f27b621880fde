"""Grids of tokens as lines of coloured text."""

import numpy as np
from jaxtyping import UInt8
from rich.text import Text

Grid = UInt8[np.ndarray, "height width"]


def lines_of(lines: list[list[tuple[str, str]]]) -> Text:
    """Lines of pieces of text, each with its style."""
    return Text("\n").join(Text.assemble(*pieces) for pieces in lines)


def tokens_text(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Token names, padding left out."""
    return Text("\n".join(" ".join(vocabulary[cell] for cell in cells if cell) for cells in grid))

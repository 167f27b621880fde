"""ARC grids drawn in a terminal."""

from rich.text import Text

from trm.tasks.arc.augment import FIRST_COLOUR
from trm.tasks.grid_text import Grid, lines_of
from trm.tasks.legend import Legend, Token

ARC_COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""The colours in which the tasks are published."""
SAFE_COLOURS = ("#000000", "#332288", "#cc6677", "#117733", "#ddcc77", "#dddddd", "#aa4499", "#999933", "#88ccee", "#882255")
"""Paul Tol's muted scheme and black: told apart by colour-blind eyes too."""
COLOUR_NAMES = ("black", "blue", "red", "green", "yellow", "grey", "magenta", "orange", "azure", "maroon")


def arc_text(grid: Grid) -> Text:
    """The grid without its canvas, wherever it lies on it, each colour on its own ground; a point where an answer has none."""
    is_colour = grid >= FIRST_COLOUR
    cells = grid[is_colour.any(1)][:, is_colour.any(0)].tolist()
    return lines_of([[_piece(cell - FIRST_COLOUR) for cell in row] for row in cells])


def _piece(colour: int) -> tuple[str, str]:
    return (f"{colour} ", f"{_ink(colour)} on {ARC_COLOURS[colour]}") if 0 <= colour < len(ARC_COLOURS) else (". ", "")


def _ink(colour: int) -> str:
    return "white" if colour in (0, 1, 2, 6, 9) else "black"


def arc_legend() -> Legend:
    """Ten colours, each with another for colour-blind eyes and its digit."""
    rest = (Token("pad", "pad", "", "nothing"), Token("end", "end", "", "nothing"))
    known = enumerate(zip(COLOUR_NAMES, ARC_COLOURS, SAFE_COLOURS, strict=True))
    return Legend("colours", (*rest, *(Token(str(digit), "colour", str(digit), *one) for digit, one in known)))

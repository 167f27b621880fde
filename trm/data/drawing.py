"""Puzzles drawn in a terminal: a question beside its answer, as the task's people write it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trm.data.augmentation.arc import FIRST_COLOUR, sizes
from trm.data.augmentation.sudoku import BOXES
from trm.data.manifest import Manifest
from trm.data.split import Split

ARC_COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""The colours in which the tasks are published."""
MAZE_STYLES = {"#": "on grey30", "S": "bold green", "G": "bold red", "o": "bold yellow"}

Grid = UInt8[np.ndarray, "height width"]


def drawn_example(split: Split, row: int, manifest: Manifest) -> RenderableType:
    """Row `row` of a split: its question, an arrow, its answer, and what else is known of it."""
    draw = _drawer(manifest)
    pictures = Table.grid(padding=(0, 2))
    question, answer = (cells[row].reshape(manifest.grid) for cells in (split.inputs, split.labels))
    pictures.add_row(draw(question), Text("\n" * min(2, manifest.grid[0] // 2) + "->"), draw(answer))
    facts = {"row": row, "group": split.groups[row], **{name: column[row] for name, column in split.extras.items()}}
    whole = Table.grid()
    whole.add_row(Text(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim"))
    whole.add_row(pictures)
    return whole


def _drawer(manifest: Manifest) -> Callable[[np.ndarray], Text]:
    match manifest.task:
        case "sudoku":
            return lambda grid: _board(grid, manifest.vocabulary)
        case "maze":
            return lambda grid: _maze(grid, manifest.vocabulary)
        case "arc":
            return _arc
    return lambda grid: _tokens(grid, manifest.vocabulary)


def _board(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Digits with rules between the boxes."""
    size = len(grid)
    box_rows, box_columns = BOXES[size]
    rule = "+".join("-" * (2 * box_columns + 1) for _ in range(size // box_columns))[1:-1]
    lines = []
    for row, cells in enumerate(grid):
        if row and row % box_rows == 0:
            lines.append(rule)
        names = [vocabulary[cell] for cell in cells]
        lines.append(" | ".join(" ".join(names[k : k + box_columns]) for k in range(0, size, box_columns)))
    return Text("\n".join(lines))


def _maze(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Walls as blocks, the path as dots."""
    text = Text()
    for cells in grid:
        for cell in cells:
            name = vocabulary[cell]
            text.append(name * 2 if name == "#" else f"{name} ", style=MAZE_STYLES.get(name, ""))
        text.append("\n")
    return text


def _arc(grid: Grid) -> Text:
    """The grid without its canvas, each colour on its own ground."""
    heights, widths = sizes(grid.reshape(1, -1))
    text = Text()
    for cells in grid[: int(heights[0]), : int(widths[0])]:
        for cell in cells:
            colour = int(cell) - FIRST_COLOUR
            ink = "white" if colour in (0, 1, 2, 6, 9) else "black"
            text.append(f"{colour} ", style=f"{ink} on {ARC_COLOURS[colour]}")
        text.append("\n")
    return text


def _tokens(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Token names, padding left out."""
    return Text("\n".join(" ".join(vocabulary[cell] for cell in cells if cell) for cells in grid))

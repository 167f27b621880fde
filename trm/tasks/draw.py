"""Puzzles drawn in a terminal: a question beside its answer, as the task's people write it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.tasks.arc.augment import FIRST_COLOUR
from trm.tasks.sudoku.augment import BOXES

ARC_COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""The colours in which the tasks are published."""
MAZE_STYLES = {"#": "on grey30", "S": "bold green", "G": "bold red", "o": "bold yellow"}

ARROW = "->"

Grid = UInt8[np.ndarray, "height width"]


def drawn_example(split: Split, row: int, manifest: Manifest, *, width: int) -> RenderableType:
    """Row `row` of a split, or of one shard of it with the column `row`: what is known of it, its question and its answer.

    Side by side where `width` columns have the room.
    """
    draw = _drawer(manifest)
    question, answer = (draw(cells[row].reshape(manifest.grid)) for cells in (split.inputs, split.labels))
    facts = {"row": row, "group": split.groups[row], **{name: column[row] for name, column in split.extras.items()}}
    title = Text(", ".join(f"{name} {value}" for name, value in facts.items()), style="dim")
    pictures = Table.grid(padding=(0, 2))
    columns = [max(map(len, picture.plain.split("\n"))) for picture in (question, answer)]
    if sum(columns) + len(ARROW) + 6 <= width:
        pictures.add_row(question, Text("\n" * min(2, manifest.grid[0] // 2) + ARROW), answer)
    else:
        for picture in (question, Text(ARROW), answer):
            pictures.add_row(picture)
    return Group(title, pictures)


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
    names = [[vocabulary[cell] for cell in cells] for cells in grid]
    return _lines([[("##" if name == "#" else f"{name} ", MAZE_STYLES.get(name, "")) for name in row] for row in names])


def _arc(grid: Grid) -> Text:
    """The grid without its canvas, wherever it lies on it, each colour on its own ground."""
    is_colour = grid >= FIRST_COLOUR
    colours = (grid[is_colour.any(1)][:, is_colour.any(0)] - FIRST_COLOUR).tolist()
    return _lines([[(f"{colour} ", f"{_ink(colour)} on {ARC_COLOURS[colour]}") for colour in row] for row in colours])


def _ink(colour: int) -> str:
    return "white" if colour in (0, 1, 2, 6, 9) else "black"


def _lines(lines: list[list[tuple[str, str]]]) -> Text:
    """Lines of pieces of text, each with its style."""
    return Text("\n").join(Text.assemble(*pieces) for pieces in lines)


def _tokens(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Token names, padding left out."""
    return Text("\n".join(" ".join(vocabulary[cell] for cell in cells if cell) for cells in grid))

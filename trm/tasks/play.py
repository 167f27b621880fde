"""A puzzle as somebody poses it: read from plain values, written as people write it, checked and solved by our own rules."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from trm.data.format.manifest import Manifest
from trm.errors import QuestionError

Cells = UInt8[np.ndarray, " cells"]
Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Posed:
    """A question, and what is posted with it."""

    cells: Cells
    """As the network takes it."""
    demonstrations: tuple[Pair, ...] = ()
    """Pairs of grids that show what is asked, where a puzzle has them (ARC)."""


class Play:
    """How a puzzle is posed and judged; by default any tokens of the data set, of which no rule is known."""

    has_demonstrations = False
    """Whether a question is nothing without pairs that show what is asked."""

    def read(self, grid: Any, manifest: Manifest) -> Cells:
        """The cells of a grid as people write it: rows of names of tokens. QuestionError for what is none."""
        rows = rows_of(grid, manifest.grid)
        tokens = {name: token for token, name in enumerate(manifest.vocabulary)}
        return cells_of([[self.token(cell, tokens, at) for cell, at in places(row, y)] for y, row in enumerate(rows)])

    def token(self, cell: Any, tokens: dict[str, int], at: str) -> int:
        """The token of one cell, by its name; padding is none."""
        if isinstance(cell, (str, int)) and not isinstance(cell, bool):
            token = tokens.get(str(cell), 0)
            if token:
                return token
        names = [name for name, token in tokens.items() if token]
        raise QuestionError(
            f"a cell must be one of {shown(names)}, {at} is {reprlib.repr(cell)}", remedy="see GET /model for the vocabulary"
        )

    def written(self, cells: Cells, manifest: Manifest) -> Any:
        """The grid as `read` takes it, and an answer likewise; what only an answer can hold stands as it is called."""
        return [[manifest.vocabulary[cell] for cell in row] for row in cells.reshape(manifest.grid).tolist()]

    def require(self, posed: Posed, manifest: Manifest) -> None:
        """QuestionError for a question that breaks the puzzle's own rules, so that no answer could keep them."""

    def broken(self, posed: Posed, answer: Cells, manifest: Manifest) -> Sequence[str] | None:
        """The rules that an answer breaks, a sentence each; None where no rule is known."""
        return None

    def solved(self, posed: Posed, manifest: Manifest) -> Cells | None:
        """Our own solver's answer; None where a puzzle has no solver. QuestionError where there is no answer, or several."""
        return None

    def drawn(self, seed: int, manifest: Manifest) -> Cells | None:
        """A random question of the data set's size, a function of the seed; None where nobody can make one."""
        return None


def rows_of(grid: Any, size: tuple[int, int]) -> Sequence[Sequence[Any]]:
    """A grid of that height and width as rows of cells, each a list or a text of a letter a cell. QuestionError for another."""
    height, width = size
    if not isinstance(grid, list) or len(grid) != height:
        found = f"{len(grid)} rows" if isinstance(grid, list) else reprlib.repr(grid)
        raise QuestionError(
            f"this network's puzzles have {height} rows, got {found}", remedy=f"post a list of {height} rows of {width} cells"
        )
    for y, row in enumerate(grid):
        if not isinstance(row, (list, str)) or len(row) != width:
            found = f"{len(row)} cells" if isinstance(row, (list, str)) else reprlib.repr(row)
            raise QuestionError(f"a row must have {width} cells, row {y + 1} has {found}", remedy=f"post {width} cells in each row")
    return grid


def places(row: Sequence[Any], y: int) -> Sequence[tuple[Any, str]]:
    """A row's cells and what each is called."""
    return [(cell, f"row {y + 1}, column {x + 1}") for x, cell in enumerate(row)]


def cells_of(rows: Sequence[Sequence[int]]) -> Cells:
    """Rows of tokens as the network's cells."""
    return np.array(rows, dtype=np.uint8).reshape(-1)


def shown(names: Sequence[str], most: int = 20) -> str:
    """Names as a message has them, not all of very many."""
    told = ", ".join(map(repr, names[:most]))
    return f"{told} and {len(names) - most} others" if len(names) > most else told

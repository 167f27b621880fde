"""Sudoku as somebody poses it: digits with blanks, legal boards, our own solver's answer."""

import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trm.data.batches.keyed_random import hashed
from trm.data.format.manifest import Manifest
from trm.errors import QuestionError
from trm.tasks.play import Cells, Play, Posed
from trm.tasks.sudoku.augment import BLANK, BOXES

BLANKS = (0, "0", ".", " ", "", "_", None)
"""How people write a blank."""
MOST_GUESSES = 1 << 15
"""About a second of our solver; the hardest boards with one solution take thousands."""
MOST_TOLD = 5
"""Broken rules that are told one by one."""
_POSED = 0x504C4159
CLUES = {4: 6, 6: 12, 9: 28}
"""Most clues of a random board where the data set's recipe does not say how it makes them."""


class SudokuPlay(Play):
    """Boards of digits; 0 or . is blank."""

    def token(self, cell: Any, tokens: dict[str, int], at: str) -> int:
        """The token of a digit or a blank."""
        if not isinstance(cell, bool) and cell in BLANKS:
            return BLANK
        if isinstance(cell, (int, str)) and not isinstance(cell, bool) and str(cell) in tokens and str(cell).isdecimal():
            return tokens[str(cell)]
        size = len(tokens) - BLANK - 1
        raise QuestionError(
            f"a cell must be a digit from 1 to {size}, or 0 or '.' for a blank, {at} is {reprlib.repr(cell)}",
            remedy=f"post rows such as {[0] * (size - 1) + [1]}",
        )

    def written(self, cells: Cells, manifest: Manifest) -> list[list[int]]:
        """Digits, 0 where none is."""
        digits = np.where(cells > BLANK, cells.astype(np.int64) - BLANK, 0)
        return [list(map(int, row)) for row in digits.reshape(manifest.grid)]

    def require(self, posed: Posed, manifest: Manifest) -> None:
        """QuestionError for clues that clash."""
        if doubled := list(_doubled(posed.cells, manifest.grid[0])):
            raise QuestionError(f"clues must not clash: {_told(doubled)}", remedy="remove one of the two")

    def broken(self, posed: Posed, answer: Cells, manifest: Manifest) -> Sequence[str]:
        """Cells without a digit, changed clues, digits that stand twice in a row, a column or a box."""
        size, found = manifest.grid[0], []
        empty = int((answer <= BLANK).sum())
        if empty:
            found.append(f"{empty} cell{'s have' if empty > 1 else ' has'} no digit")
        changed = np.flatnonzero((posed.cells > BLANK) & (answer != posed.cells))
        if len(changed):
            places = ", ".join(f"row {cell // size + 1} column {cell % size + 1}" for cell in changed[:MOST_TOLD].tolist())
            found.append(f"{len(changed)} clue{'s are' if len(changed) > 1 else ' is'} changed: {places}")
        return found + list(_doubled(answer, size))

    def solved(self, posed: Posed, manifest: Manifest) -> Cells:
        """The one solution. QuestionError where there is none, or more than one."""
        from trm.tasks.sudoku.solver import count_solutions, solution

        self.require(posed, manifest)
        digits = (posed.cells - np.uint8(BLANK))[None]
        (count,), (guesses,) = count_solutions(digits, manifest.grid[0], most_guesses=MOST_GUESSES)
        if guesses >= MOST_GUESSES:
            raise QuestionError(
                f"a board must be solved by {MOST_GUESSES} guesses, this one takes more", remedy="add or change clues"
            )
        if count != 1:
            what = "no solution" if not count else "more than one solution"
            raise QuestionError(
                f"a board must have one solution, this one has {what}", remedy="change a clue" if not count else "add clues"
            )
        return solution(digits[0], manifest.grid[0]) + np.uint8(BLANK)

    def drawn(self, seed: int, manifest: Manifest) -> Cells:
        """A board as the data set's recipe generates them."""
        from trm.tasks.sudoku.solver import generate

        size, recipe = manifest.grid[0], manifest.recipe
        is_minimal, clues = bool(recipe.get("minimal")), recipe.get("max_clues")
        if not is_minimal and clues is None:
            clues = CLUES[size]
        for number in range(64):
            made = generate(hashed(seed, _POSED, number), size, is_minimal=is_minimal, max_clues=clues)
            if made.is_kept[0]:
                break
        return np.asarray(made.questions[0] + np.uint8(BLANK))


def _doubled(cells: Cells, size: int) -> Iterator[str]:
    """Rows, columns and boxes that have a digit twice."""
    board = cells.reshape(size, size)
    box_rows, box_columns = BOXES[size]
    boxes = board.reshape(size // box_rows, box_rows, size // box_columns, box_columns).swapaxes(1, 2).reshape(size, size)
    for unit, lines in (("row", board), ("column", board.T), ("box", boxes)):
        for number, line in enumerate(lines, 1):
            digits, counts = np.unique(line[line > BLANK], return_counts=True)
            for digit in digits[counts > 1].tolist():
                yield f"{unit} {number} has {digit - BLANK} twice or more"


def _told(rules: Sequence[str]) -> str:
    return "; ".join(rules[:MOST_TOLD]) + (f" and {len(rules) - MOST_TOLD} more" if len(rules) > MOST_TOLD else "")

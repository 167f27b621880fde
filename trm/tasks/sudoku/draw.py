"""Sudoku boards drawn in a terminal."""

from rich.text import Text

from trm.tasks.grid_text import Grid
from trm.tasks.legend import Legend, Token, table_legend
from trm.tasks.sudoku.augment import BOXES


def board_text(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Digits with rules between the boxes; padding, which only an answer can have there, as a question mark."""
    size = len(grid)
    box_rows, box_columns = BOXES[size]
    rule = "+".join("-" * (2 * box_columns + 1) for _ in range(size // box_columns))[1:-1]
    lines = []
    for row, cells in enumerate(grid):
        if row and row % box_rows == 0:
            lines.append(rule)
        names = [vocabulary[cell] if cell else "?" for cell in cells]
        lines.append(" | ".join(" ".join(names[k : k + box_columns]) for k in range(0, size, box_columns)))
    return Text("\n".join(lines))


def board_legend(size: int, vocabulary: tuple[str, ...]) -> Legend:
    """Digits in boxes; an answer may have padding too, as a question mark. A table where no boxes of that size are known."""
    if size not in BOXES:
        return table_legend(vocabulary)
    digits = (Token(name, "symbol", name, name) for name in vocabulary[2:])
    tokens = (Token("pad", "pad", "?", "padding"), Token(vocabulary[1], "empty", "", "blank"), *digits)
    return Legend("board", tokens, BOXES[size])

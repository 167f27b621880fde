"""Mazes drawn in a terminal."""

from rich.text import Text

from trm.tasks.grid_text import Grid, lines_of
from trm.tasks.legend import Legend, Token
from trm.tasks.maze.tokens import VOCABULARY

MAZE_STYLES = {"#": "on grey30", "S": "bold green", "G": "bold red", "o": "bold yellow"}


def maze_text(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Walls as blocks, the path as dots; padding, which only an answer can have, as a question mark."""
    names = [[vocabulary[cell] if cell else "?" for cell in cells] for cells in grid]
    return lines_of([[("##" if name == "#" else f"{name} ", MAZE_STYLES.get(name, "")) for name in row] for row in names])


def maze_legend() -> Legend:
    """Walls, ways and ends."""
    roles = (
        Token("pad", "pad", "?", "padding"),
        Token("#", "wall", "", "wall"),
        Token(" ", "space", "", "space"),
        Token("S", "start", "S", "start"),
        Token("G", "goal", "G", "goal"),
        Token("o", "path", "", "path"),
    )
    assert tuple(token.name for token in roles) == VOCABULARY, "a legend has every token in its place"
    return Legend("maze", roles)

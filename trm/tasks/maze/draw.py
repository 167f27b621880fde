"""Mazes drawn in a terminal."""

from rich.text import Text

from trm.tasks.grid_text import Grid, lines_of

MAZE_STYLES = {"#": "on grey30", "S": "bold green", "G": "bold red", "o": "bold yellow"}


def maze_text(grid: Grid, vocabulary: tuple[str, ...]) -> Text:
    """Walls as blocks, the path as dots; padding, which only an answer can have, as a question mark."""
    names = [[vocabulary[cell] if cell else "?" for cell in cells] for cells in grid]
    return lines_of([[("##" if name == "#" else f"{name} ", MAZE_STYLES.get(name, "")) for name in row] for row in names])

"""Which puzzles that would be trained on are scored too: the same up to symmetry, or for ARC the same pair in another task."""

import numpy as np
from jaxtyping import Bool, UInt8

from trm.data.format.manifest import Task
from trm.tasks.making.equal_rows import twins


def leaked(
    puzzle: Task,
    trained: tuple[UInt8[np.ndarray, "rows cells"], UInt8[np.ndarray, "rows cells"]],
    scored: tuple[UInt8[np.ndarray, "others cells"], UInt8[np.ndarray, "others cells"]],
    grid: tuple[int, int],
) -> Bool[np.ndarray, "rows"]:
    """Which of the questions and labels `trained` are among those `scored`.

    Sudoku boards and mazes count as the same under every symmetry of theirs. Of ARC the whole pair must be equal: a question
    alone may stand in two tasks that ask different things of it. Elsewhere equal questions are the same puzzle.
    """
    if not len(trained[0]) or not len(scored[0]):
        return np.zeros(len(trained[0]), dtype=bool)
    if puzzle == "sudoku":
        from trm.tasks.sudoku.seen import SeenPuzzles

        digits = [cells - np.uint8(1) for cells in (*trained, *scored)]
        seen = SeenPuzzles(grid[0])
        seen.is_new(digits[2], digits[3])
        return seen.is_known(digits[0], digits[1])
    if puzzle == "maze":
        from trm.tasks.maze.symmetry import symmetry_classes

        known = set(symmetry_classes(scored[0], grid[0]))
        return np.array([form in known for form in symmetry_classes(trained[0], grid[0])])
    mine, theirs = (pair[0] if puzzle == "other" else np.concatenate(pair, axis=1) for pair in (trained, scored))
    return np.asarray(twins(mine, theirs) >= 0)

"""Mazes as somebody poses them: walls, a start and a goal, and whether a drawn way is a shortest one."""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from trm.data.batches.keyed_random import hashed
from trm.data.format.manifest import Manifest
from trm.errors import QuestionError
from trm.tasks.maze.recipe import WALL_FRACTION
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, VOCABULARY, WALL
from trm.tasks.play import Cells, Play, Posed

_POSED = 0x504C4159
TRIES = 1 << 15
"""Looks at random walls for one maze; a shorter path is asked for where none was found."""


class MazePlay(Play):
    """Rows of letters: # wall, space, S start, G goal, and o the way of an answer."""

    def token(self, cell: Any, tokens: dict[str, int], at: str) -> int:
        """The token of a letter; `.` is a space too."""
        named = {"#": WALL, " ": SPACE, ".": SPACE, "S": START, "G": GOAL}
        if isinstance(cell, str) and cell in named:
            return named[cell]
        raise QuestionError(
            f"a cell of a maze must be '#', ' ', 'S' or 'G', {at} is {reprlib.repr(cell)}", remedy="draw no way: the network does"
        )

    def written(self, cells: Cells, manifest: Manifest) -> list[str]:
        """A text a row; padding, which only an answer can hold, as a question mark."""
        letters = ("?", *VOCABULARY[1:])
        return ["".join(letters[cell] for cell in row) for row in cells.reshape(manifest.grid).tolist()]

    def require(self, posed: Posed, manifest: Manifest) -> None:
        """QuestionError unless there is one start and one goal, and no way is drawn."""
        for token, name in ((START, "start (S)"), (GOAL, "goal (G)")):
            count = int((posed.cells == token).sum())
            if count != 1:
                raise QuestionError(f"a maze must have one {name}, this one has {count}", remedy="draw exactly one")
        strange = int(((posed.cells < WALL) | (posed.cells > GOAL)).sum())
        if strange:
            raise QuestionError(
                f"a question must be walls, spaces, a start and a goal, {strange} cells are something else",
                remedy="leave the way and the padding out",
            )

    def broken(self, posed: Posed, answer: Cells, manifest: Manifest) -> Sequence[str]:
        """Cells of the maze that the answer changes, and a way that is none, or not a shortest one."""
        from trm.tasks.maze.solver import UNREACHABLE, draws_shortest_path, shortest_paths

        drawn, found = answer == PATH, []
        changed = int((~drawn & (answer != posed.cells)).sum()) + int((drawn & (posed.cells != SPACE)).sum())
        if changed:
            found.append(f"{changed} cell{'s' if changed > 1 else ''} of the maze {'are' if changed > 1 else 'is'} changed")
        length = int(shortest_paths(posed.cells[None], manifest.grid).lengths[0])
        if length == UNREACHABLE:
            return [*found, "no way leads from the start to the goal"]
        if not draws_shortest_path(posed.cells[None], drawn[None], manifest.grid)[0]:
            only_drawn = np.where(drawn | (posed.cells != SPACE), posed.cells, np.uint8(WALL))
            joins = int(shortest_paths(only_drawn[None], manifest.grid).lengths[0]) != UNREACHABLE
            told = f"{int(drawn.sum())} cells are drawn, a shortest way has {length}"
            found.append(f"the way is not a shortest one: {told}" if joins else f"the way does not join start and goal: {told}")
        return found

    def solved(self, posed: Posed, manifest: Manifest) -> Cells:
        """A shortest way, by the published rule. QuestionError where there is none."""
        from trm.tasks.maze.solver import UNREACHABLE, shortest_paths

        self.require(posed, manifest)
        found = shortest_paths(posed.cells[None], manifest.grid)
        if found.lengths[0] == UNREACHABLE:
            raise QuestionError("a maze must have a way, from this start no way leads to the goal", remedy="open a wall")
        return np.asarray(found.labels[0])

    def drawn(self, seed: int, manifest: Manifest) -> Cells:
        """A maze as the data set's recipe generates them; its path is shorter where such a one was not found quickly."""
        from trm.tasks.maze.carving import carve_mazes
        from trm.tasks.maze.generator import draw_mazes

        recipe, size = manifest.recipe, manifest.grid[0]
        key, least = int(hashed(seed, _POSED)[0]), int(recipe.get("min_path") or 2 * size)
        while least > 1:
            if recipe.get("style") == "perfect":
                most = int(recipe.get("max_path") or size**2)
                made = carve_mazes(key, size, (least, most), tries=TRIES >> 4, most=1)
            else:
                share = float(recipe.get("wall_fraction") or WALL_FRACTION)
                made = draw_mazes(key, size, (max(0.0, share - 0.1), share + 0.1), least, tries=TRIES, most=1)
            if len(made):
                return np.asarray(made[0])
            least //= 2
        raise QuestionError(f"no maze of {size} by {size} cells was found", remedy="draw one, or try another seed")

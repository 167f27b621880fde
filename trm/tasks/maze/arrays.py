"""Mazes in the published code's arrays."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Integer

from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, VOCABULARY, WALL
from trm.tasks.task import ArrayFormat


class MazeArrays(ArrayFormat):
    """Square mazes whose label is the question with a shortest path drawn in."""

    def vocabulary(self, side: int, tokens: int) -> tuple[str, ...]:
        """Walls, spaces, start, goal and path."""
        return VOCABULARY

    def fits(self, height: int, width: int) -> bool:
        """Square ones."""
        return height == width

    def broken(
        self, inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], side: int, *, is_test: bool
    ) -> Iterator[tuple[str, Bool[np.ndarray, "rows"]]]:
        """Mazes that are none, and labels that draw no shortest path."""
        from trm.tasks.maze.solver import draws_shortest_path

        is_no_maze = ((inputs < WALL) | (inputs > GOAL)).any(1) | ((inputs == START).sum(1) != 1) | ((inputs == GOAL).sum(1) != 1)
        yield "a maze must have walls, spaces, one S and one G", is_no_maze
        is_kept = (labels == inputs) | ((labels == PATH) & (inputs == SPACE))
        yield "a maze's label must be the question with a path drawn in", ~is_kept.all(1)
        mazes = np.flatnonzero(~is_no_maze)
        is_longer = np.zeros(len(inputs), dtype=bool)
        is_longer[mazes] = ~draws_shortest_path(inputs[mazes].astype(np.uint8), np.asarray(labels[mazes] == PATH), (side, side))
        yield "a maze's label must draw a shortest path", is_longer

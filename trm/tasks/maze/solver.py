"""Shortest paths of mazes: the labelling rule of the published set, and whether a drawn path is a shortest one.

A maze is a flat row of cells on a grid `width` cells wide, one `S`, one `G`. Its label is the question with the path drawn in
that a breadth-first search from S finds when it looks down, left, right, up (2000 of 2000 published mazes).
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from trm.tasks.making.compiled import compiled
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, WALL

UNREACHABLE = -1


class Solutions(NamedTuple):
    """Labels of many mazes, and how long their paths are."""

    labels: UInt8[np.ndarray, "mazes cells"]
    """The question with the path drawn in; where G cannot be reached, the question."""
    lengths: Int32[np.ndarray, "mazes"]
    """Path cells (`o`) between S and G, `UNREACHABLE` where there is no way."""


def solve(mazes: UInt8[np.ndarray, "mazes cells"], grid: tuple[int, int]) -> UInt8[np.ndarray, "mazes cells"]:
    """The label of every maze by the published rule; the question itself where G cannot be reached."""
    return shortest_paths(mazes, grid).labels


def shortest_paths(mazes: UInt8[np.ndarray, "mazes cells"], grid: tuple[int, int]) -> Solutions:
    """Labels and path lengths of mazes on a grid of (height, width)."""
    assert mazes.shape[1] == grid[0] * grid[1], f"{mazes.shape[1]} cells are no grid {grid}"
    labels = np.array(mazes, order="C")
    lengths = np.empty(len(mazes), dtype=np.int32)
    _solve_all(np.ascontiguousarray(mazes), grid[1], labels, lengths)
    return Solutions(labels, lengths)


def draws_shortest_path(
    mazes: UInt8[np.ndarray, "mazes cells"], drawn: Bool[np.ndarray, "mazes cells"], grid: tuple[int, int]
) -> Bool[np.ndarray, " mazes"]:
    """Whether the cells `drawn` are a shortest path: free cells only, S joined to G, and no cell more than that needs.

    Any shortest path counts, not only the one that the label shows.
    """
    on_space_only = ~(drawn & (mazes != SPACE)).any(axis=1)
    only_drawn_is_free = np.where(drawn | (mazes != SPACE), mazes, np.uint8(WALL))
    along_drawn, shortest = shortest_paths(only_drawn_is_free, grid).lengths, shortest_paths(mazes, grid).lengths
    is_shortest = (shortest != UNREACHABLE) & (along_drawn == shortest) & (drawn.sum(axis=1) == shortest)
    return np.asarray(on_space_only & is_shortest)


@compiled()
@no_type_check
def spread(free: np.ndarray, width: int, start: int, goal: int, parents: np.ndarray, queue: np.ndarray) -> int:
    """Breadth-first search over `free` cells from `start`, until `goal` is met (-1: never); gives the number of cells met.

    `queue` then holds them in order of distance, `parents` the cell each was met from, -1 where none was.
    """
    cells = len(free)
    parents[:] = -1
    parents[start] = start
    queue[0] = start
    head, tail = 0, 1
    while head < tail and (goal < 0 or parents[goal] < 0):
        cell = queue[head]
        head += 1
        column = cell % width
        for side in range(4):  # down, left, right, up: the order decides which of many shortest paths is the label
            if side == 0:
                near, is_inside = cell + width, cell + width < cells
            elif side == 1:
                near, is_inside = cell - 1, column > 0
            elif side == 2:
                near, is_inside = cell + 1, column + 1 < width
            else:
                near, is_inside = cell - width, cell >= width
            if is_inside and free[near] and parents[near] < 0:
                parents[near] = cell
                queue[tail] = near
                tail += 1
    return tail


@compiled(nogil=True)
@no_type_check
def _solve_all(inputs: np.ndarray, width: int, labels: np.ndarray, lengths: np.ndarray) -> None:
    mazes, cells = inputs.shape
    parents = np.empty(cells, dtype=np.int32)
    queue = np.empty(cells, dtype=np.int32)
    free = np.empty(cells, dtype=np.bool_)
    for maze in range(mazes):
        start, goal = -1, -1
        for cell in range(cells):
            token = inputs[maze, cell]
            free[cell] = SPACE <= token <= PATH
            if token == START:
                start = cell
            elif token == GOAL:
                goal = cell
        lengths[maze] = UNREACHABLE
        if start < 0 or goal < 0:
            continue
        spread(free, width, start, goal, parents, queue)
        if parents[goal] < 0:
            continue
        length, cell = 0, parents[goal]
        while cell != start:
            labels[maze, cell] = PATH
            length += 1
            cell = parents[cell]
        lengths[maze] = length

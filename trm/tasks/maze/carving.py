"""Mazes with one path between any two cells, carved depth first: a walk that breaks through to rooms it has not seen, and back."""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from trm.tasks.making.compiled import compiled
from trm.tasks.making.random_bits import random_below
from trm.tasks.maze.tokens import GOAL, SPACE, START, WALL


def carve_mazes(seed: int, side: int, paths: tuple[int, int], *, tries: int, most: int) -> UInt8[np.ndarray, "mazes cells"]:
    """Questions whose only path has `paths[0]` to `paths[1]` cells between S and G, at most `most` of so many carved mazes.

    Rooms are the cells of even row and column of a grid of odd `side`; the walls between two of them are carved, and S and G are
    rooms: S any of them, G any that is so far away.
    """
    assert side % 2, "rooms and walls take turns"
    mazes = np.empty((most, side * side), dtype=np.uint8)
    found = _carve(np.array([seed], dtype=np.uint64), (side + 1) // 2, paths[0], paths[1], tries, mazes)
    return mazes[:found]


@compiled()
@no_type_check
def _other(room: int, way: int, rooms: int) -> int:
    """The neighbour of a room on a square of so many rooms a side; -1 beyond the edge."""
    row, column = room // rooms, room % rooms
    if way == 0:
        return room + rooms if row + 1 < rooms else -1
    if way == 1:
        return room - 1 if column > 0 else -1
    if way == 2:
        return room + 1 if column + 1 < rooms else -1
    return room - rooms if row > 0 else -1


@compiled()
@no_type_check
def _walk(state: np.ndarray, rooms: int, parents: np.ndarray, trail: np.ndarray) -> None:
    """Fill `parents` with the room from which each was broken into; that of the first room is itself."""
    parents[:] = -1
    at = random_below(state, rooms * rooms)
    parents[at] = at
    trail[0], length = at, 1
    ways = np.empty(4, dtype=np.int64)
    while length:
        at, count = trail[length - 1], 0
        for way in range(4):
            near = _other(at, way, rooms)
            if near >= 0 and parents[near] < 0:
                ways[count] = near
                count += 1
        if count == 0:
            length -= 1
            continue
        near = ways[random_below(state, count)]
        parents[near] = at
        trail[length] = near
        length += 1


@compiled()
@no_type_check
def _measure(start: int, rooms: int, parents: np.ndarray, steps: np.ndarray, queue: np.ndarray) -> None:
    """Fill `steps` with the rooms to walk from `start` to each."""
    steps[:] = -1
    steps[start] = 0
    queue[0], head, tail = start, 0, 1
    while head < tail:
        at = queue[head]
        head += 1
        for way in range(4):
            near = _other(at, way, rooms)
            if near >= 0 and steps[near] < 0 and (parents[near] == at or parents[at] == near):
                steps[near] = steps[at] + 1
                queue[tail] = near
                tail += 1


@compiled()
@no_type_check
def _write(rooms: int, parents: np.ndarray, start: int, goal: int, maze: np.ndarray) -> None:
    """The carved maze on its grid, S and G in their rooms."""
    side = 2 * rooms - 1
    maze[:] = WALL
    for room in range(rooms * rooms):
        row, column = room // rooms, room % rooms
        before_row, before_column = parents[room] // rooms, parents[room] % rooms
        maze[2 * row * side + 2 * column] = SPACE
        maze[(row + before_row) * side + column + before_column] = SPACE  # halfway to the room it was broken into from
    maze[2 * (start // rooms) * side + 2 * (start % rooms)] = START
    maze[2 * (goal // rooms) * side + 2 * (goal % rooms)] = GOAL


@compiled(nogil=True)
@no_type_check
def _carve(state: np.ndarray, rooms: int, shortest: int, longest: int, tries: int, mazes: np.ndarray) -> int:
    lists = np.empty((3, rooms * rooms), dtype=np.int64)
    parents, steps, queue = lists[0], lists[1], lists[2]
    found = 0
    for _ in range(tries):
        if found == len(mazes):
            break
        _walk(state, rooms, parents, queue)
        start = random_below(state, rooms * rooms)
        _measure(start, rooms, parents, steps, queue)
        fitting = 0
        for room in range(rooms * rooms):
            if shortest <= 2 * steps[room] - 1 <= longest:
                queue[fitting] = room
                fitting += 1
        if fitting == 0:
            continue
        _write(rooms, parents, start, queue[random_below(state, fitting)], mazes[found])
        found += 1
    return found

"""Compiled search for mazes with long shortest paths: a row of cells is a word of bits, and all rows take a step at once."""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8

from trm.tasks.making.compiled import compiled
from trm.tasks.making.random_bits import count_bits, next_bits, random_below
from trm.tasks.maze.tokens import GOAL, SPACE, START, WALL

DENSITY_BITS = 12
FAR_ENDS = 24
"""A maze is taken in proportion to the far ends of its mean start, up to so many, because the published pairs of ends are uniform
over all pairs that are far enough apart."""


def draw_mazes(
    seed: int, side: int, densities: tuple[float, float], min_path: int, *, tries: int, most: int
) -> UInt8[np.ndarray, "mazes cells"]:
    """Questions whose shortest paths have at least `min_path` cells, found in so many tries and at most so many.

    The walls of a try are random, their density uniform between `densities`.
    """
    room = np.empty((most, side * side), dtype=np.uint8)
    least, greatest = (round(density * (1 << DENSITY_BITS)) for density in densities)
    found = _draw(np.array([seed], dtype=np.uint64), side, least, greatest, min_path, FAR_ENDS, tries, room)
    return room[:found]


@compiled()
@no_type_check
def _draw_free(state: np.ndarray, density: int, free: np.ndarray) -> None:
    """Fill the inner rows of `free`, each bit a wall with the probability `density` / 2 ** DENSITY_BITS."""
    side = len(free) - 2
    inside = np.uint64((1 << side) - 1)
    for row in range(1, side + 1, 2):
        walls = np.uint64(0)
        for k in range(DENSITY_BITS):  # from the lowest bit of the density on, each halves what came before
            bits = next_bits(state)
            walls = (walls | bits) if (density >> k) & 1 else (walls & bits)
        free[row] = np.uint32(~walls & inside)
        if row < side:
            free[row + 1] = np.uint32((~walls >> np.uint64(32)) & inside)


@compiled()
@no_type_check
def _step(front: np.ndarray, after: np.ndarray, left: np.ndarray) -> bool:
    """Cells of `left` beside `front` move to `after`; whether there were any."""
    met = np.uint32(0)
    for row in range(1, len(front) - 1):
        sides = (front[row] << np.uint32(1)) | (front[row] >> np.uint32(1))
        fresh = (sides | front[row - 1] | front[row + 1]) & left[row]
        after[row] = fresh
        left[row] ^= fresh
        met |= fresh
    return met != 0


@compiled()
@no_type_check
def _search(free: np.ndarray, start: int, after_steps: int, stop: int, room: np.ndarray, met: np.ndarray) -> int:
    """Breadth-first search from a cell for at most `stop` steps; gives the steps it took.

    `met` becomes the cells more than `after_steps` steps away. When the search went to its end, `room[1] | room[2]` are the
    farthest cells and `room[0]` those that were not reached.
    """
    left, front, after = room[0], room[1], room[2]
    side = len(free) - 2
    row, bit = start // side + 1, np.uint32(1) << np.uint32(start % side)
    left[:] = free
    left[row] ^= bit
    front[:], after[:], met[:] = 0, 0, 0
    front[row] = bit
    if after_steps < 0:
        met[row] = bit
    steps = 0
    while steps < stop and _step(front, after, left):
        front, after = after, front
        steps += 1
        if steps > after_steps:
            met |= front
    return steps


@compiled()
@no_type_check
def _first_cell(cells: np.ndarray) -> int:
    side = len(cells) - 2
    for row in range(1, side + 1):
        if cells[row]:
            lowest = np.int64(cells[row]) & -np.int64(cells[row])
            return (row - 1) * side + count_bits(lowest - 1)
    return -1


@compiled()
@no_type_check
def _middle(free: np.ndarray, start: int, min_path: int, room: np.ndarray, met: np.ndarray) -> int:
    """The middle of a longest path among the cells that can be reached from `start`, -1 when it is too short.

    The path leads from a farthest cell to the cell farthest from that: the longest in a tree, and long
    enough in each of 275 hard 30x30 mazes that were searched from every cell.
    """
    never = free.size * free.size
    if 2 * _search(free, start, never, never, room, met) <= min_path:  # no two cells are farther apart than that
        return -1
    one = _first_cell(room[1] | room[2])
    steps = _search(free, one, never, never, room, met)
    if steps <= min_path:
        return -1
    other, half = _first_cell(room[1] | room[2]), steps // 2
    _search(free, one, half - 1, half, room, met)
    middle = met.copy()
    _search(free, other, steps - half - 1, steps - half, room, met)
    return _first_cell(middle & met)


@compiled()
@no_type_check
def _count_ends(
    free: np.ndarray, middle: int, min_path: int, room: np.ndarray, met: np.ndarray, ends: np.ndarray
) -> tuple[int, int]:
    """Fill `ends` with the number of far ends of each start; gives their sum, and the number of cells that can be reached."""
    never = free.size * free.size
    side = len(free) - 2
    steps = _search(free, middle, never, never, room, met)
    reached = 0
    for row in range(1, side + 1):
        reached += count_bits(free[row] ^ room[0, row])
    _search(free, middle, min_path - steps, never, room, met)  # nearer ones have no cell far enough, by way of the middle
    starts = met.copy()
    total = 0
    for cell in range(side * side):
        ends[cell] = 0
        if (starts[cell // side + 1] >> np.uint32(cell % side)) & np.uint32(1):
            _search(free, cell, min_path, never, room, met)
            for row in range(1, side + 1):
                ends[cell] += count_bits(met[row])
            total += ends[cell]
    return total, reached


@compiled()
@no_type_check
def _write(free: np.ndarray, start: int, far: np.ndarray, end: int, maze: np.ndarray) -> None:
    """The maze with S at `start` and G at the far cell number `end`."""
    side = len(free) - 2
    for cell in range(side * side):
        row, column = cell // side + 1, np.uint32(cell % side)
        maze[cell] = SPACE if (free[row] >> column) & np.uint32(1) else WALL
        if (far[row] >> column) & np.uint32(1):
            if end == 0:
                maze[cell] = GOAL
            end -= 1
    maze[start] = START


@compiled(nogil=True)
@no_type_check
def _draw(
    state: np.ndarray, side: int, least: int, greatest: int, min_path: int, far_ends: int, tries: int, mazes: np.ndarray
) -> int:
    free, met = np.zeros(side + 2, dtype=np.uint32), np.zeros(side + 2, dtype=np.uint32)
    room = np.zeros((3, side + 2), dtype=np.uint32)
    ends = np.zeros(side * side, dtype=np.int64)
    found = 0
    for _ in range(tries):
        if found == len(mazes):
            break
        _draw_free(state, least + random_below(state, greatest - least + 1), free)
        start = random_below(state, side * side)
        if not (free[start // side + 1] >> np.uint32(start % side)) & np.uint32(1):
            continue
        middle = _middle(free, start, min_path, room, met)
        if middle < 0:
            continue
        total, reached = _count_ends(free, middle, min_path, room, met, ends)
        if random_below(state, far_ends * reached) >= total:
            continue
        pair = random_below(state, total)
        start = 0
        while pair >= ends[start]:
            pair -= ends[start]
            start += 1
        _search(free, start, min_path, free.size * free.size, room, met)
        _write(free, start, met, pair, mazes[found])
        found += 1
    return found

"""Compiled search over Sudoku boards: how many solutions, how many guesses, and new puzzles.

Boards are flat uint8 arrays of digits, 0 for blank; boxes are `box_rows` by `box_columns`. A set of digits is a mask, bit d - 1
for digit d. `units` lists the cells of every row, column and box, `unit_of` the three units of every cell.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

from trm.tasks.making.compiled import compiled
from trm.tasks.making.random_bits import count_bits, random_below
from trm.tasks.sudoku.augment import BOXES

SOLVED, STUCK = -1, -2
ENDLESS = 1 << 62
"""Guesses that nobody makes."""


class Generated(NamedTuple):
    """Puzzles with one solution each; where the clues could not be brought down far enough, `is_kept` is false."""

    questions: UInt8[np.ndarray, "puzzles cells"]
    answers: UInt8[np.ndarray, "puzzles cells"]
    is_kept: np.ndarray


def generate(seeds: UInt64[np.ndarray, "puzzles"], size: int, *, is_minimal: bool, max_clues: int | None) -> Generated:
    """One puzzle a seed: a random solved board whose clues are taken away in random order while the solution stays unique.

    Stops at `max_clues`, or where no clue can be spared when `is_minimal`.
    """
    questions = np.zeros((len(seeds), size * size), dtype=np.uint8)
    answers = np.zeros_like(questions)
    target = 0 if is_minimal or max_clues is None else max_clues
    _generate_all(seeds, *_units(size), target, questions, answers)
    is_kept = (questions > 0).sum(axis=1) <= (size * size if max_clues is None else max_clues)
    return Generated(questions, answers, is_kept)


def count_solutions(
    boards: UInt8[np.ndarray, "puzzles cells"], size: int, limit: int = 2, most_guesses: int = ENDLESS
) -> tuple[Int64[np.ndarray, "puzzles"], Int64[np.ndarray, "puzzles"]]:
    """Solutions of each board, counted up to `limit`, and guesses that a backtracking solver with singles made for that.

    A board that takes more than `most_guesses` is given up, and has that many guesses.
    """
    solutions, guesses = np.zeros(len(boards), dtype=np.int64), np.zeros(len(boards), dtype=np.int64)
    _count_all(np.ascontiguousarray(boards), *_units(size), limit, most_guesses, solutions, guesses)
    return solutions, guesses


def solution(board: UInt8[np.ndarray, " cells"], size: int) -> UInt8[np.ndarray, " cells"]:
    """The first solution that the search finds; the board itself where there is none."""
    solved = np.array(board, order="C")
    _solve_one(solved, *_units(size))
    return solved


def _units(size: int) -> tuple[np.ndarray, np.ndarray]:
    box_rows, box_columns = BOXES[size]
    cells = np.arange(size * size)
    rows, columns = cells // size, cells % size
    boxes = rows // box_rows * box_rows + columns // box_columns
    unit_of = np.stack([rows, size + columns, 2 * size + boxes], axis=1)
    units = np.stack([np.flatnonzero((unit_of == unit).any(axis=1)) for unit in range(3 * size)])
    return units, unit_of


@compiled()
@no_type_check
def _free(used: np.ndarray, unit_of: np.ndarray, cell: int, ban: np.ndarray) -> int:
    """Digits that the cell may still take; `ban` is one cell and a mask of digits it may not."""
    everything = (1 << (len(used) // 3)) - 1
    free = everything & ~(used[unit_of[cell, 0]] | used[unit_of[cell, 1]] | used[unit_of[cell, 2]])
    return free & ~ban[1] if cell == ban[0] else free


@compiled()
@no_type_check
def _toggle(used: np.ndarray, unit_of: np.ndarray, cell: int, bit: int) -> None:
    for k in range(3):
        used[unit_of[cell, k]] ^= bit


@compiled()
@no_type_check
def _place(board: np.ndarray, unit_of: np.ndarray, used: np.ndarray, trail: np.ndarray, top: int, cell: int, bit: int) -> int:
    digit = 1
    while bit >> digit:
        digit += 1
    board[cell] = digit
    _toggle(used, unit_of, cell, bit)
    trail[top] = cell
    return top + 1


@compiled()
@no_type_check
def _undo(board: np.ndarray, unit_of: np.ndarray, used: np.ndarray, trail: np.ndarray, top: int, to: int) -> int:
    while top > to:
        top -= 1
        cell = trail[top]
        _toggle(used, unit_of, cell, 1 << (np.int64(board[cell]) - 1))
        board[cell] = 0
    return top


@compiled()
@no_type_check
def _place_in_unit(
    board: np.ndarray,
    unit: np.ndarray,
    unit_of: np.ndarray,
    used: np.ndarray,
    trail: np.ndarray,
    top: int,
    ban: np.ndarray,
    taken: int,
) -> tuple[int, bool]:
    """Place digits that have one cell left in a unit whose digits `taken` are placed; new top of the trail, and if that may be."""
    once, twice = 0, 0
    for cell in unit:
        if not board[cell]:
            free = _free(used, unit_of, cell, ban)
            twice |= once & free
            once |= free
    if once | taken != (1 << len(unit)) - 1:
        return top, False
    single = once & ~twice
    for cell in unit:
        if single and not board[cell]:
            hit = _free(used, unit_of, cell, ban) & single
            if hit & (hit - 1):
                return top, False
            if hit:
                top = _place(board, unit_of, used, trail, top, cell, hit)
                single &= ~hit
    return top, True


@compiled()
@no_type_check
def _propagate(
    board: np.ndarray, units: np.ndarray, unit_of: np.ndarray, used: np.ndarray, trail: np.ndarray, top: int, ban: np.ndarray
) -> tuple[int, int]:
    """Place every forced digit. Gives the new top of the trail and what is next: a cell to guess at, SOLVED, or STUCK."""
    while True:
        before = top
        fewest, where = len(units), SOLVED
        for cell in range(len(board)):
            if board[cell]:
                continue
            free = _free(used, unit_of, cell, ban)
            if free == 0:
                return top, STUCK
            if free & (free - 1) == 0:
                top = _place(board, unit_of, used, trail, top, cell, free)
                continue
            count = count_bits(free)
            if count < fewest:
                fewest, where = count, cell
        if where == SOLVED:
            return top, SOLVED
        if top > before:
            continue
        for unit in range(len(units)):
            top, is_possible = _place_in_unit(board, units[unit], unit_of, used, trail, top, ban, used[unit])
            if not is_possible:
                return top, STUCK
        if top == before:
            return top, where


@compiled()
@no_type_check
def _choose(left: int, state: np.ndarray) -> int:
    """One of the digits of a mask: the lowest, or a random one when `state` has an entry."""
    if len(state):
        for _ in range(random_below(state, count_bits(left))):
            left &= left - 1
    return left & -left


@compiled()
@no_type_check
def _search(
    board: np.ndarray, units: np.ndarray, unit_of: np.ndarray, limit: int, most: int, state: np.ndarray, ban: np.ndarray
) -> tuple[int, int]:
    """Solutions up to `limit` and guesses made, `most` of them. `board` is left solved when the limit was met, else as it came."""
    cells = len(board)
    used = np.zeros(len(units), dtype=np.int64)
    trail = np.empty(cells, dtype=np.int64)
    guesses_at = np.empty((cells, 3), dtype=np.int64)  # cell, digits left to try, top of the trail before
    top, depth, solutions, guesses = 0, 0, 0, 0
    for cell in range(cells):
        if board[cell]:
            bit = 1 << (np.int64(board[cell]) - 1)
            if (used[unit_of[cell, 0]] | used[unit_of[cell, 1]] | used[unit_of[cell, 2]]) & bit:
                return 0, 0
            _toggle(used, unit_of, cell, bit)
    while True:
        top, where = _propagate(board, units, unit_of, used, trail, top, ban)
        if where == SOLVED:
            solutions += 1
            if solutions == limit:
                return solutions, guesses
        elif where != STUCK:
            guesses_at[depth] = where, _free(used, unit_of, where, ban), top
            depth += 1
        while depth and guesses_at[depth - 1, 1] == 0:
            depth -= 1
        top = _undo(board, unit_of, used, trail, top, guesses_at[depth - 1, 2] if depth else 0)
        if depth == 0:
            return solutions, guesses
        if guesses == most:
            _undo(board, unit_of, used, trail, top, 0)
            return solutions, guesses
        bit = _choose(guesses_at[depth - 1, 1], state)
        guesses_at[depth - 1, 1] ^= bit
        guesses += 1
        top = _place(board, unit_of, used, trail, top, guesses_at[depth - 1, 0], bit)


@compiled(nogil=True)
@no_type_check
def _generate_all(
    seeds: np.ndarray, units: np.ndarray, unit_of: np.ndarray, target: int, questions: np.ndarray, answers: np.ndarray
) -> None:
    cells = questions.shape[1]
    state, no_state = np.zeros(1, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
    ban = np.array([-1, 0])
    work = np.zeros(cells, dtype=np.uint8)
    for puzzle in range(len(seeds)):
        state[0] = seeds[puzzle]
        answer, question = answers[puzzle], questions[puzzle]
        ban[0] = -1
        _search(answer, units, unit_of, 1, ENDLESS, state, ban)
        question[:] = answer
        clues = cells
        order = np.arange(cells)
        for k in range(cells):
            if clues <= target:
                break
            other = k + random_below(state, cells - k)
            order[k], order[other] = order[other], order[k]
            cell = order[k]
            work[:] = question
            work[cell] = 0
            ban[0], ban[1] = cell, 1 << (np.int64(question[cell]) - 1)  # is there a solution with another digit here?
            if _search(work, units, unit_of, 1, ENDLESS, no_state, ban)[0] == 0:
                question[cell] = 0
                clues -= 1


@compiled(nogil=True)
@no_type_check
def _solve_one(board: np.ndarray, units: np.ndarray, unit_of: np.ndarray) -> None:
    _search(board, units, unit_of, 1, ENDLESS, np.zeros(0, dtype=np.uint64), np.array([-1, 0]))


@compiled(nogil=True)
@no_type_check
def _count_all(
    boards: np.ndarray,
    units: np.ndarray,
    unit_of: np.ndarray,
    limit: int,
    most: int,
    solutions: np.ndarray,
    guesses: np.ndarray,
) -> None:
    no_state = np.zeros(0, dtype=np.uint64)
    ban = np.array([-1, 0])
    for k in range(len(boards)):
        solutions[k], guesses[k] = _search(boards[k].copy(), units, unit_of, limit, most, no_state, ban)

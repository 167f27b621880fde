"""Which Sudoku puzzles are one puzzle under the symmetries of Sudoku: a cheap invariant, and an exact canonical form.

Symmetries: digits renamed, bands, rows, stacks and columns permuted, and transposition where boxes are square.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import UInt8, UInt64

from trm.tasks.making.compiled import compiled
from trm.tasks.making.random_bits import mixed
from trm.tasks.sudoku.augment import BOXES


def invariants(
    questions: UInt8[np.ndarray, "puzzles cells"], answers: UInt8[np.ndarray, "puzzles cells"], size: int
) -> UInt64[np.ndarray, "puzzles"]:
    """A number that no symmetry changes: cycle types of pairs of lines in a band or stack, with their clue counts."""
    found = np.zeros(len(questions), dtype=np.uint64)
    _invariants(np.ascontiguousarray(questions), np.ascontiguousarray(answers), *BOXES[size], found)
    return found


def canonical_forms(
    questions: UInt8[np.ndarray, "puzzles cells"], answers: UInt8[np.ndarray, "puzzles cells"], size: int
) -> UInt8[np.ndarray, "puzzles two_boards"]:
    """The least solved board among a puzzle's symmetric forms, then the least places of clues on it: equal for equal puzzles."""
    forms = np.empty((len(questions), 2 * size * size), dtype=np.uint8)
    box_rows, box_columns = BOXES[size]
    columns = _line_orders(size, box_columns)
    _canonical(np.ascontiguousarray(questions), np.ascontiguousarray(answers), box_rows, columns, box_rows == box_columns, forms)
    return forms


def _line_orders(size: int, block: int) -> np.ndarray:
    """Every order of columns that keeps stacks together, as (orders, size)."""
    from itertools import permutations, product

    inner = list(permutations(range(block)))
    return np.array(
        [
            [first * block + column for first, order in zip(blocks, orders, strict=True) for column in order]
            for blocks in permutations(range(size // block))
            for orders in product(inner, repeat=size // block)
        ]
    )


@compiled()
@no_type_check
def _pair(question: np.ndarray, answer: np.ndarray, first: int, second: int, stride: int, step: int, size: int) -> np.uint64:
    """Invariant of two lines: cycle lengths of the digit permutation from one to the other, clues of both."""
    follows = np.zeros(size + 1, dtype=np.int64)
    clues, shared = np.zeros(2, dtype=np.int64), 0
    for k in range(size):
        here, there = first * stride + k * step, second * stride + k * step
        follows[answer[here]] = answer[there]
        clues[0] += question[here] > 0
        clues[1] += question[there] > 0
        shared += (question[here] > 0) and (question[there] > 0)
    cycles = np.uint64(0)
    for digit in range(1, size + 1):
        length, place = 0, digit
        while follows[place]:
            after = follows[place]
            follows[place] = 0
            place = after
            length += 1
        if length:
            cycles += mixed(np.uint64(length))
    return mixed(cycles + mixed(np.uint64(clues[0] * clues[1] + 1000 * (clues[0] + clues[1]) + 100_000 * shared)))


@compiled(nogil=True)
@no_type_check
def _invariants(questions: np.ndarray, answers: np.ndarray, box_rows: int, box_columns: int, found: np.ndarray) -> None:
    size = box_rows * box_columns
    for puzzle in range(len(questions)):
        for direction in range(2):
            block = box_columns if direction else box_rows
            stride, step = (1, size) if direction else (size, 1)
            total = np.uint64(0)
            for start in range(0, size, block):
                inside = np.uint64(0)
                for first in range(start, start + block):
                    for second in range(first + 1, start + block):
                        inside += _pair(questions[puzzle], answers[puzzle], first, second, stride, step, size)
                total += mixed(inside)
            found[puzzle] += mixed(total) if box_rows == box_columns else mixed(total + np.uint64(direction))


@compiled(nogil=True)
@no_type_check
def _canonical(
    questions: np.ndarray, answers: np.ndarray, box_rows: int, column_orders: np.ndarray, is_square: bool, forms: np.ndarray
) -> None:
    size = column_orders.shape[1]
    form = np.empty(2 * size * size, dtype=np.uint8)
    names = np.empty(size + 1, dtype=np.uint8)
    heads, lines = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for puzzle in range(len(questions)):
        best = forms[puzzle]
        best[:] = 255
        for is_transposed in range(1 + is_square):
            stride, step = (1, size) if is_transposed else (size, 1)
            for top in range(size):
                for order in column_orders:
                    for k in range(size):
                        names[answers[puzzle, top * stride + order[k] * step]] = k + 1
                    if _is_beaten(answers[puzzle], top, order, stride, step, box_rows, names, best):
                        continue
                    _order_rows(answers[puzzle], top, order[0] * step, stride, box_rows, names, heads, lines)
                    _keep_least(questions[puzzle], answers[puzzle], lines, order, stride, step, names, form, best)


@compiled()
@no_type_check
def _is_beaten(
    answer: np.ndarray, top: int, order: np.ndarray, stride: int, step: int, box_rows: int, names: np.ndarray, best: np.ndarray
) -> bool:
    """Whether the form that begins with row `top` is greater than `best` in its second row: so are nearly all."""
    size = len(order)
    second, head = -1, size + 1
    for row in range(top // box_rows * box_rows, top // box_rows * box_rows + box_rows):
        name = names[answer[row * stride + order[0] * step]]
        if row != top and name < head:
            second, head = row, name
    for k in range(size):
        name = names[answer[second * stride + order[k] * step]]
        if name != best[size + k]:
            return name > best[size + k]
    return False


@compiled()
@no_type_check
def _order_rows(
    answer: np.ndarray,
    top: int,
    first_cell: int,
    stride: int,
    box_rows: int,
    names: np.ndarray,
    heads: np.ndarray,
    lines: np.ndarray,
) -> None:
    """Rows in the order of their first digits, inside bands and band by band, from `top` on: a least form has no other."""
    size = len(lines)
    for row in range(size):
        heads[row] = names[answer[row * stride + first_cell]]  # `top` begins with 1, so it and its band come first
    for place in range(size):
        is_new_band = place % box_rows == 0
        first = 0 if is_new_band else lines[place - 1] // box_rows * box_rows
        last = size if is_new_band else first + box_rows
        chosen = -1
        for row in range(first, last):
            if heads[row] > 0 and (chosen < 0 or heads[row] < heads[chosen]):
                chosen = row
        lines[place] = chosen
        heads[chosen] = 0


@compiled()
@no_type_check
def _keep_least(
    question: np.ndarray,
    answer: np.ndarray,
    lines: np.ndarray,
    order: np.ndarray,
    stride: int,
    step: int,
    names: np.ndarray,
    form: np.ndarray,
    best: np.ndarray,
) -> None:
    """Replace `best` by this form when it is less, cell by cell, digits first and then clues."""
    size = len(lines)
    cells = size * size
    is_less = False
    for place in range(2 * cells):
        cell = lines[place % cells // size] * stride + order[place % size] * step
        form[place] = names[answer[cell]] if place < cells else question[cell] > 0
        if not is_less:
            if form[place] > best[place]:
                return
            is_less = form[place] < best[place]
    best[:] = form

"""All essentially different 4x4 Sudoku puzzles with one solution: few enough to count."""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from jaxtyping import Bool, Int64, UInt8

SIZE, BOX, CELLS = 4, 2, 16


@dataclass(frozen=True, eq=False)
class SmallPuzzles:
    """One puzzle of each class, smallest mask of its class on one of the two essentially different solved boards."""

    answers: UInt8[np.ndarray, "puzzles 16"]
    """Digits 1 to 4."""
    is_clue: Bool[np.ndarray, "puzzles 16"]
    """Which cells are given."""
    is_minimal: Bool[np.ndarray, "puzzles"]
    """Whether no clue can be spared."""


def _solved_boards() -> np.ndarray:
    lines = np.array(list(permutations(range(1, SIZE + 1))))
    boards = lines[np.array(list(product(range(len(lines)), repeat=2)))]  # bands of two rows
    boxes = boards.reshape(-1, BOX, BOX, BOX).transpose(0, 2, 1, 3).reshape(-1, BOX, SIZE)
    bands = boards[(np.sort(boxes, axis=2) == np.arange(1, SIZE + 1)).all(axis=(1, 2))]
    pairs = np.array(list(product(range(len(bands)), repeat=2)))
    boards = np.concatenate([bands[pairs[:, 0]], bands[pairs[:, 1]]], axis=1)
    is_solved = (np.sort(boards, axis=1) == np.arange(1, SIZE + 1)[:, None]).all(axis=(1, 2))
    solved: np.ndarray = boards[is_solved].reshape(-1, CELLS)
    return solved


def _cell_symmetries() -> Int64[np.ndarray, "symmetries 16"]:
    """Every way to move cells so that rows, columns and boxes stay such."""
    lines = [np.array([*first, *second]) for blocks in ((0, 1), (1, 0)) for first, second in _inner_orders(blocks)]
    cells = np.arange(CELLS).reshape(SIZE, SIZE)
    moved = [cells[np.ix_(rows, columns)] for rows in lines for columns in lines]
    return np.array([form.reshape(-1) for grid in moved for form in (grid, grid.T)])


def _inner_orders(blocks: tuple[int, int]) -> list[tuple[list[int], list[int]]]:
    orders = [[[2 * block, 2 * block + 1], [2 * block + 1, 2 * block]] for block in blocks]
    return list(product(orders[0], orders[1]))


def _relabelled(boards: np.ndarray) -> np.ndarray:
    """Boards with digits renamed in order of first appearance: equal for boards that differ in digits' names only."""
    names = np.zeros((len(boards), SIZE + 1), dtype=np.int64)
    np.put_along_axis(names, boards[:, :SIZE], np.broadcast_to(np.arange(1, SIZE + 1), (len(boards), SIZE)), axis=1)
    return np.take_along_axis(names, boards, axis=1)


def _bits(is_set: np.ndarray) -> np.ndarray:
    masks: np.ndarray = (is_set.astype(np.int64) << np.arange(CELLS)).sum(axis=-1)
    return masks


@cache
def essential_puzzles() -> SmallPuzzles:
    """Every class of 4x4 puzzles with one solution under all symmetries of Sudoku: 4,710 of them."""
    boards, symmetries = _solved_boards(), _cell_symmetries()
    forms = _relabelled(boards[:, symmetries].reshape(-1, CELLS)).reshape(len(boards), len(symmetries), CELLS)
    numbers = (forms * (SIZE + 1) ** np.arange(CELLS)).sum(axis=2)
    _, representatives = np.unique(numbers.min(axis=1), return_index=True)
    parts = [_puzzles_of(boards[one], boards, symmetries[numbers[one] == _number(boards[one])]) for one in representatives]
    return SmallPuzzles(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _number(board: np.ndarray) -> int:
    return int((_relabelled(board[None])[0] * (SIZE + 1) ** np.arange(CELLS)).sum())


def _puzzles_of(answer: np.ndarray, boards: np.ndarray, stabiliser: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of clue masks on one solved board: those that tell it from every other board, up to its own symmetries."""
    masks = np.arange(1 << CELLS)
    is_unique = np.ones(len(masks), dtype=bool)
    for difference in _bits(boards != answer):
        is_unique &= (difference == 0) | ((masks & difference) != 0)
    valid = masks[is_unique]
    smallest = valid
    for symmetry in stabiliser:
        moved = np.zeros_like(valid)
        for cell, source in enumerate(symmetry):
            moved |= ((valid >> source) & 1) << cell
        smallest = np.minimum(smallest, moved)
    chosen = valid[smallest == valid]
    is_clue = ((chosen[:, None] >> np.arange(CELLS)) & 1).astype(bool)
    can_spare = is_unique[chosen[:, None] & ~(1 << np.arange(CELLS))] & is_clue
    answers = np.broadcast_to(answer, is_clue.shape).astype(np.uint8)
    return answers, is_clue, ~can_spare.any(axis=1)

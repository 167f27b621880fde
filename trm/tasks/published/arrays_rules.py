"""What the rows of a reference folder must keep to, by kind of puzzle."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Integer

from trm.data.format.manifest import Task
from trm.errors import DatasetError
from trm.tasks.arc.augment import CANVAS, FIRST_COLOUR
from trm.tasks.arc.augment import VOCABULARY as ARC_VOCABULARY
from trm.tasks.making.large_arrays import chunks
from trm.tasks.making.parallel import by_parts
from trm.tasks.maze.solver import GOAL, PATH, SPACE, START, WALL, draws_shortest_path
from trm.tasks.maze.solver import VOCABULARY as MAZE_VOCABULARY
from trm.tasks.published.arrays_files import Facts, SourceSplit
from trm.tasks.sudoku.augment import BLANK, BOXES
from trm.tasks.sudoku.solver import count_solutions

Broken = Iterator[tuple[str, np.ndarray]]


def shape_of(puzzle: Task, facts: Facts, grid: tuple[int, int] | None, where: str) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Height and width of the canvas, and the tokens' names. Raises DatasetError when they do not fit the kind of puzzle."""
    side = math.isqrt(facts.seq_len)
    if grid is None and side * side != facts.seq_len:
        raise DatasetError(
            f"a canvas must be square or said: {where} has {facts.seq_len} cells", remedy="set grid: [HEIGHT, WIDTH]"
        )
    height, width = grid or (side, side)
    vocabulary = {
        "sudoku": ("pad", ".", *map(str, range(1, side + 1))),
        "maze": MAZE_VOCABULARY,
        "arc": ARC_VOCABULARY,
        "other": ("pad", *map(str, range(1, facts.vocab_size))),
    }[puzzle]
    is_fitting = {"sudoku": side in BOXES, "arc": side == CANVAS}.get(puzzle, True) and (puzzle == "other" or height == width)
    if height * width != facts.seq_len or len(vocabulary) != facts.vocab_size or not is_fitting:
        raise DatasetError(
            f"{where} must hold puzzles of the kind {puzzle}: it has {facts.seq_len} cells and {facts.vocab_size} tokens, "
            f"the canvas would be {height}x{width} with {len(vocabulary)} tokens",
            remedy="set puzzle to sudoku, maze, arc or other, and grid only for other",
        )
    return (height, width), vocabulary


def bad_rows(source: SourceSplit, puzzle: Task, *, is_test: bool, report: Callable[[int], None]) -> dict[str, np.ndarray]:
    """Numbers of the rows that break a rule, by rule, each row under the first that it breaks."""
    found: dict[str, list[np.ndarray]] = {}
    for chunk in chunks(len(source)):
        inputs, labels = source.inputs[chunk], source.labels[chunk]
        is_right = np.ones(len(inputs), dtype=bool)
        for rule, is_broken in _broken(inputs, labels, puzzle, source.facts, is_test=is_test):
            if (is_new := is_broken & is_right).any():
                found.setdefault(rule, []).append(chunk.start + np.flatnonzero(is_new))
                is_right &= ~is_broken
        report(chunk.stop)
    return {rule: np.concatenate(rows) for rule, rows in found.items()}


def _broken(
    inputs: Integer[np.ndarray, "rows cells"],
    labels: Integer[np.ndarray, "rows cells"],
    puzzle: Task,
    facts: Facts,
    *,
    is_test: bool,
) -> Broken:
    tokens = facts.vocab_size
    yield (
        f"tokens must be 0 to {tokens - 1}",
        (inputs.min(1) < 0) | (labels.min(1) < 0) | (inputs.max(1) >= tokens) | (labels.max(1) >= tokens),
    )
    if facts.ignore_label_id is None:
        yield "labels must be without padding when dataset.json ignores no label", (labels == 0).any(1)
    if puzzle == "sudoku":
        yield from _broken_boards(inputs, labels, math.isqrt(facts.seq_len))
    elif puzzle == "maze":
        yield from _broken_mazes(inputs, labels, math.isqrt(facts.seq_len))
    elif puzzle == "arc":
        yield "an ARC row must hold a grid", np.asarray((inputs < FIRST_COLOUR).all(1) | (labels < FIRST_COLOUR).all(1))
        if is_test:
            yield "an ARC test grid must lie in the canvas's corner", (inputs[:, 0] < FIRST_COLOUR) | (labels[:, 0] < FIRST_COLOUR)


def _broken_boards(inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], size: int) -> Broken:
    yield "a question must agree with its answer", (((inputs != BLANK) & (inputs != labels)) | (inputs < BLANK)).any(1)
    box_rows, box_columns = BOXES[size]
    digits = np.left_shift(1, labels.clip(0, size + 1).astype(np.int64)).reshape(-1, size, size)
    boxes = digits.reshape(-1, size // box_rows, box_rows, size // box_columns, box_columns).transpose(0, 1, 3, 2, 4)
    lines = np.concatenate([digits, digits.transpose(0, 2, 1), boxes.reshape(-1, size, size)], axis=1)
    every = sum(1 << (BLANK + digit) for digit in range(1, size + 1))
    yield "an answer must have every digit once a row, column and box", (np.bitwise_or.reduce(lines, axis=2) != every).any(1)
    boards = np.where((inputs > BLANK) & (inputs <= size + BLANK), inputs - BLANK, 0).astype(np.uint8)
    is_open = np.concatenate(by_parts(lambda part: count_solutions(part, size)[0] > 1, boards))
    yield "a board must have only one solution", is_open


def _broken_mazes(inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], side: int) -> Broken:
    is_no_maze = ((inputs < WALL) | (inputs > GOAL)).any(1) | ((inputs == START).sum(1) != 1) | ((inputs == GOAL).sum(1) != 1)
    yield "a maze must have walls, spaces, one S and one G", is_no_maze
    is_kept = (labels == inputs) | ((labels == PATH) & (inputs == SPACE))
    yield "a maze's label must be the question with a path drawn in", ~is_kept.all(1)
    mazes = np.flatnonzero(~is_no_maze)
    is_longer = np.zeros(len(inputs), dtype=bool)
    is_longer[mazes] = ~draws_shortest_path(inputs[mazes].astype(np.uint8), np.asarray(labels[mazes] == PATH), (side, side))
    yield "a maze's label must draw a shortest path", is_longer

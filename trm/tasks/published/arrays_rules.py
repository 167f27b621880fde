"""What the rows of a reference folder must keep to, by kind of puzzle."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Integer

from trm.data.format.manifest import TaskName
from trm.errors import DatasetError
from trm.tasks.choice import task_named
from trm.tasks.making.large_arrays import chunks
from trm.tasks.published.arrays_files import Facts, SourceSplit

Broken = Iterator[tuple[str, np.ndarray]]


def shape_of(puzzle: TaskName, facts: Facts, grid: tuple[int, int] | None, where: str) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Height and width of the canvas, and the tokens' names. Raises DatasetError when they do not fit the kind of puzzle."""
    side = math.isqrt(facts.seq_len)
    if grid is None and side * side != facts.seq_len:
        raise DatasetError(
            f"a canvas must be square or said: {where} has {facts.seq_len} cells", remedy="set grid: [HEIGHT, WIDTH]"
        )
    height, width = grid or (side, side)
    arrays = task_named(puzzle).arrays
    vocabulary = arrays.vocabulary(side, facts.vocab_size)
    if height * width != facts.seq_len or len(vocabulary) != facts.vocab_size or not arrays.fits(height, width):
        raise DatasetError(
            f"{where} must hold puzzles of the kind {puzzle}: it has {facts.seq_len} cells and {facts.vocab_size} tokens, "
            f"the canvas would be {height}x{width} with {len(vocabulary)} tokens",
            remedy="set puzzle to sudoku, maze, arc or other, and grid only for other",
        )
    return (height, width), vocabulary


def bad_rows(source: SourceSplit, puzzle: TaskName, *, is_test: bool, report: Callable[[int], None]) -> dict[str, np.ndarray]:
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
    puzzle: TaskName,
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
    yield from task_named(puzzle).arrays.broken(inputs, labels, math.isqrt(facts.seq_len), is_test=is_test)

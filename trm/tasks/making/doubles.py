"""Puzzles that a split has under several group numbers: kept where a folder is kept as it is, told, and counted once in scores."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8

from trm.data.batches.split import SAME_AS
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName, Task
from trm.tasks.making.equal_rows import first_equal
from trm.tasks.published.arrays_arc import cornered


def with_doubles(built: BuiltDataset) -> BuiltDataset:
    """The data set with what it says of puzzles that a split has twice: how many rows, and in scored splits the column `same_as`,
    the first group of the split with the same puzzle. Nothing changes where there are none.
    """
    firsts = {name: first_groups(built, split) for name, split in built.splits.items()}
    doubled = {name: int((first != built.splits[name].groups).sum()) for name, first in firsts.items()}
    again = {f"an example that stands in its puzzle in {name} before": _again(built, split) for name, split in built.splits.items()}
    again = {rule: count for rule, count in again.items() if count}
    if not any(doubled.values()):
        return replace(built, doubled={**built.doubled, **again}) if again else built
    told = {f"a puzzle that stands in {name} before": count for name, count in doubled.items() if count}
    splits: Mapping[SplitName, BuiltSplit] = built.splits
    if any(count for name, count in doubled.items() if name != "train"):
        splits = {name: replace(split, extras={**split.extras, SAME_AS: firsts[name]}) for name, split in splits.items()}
    return replace(built, splits=splits, doubled={**built.doubled, **told, **again})


def _again(built: BuiltDataset, split: BuiltSplit) -> int:
    """Rows that equal an earlier one of their puzzle, of ARC those without augmentation; boards and mazes are alone in theirs."""
    if built.task in ("sudoku", "maze"):
        return 0
    rows = _compared(built, split)
    cells = (np.asarray(split.inputs[rows]), np.asarray(split.labels[rows]))
    puzzles = split.groups if split.puzzles is None else split.puzzles
    return int((first_equal(_beside(np.concatenate(cells, axis=1), puzzles[rows])) != np.arange(len(rows))).sum())


def first_groups(built: BuiltDataset, split: BuiltSplit) -> Integer[np.ndarray, "rows"]:
    """For each row the number of the first group of the split that holds the row's puzzle: its own, where no other does.

    Sudoku boards and mazes are one puzzle under every symmetry, and of a group's stored forms the first is compared; ARC tasks when
    all their pairs are equal; elsewhere equal questions under one identifier.
    """
    rows = _compared(built, split)
    inputs, labels = (np.asarray(cells[rows]) for cells in (split.inputs, split.labels))
    groups = split.groups[rows].astype(np.int64)
    identifiers = np.zeros(len(rows), dtype=np.int64) if split.puzzle_identifiers is None else split.puzzle_identifiers[rows]
    of_row: np.ndarray = _classes(built.task, inputs, labels, groups, identifiers, built.grid)
    numbers, places = np.unique(split.groups, return_inverse=True)
    first = _joined(np.searchsorted(numbers, groups), of_row, len(numbers))
    return np.asarray(numbers[first][places], dtype=np.int32)


def _compared(built: BuiltDataset, split: BuiltSplit) -> np.ndarray:
    """The rows that stand for their groups."""
    if built.task in ("sudoku", "maze") and split.puzzles is not None:
        return np.unique(split.groups, return_index=True)[1]
    if built.identifiers is None or split.puzzle_identifiers is None:
        return np.arange(len(split.groups))
    return np.flatnonzero((split.puzzle_identifiers < 0) | (built.identifiers.codes[split.puzzle_identifiers] == 0))


def _classes(
    task: Task,
    inputs: UInt8[np.ndarray, "rows cells"],
    labels: UInt8[np.ndarray, "rows cells"],
    groups: Int64[np.ndarray, "rows"],
    identifiers: Integer[np.ndarray, "rows"],
    grid: tuple[int, int],
) -> np.ndarray:
    """A number for each row, equal for rows of one puzzle."""
    if not len(inputs):
        return np.zeros(0, dtype=np.int64)
    if task == "sudoku":
        from trm.tasks.sudoku.seen import symmetry_groups

        return np.asarray(symmetry_groups(inputs - np.uint8(1), labels - np.uint8(1), grid[0]))
    if task == "maze":
        from trm.tasks.maze.symmetry import symmetry_classes

        numbers: dict[bytes, int] = {}
        return np.array([numbers.setdefault(key, len(numbers)) for key in symmetry_classes(inputs, grid[0])])
    if task == "arc":
        pairs = first_equal(np.concatenate(cornered(inputs, labels)[:2], axis=1))
        contents: dict[frozenset[int], int] = {}
        order = np.argsort(groups, kind="stable")
        ends = np.flatnonzero(np.diff(groups[order])) + 1
        found = np.empty(len(groups), dtype=np.int64)
        for rows in np.split(order, ends):
            found[rows] = contents.setdefault(frozenset(pairs[rows].tolist()), len(contents))
        return found
    return np.asarray(first_equal(_beside(inputs, identifiers)))


def _beside(cells: UInt8[np.ndarray, "rows cells"], *numbers: Integer[np.ndarray, "rows"]) -> UInt8[np.ndarray, "rows more"]:
    """Cells with numbers of each row behind them, as bytes."""
    return np.concatenate([cells, *(column.astype("<i8").view(np.uint8).reshape(-1, 8) for column in numbers)], axis=1)


def _joined(groups: Int64[np.ndarray, "rows"], classes: np.ndarray, count: int) -> Int64[np.ndarray, "groups"]:
    """For each of `count` groups the least number of a group that it is joined with by a class, directly or through others."""
    first = np.arange(count)
    while True:
        least = np.full(int(classes.max(initial=-1)) + 1, count)
        np.minimum.at(least, classes, first[groups])
        joined = first.copy()
        np.minimum.at(joined, groups, least[classes])
        joined = joined[joined]
        if (joined == first).all():
            return first
        first = joined


def contradictions(
    inputs: UInt8[np.ndarray, "rows cells"], labels: UInt8[np.ndarray, "rows cells"], identifiers: Integer[np.ndarray, "rows"]
) -> tuple[Bool[np.ndarray, "rows"], tuple[int, int] | None]:
    """Which rows have a question that another row answers otherwise under the same identifier, and the first two such rows."""
    first = first_equal(_beside(inputs, identifiers))
    is_other = (labels != labels[first]).any(axis=1)
    if not is_other.any():
        return np.zeros(len(first), dtype=bool), None
    row = int(np.argmax(is_other))
    return np.isin(first, first[is_other]), (int(first[row]), row)

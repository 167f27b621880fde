"""Puzzles that a split has under several group numbers: kept where a folder is kept as it is, told, and counted once in scores."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Int64, Integer

from trm.data.batches.split import SAME_AS
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName
from trm.tasks.choice import task_named
from trm.tasks.making.equal_rows import beside, first_equal


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
    if task_named(built.task).has_symmetries:
        return 0
    rows = compared(built, split)
    cells = (np.asarray(split.inputs[rows]), np.asarray(split.labels[rows]))
    puzzles = split.groups if split.puzzles is None else split.puzzles
    return int((first_equal(beside(np.concatenate(cells, axis=1), puzzles[rows])) != np.arange(len(rows))).sum())


def first_groups(built: BuiltDataset, split: BuiltSplit) -> Integer[np.ndarray, "rows"]:
    """For each row the number of the first group of the split that holds the row's puzzle: its own, where no other does.

    What one puzzle is, `Task.same` says; of a group's stored symmetric forms the first is compared.
    """
    rows = compared(built, split)
    inputs, labels = (np.asarray(cells[rows]) for cells in (split.inputs, split.labels))
    groups = split.groups[rows].astype(np.int64)
    identifiers = np.zeros(len(rows), dtype=np.int64) if split.puzzle_identifiers is None else split.puzzle_identifiers[rows]
    of_row = np.zeros(0, dtype=np.int64)
    if len(rows):
        of_row = task_named(built.task).same(inputs, labels, groups, identifiers, built.grid)
    numbers, places = np.unique(split.groups, return_inverse=True)
    first = _joined(np.searchsorted(numbers, groups), of_row, len(numbers))
    return np.asarray(numbers[first][places], dtype=np.int32)


def compared(built: BuiltDataset, split: BuiltSplit) -> Int64[np.ndarray, "rows"]:
    """The rows that stand for their groups: of ARC's stored forms those without augmentation, of other symmetric ones the first."""
    if task_named(built.task).has_symmetries and split.puzzles is not None:
        return np.unique(split.groups, return_index=True)[1]
    if built.identifiers is None or split.puzzle_identifiers is None:
        return np.arange(len(split.groups))
    return np.flatnonzero((split.puzzle_identifiers < 0) | (built.identifiers.codes[split.puzzle_identifiers] == 0))


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

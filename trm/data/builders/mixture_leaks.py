"""Puzzles that one part of a mixture trains on and another scores."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trm.data.builders.arrays_arc import cornered
from trm.data.builders.built import BuiltDataset, BuiltSplit
from trm.data.builders.leaks import leaked
from trm.data.manifest import SplitName
from trm.data.split import PAIR_ROW
from trm.data.spool import taken
from trm.errors import DatasetError

SCORED: tuple[SplitName, ...] = ("validation", "test")


def without_leaks(parts: Mapping[str, BuiltDataset], *, drops: bool) -> tuple[dict[str, BuiltDataset], dict[str, int]]:
    """The parts without training groups that another part scores, and how many rows that cost, by rule.

    Unless `drops`, such a group is refused with a DatasetError.
    """
    kept = dict(parts)
    skipped: dict[str, int] = {}
    for name, part in parts.items():
        for other_name, other in parts.items():
            if name == other_name:
                continue
            train = kept[name].splits["train"]
            groups = _shared_groups(replace(part, splits={**part.splits, "train": train}), other)
            if not len(groups):
                continue
            if not drops:
                table = part.identifiers
                which = f"puzzle {groups[0]}" if table is None else f"task {table.names[groups[0]]}"
                raise DatasetError(
                    f"a part must not train on what another part scores: {which} of {name} is scored in {other_name} "
                    f"({len(groups)} in all)",
                    remedy="leave such puzzles out of training with --skip-bad",
                )
            is_leak = np.isin(train.groups, groups)
            rule = f"a puzzle that {other_name} scores must not be trained on in {name}"
            skipped[rule] = int(is_leak.sum())
            kept[name] = replace(kept[name], splits={**kept[name].splits, "train": _rows(train, ~is_leak)})
        if not len(kept[name].splits["train"].groups):
            raise DatasetError(f"a part must have training puzzles left: all of {name} are scored elsewhere", remedy="leave it out")
    return kept, skipped


def _shared_groups(part: BuiltDataset, other: BuiltDataset) -> np.ndarray:
    """Training groups of the part that the other one scores: the same puzzle up to symmetry, or the same pair of ARC.

    A task of ARC that the other part tests is not trained on at all, in case it was published in two versions, unless the part
    tests it too: then it has its demonstrations only.
    """
    train, found = part.splits["train"], np.zeros(0, dtype=np.int64)
    for name in SCORED:
        scored = other.splits.get(name)
        if scored is not None:
            mine, theirs = (_compared(split, built) for split, built in ((train, part), (scored, other)))
            is_leak = leaked(part.task, _grids(train, mine, part), _grids(scored, theirs, other), part.grid)
            found = np.union1d(found, train.groups[mine][is_leak])
    if part.identifiers is not None and other.identifiers is not None and "test" in other.splits:
        tested = {other.identifiers.names[group] for group in np.unique(other.splits["test"].groups)}
        own = set(np.unique(part.splits["test"].groups).tolist()) if "test" in part.splits else set()
        same = [g for g in np.unique(train.groups).tolist() if part.identifiers.names[g] in tested and g not in own]
        found = np.union1d(found, np.array(same, dtype=np.int64))
    return found


def _compared(split: BuiltSplit, built: BuiltDataset) -> np.ndarray:
    """The rows that stand for their groups: of ARC's stored forms those without augmentation, of other symmetric ones the first."""
    if split.puzzles is not None and built.task in ("sudoku", "maze"):
        return np.unique(split.groups, return_index=True)[1]
    if built.identifiers is None or split.puzzle_identifiers is None:
        return np.arange(len(split.groups))
    return np.flatnonzero((split.puzzle_identifiers < 0) | (built.identifiers.codes[split.puzzle_identifiers] == 0))


def _grids(split: BuiltSplit, rows: np.ndarray, built: BuiltDataset) -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = np.asarray(split.inputs[rows]), np.asarray(split.labels[rows])
    if built.identifiers is None or not len(rows):
        return inputs, labels
    return cornered(inputs, labels)[:2]


def _rows(split: BuiltSplit, is_kept: np.ndarray) -> BuiltSplit:
    rows = np.flatnonzero(is_kept)
    columns = {name: taken(column, rows, column.dtype) for name, column in split.columns().items()}
    extras = {name: columns[name] for name in split.extras}
    if PAIR_ROW in extras:
        extras[PAIR_ROW] = np.arange(len(rows))
    return BuiltSplit(
        columns["inputs"], columns["labels"], columns["groups"], extras, columns.get("puzzles"), columns.get("puzzle_identifiers")
    )

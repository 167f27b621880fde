"""Puzzles that one part of a mixture trains on and another scores, or one validates on and another tests."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np

from trm.data.batches.split import PAIR_ROW
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError
from trm.tasks.contamination import is_scored
from trm.tasks.making.large_arrays import taken
from trm.tasks.published.arrays_arc import cornered
from trm.tasks.repeated import compared

LATER: dict[SplitName, tuple[SplitName, ...]] = {"train": ("validation", "test"), "validation": ("test",)}
"""The splits of other parts that a split must have no puzzle of."""
USES: dict[SplitName, tuple[str, str]] = {"train": ("train on", "scores"), "validation": ("validate on", "tests")}


def without_contamination(parts: Mapping[str, BuiltDataset], *, drops: bool) -> tuple[dict[str, BuiltDataset], dict[str, int]]:
    """The parts without training groups that another part scores and validation groups that another tests; and what that cost.

    Unless `drops`, such a group is refused with a DatasetError.
    """
    kept = dict(parts)
    skipped: dict[str, int] = {}
    for name, other_name in permutations(parts, 2):
        for split in LATER:
            if split not in kept[name].splits:
                continue
            rows = kept[name].splits[split]
            groups = _shared_groups(kept[name], parts[other_name], split)
            if not len(groups):
                continue
            use, other_use = USES[split]
            if not drops:
                table = parts[name].identifiers
                which = f"puzzle {groups[0]}" if table is None else f"task {table.names[groups[0]]}"
                raise DatasetError(
                    f"a part must not {use} what another part {other_use}: {which} of {name} is one of {other_name} "
                    f"({len(groups)} in all)",
                    remedy="leave such puzzles out with --skip-bad",
                )
            is_leak = np.isin(rows.groups, groups)
            skipped[f"{name} must not {use} a puzzle that {other_name} {other_use}"] = int(is_leak.sum())
            kept[name] = _with_split(kept[name], split, _rows(rows, ~is_leak))
            if "train" not in kept[name].splits:
                raise DatasetError(
                    f"a part must have training puzzles left: all of {name} are scored elsewhere", remedy="leave it out"
                )
    return kept, skipped


def _with_split(part: BuiltDataset, name: SplitName, split: BuiltSplit) -> BuiltDataset:
    """The part with another split, or without it when that has no rows."""
    others = {key: value for key, value in part.splits.items() if key != name}
    return replace(part, splits=others | ({name: split} if len(split.groups) else {}))


def _shared_groups(part: BuiltDataset, other: BuiltDataset, split: SplitName) -> np.ndarray:
    """Groups of a split of the part that the other one has in a later split: the same puzzle up to symmetry, or pair of ARC.

    A task of ARC that the other part tests is not used at all, in case it was published in two versions, unless the part
    tests it too: then it has its demonstrations only.
    """
    rows, found = part.splits[split], np.zeros(0, dtype=np.int64)
    for name in LATER[split]:
        scored = other.splits.get(name)
        if scored is not None:
            mine, theirs = (compared(built, each) for each, built in ((rows, part), (scored, other)))
            is_leak = is_scored(part.task, _grids(rows, mine, part), _grids(scored, theirs, other), part.grid)
            found = np.union1d(found, rows.groups[mine][is_leak])
    if part.identifiers is not None and other.identifiers is not None and "test" in other.splits:
        tested = {other.identifiers.names[group] for group in np.unique(other.splits["test"].groups)}
        own = set(np.unique(part.splits["test"].groups).tolist()) if "test" in part.splits else set()
        same = [g for g in np.unique(rows.groups).tolist() if part.identifiers.names[g] in tested and g not in own]
        found = np.union1d(found, np.array(same, dtype=np.int64))
    return found


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
        extras[PAIR_ROW] = np.searchsorted(rows, extras[PAIR_ROW])
    return BuiltSplit(
        columns["inputs"], columns["labels"], columns["groups"], extras, columns.get("puzzles"), columns.get("puzzle_identifiers")
    )

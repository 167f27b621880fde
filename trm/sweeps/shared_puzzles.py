"""Whether the data sets of a sweep can be compared: the same puzzles are scored, and no set trains on one of them."""

from itertools import pairwise

import numpy as np

from trm.data.batches.split import PAIR_ROW, Split, load_split
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError
from trm.sweeps.data_sets import DataSet, DataSets
from trm.tasks.contamination import is_scored

SCORED: tuple[SplitName, ...] = ("validation", "test")
REMEDY = "search fields of one recipe (data.num_aug, data.train), or recipes that hold out the same puzzles"


def require_shared(sets: DataSets) -> None:
    """DatasetError unless all sets validate and test on the same puzzles, of the same cells and tokens, which none trains on.

    Sets of one recipe keep that by how they are built; the training puzzles of others are looked through.
    """
    for one, other in pairwise(sets.sets):
        _require_alike(one, other)
    recipes = {one.data.recipe: one for one in sets.sets}
    if len(recipes) > 1:
        for one in recipes.values():
            _require_apart(one)


def _require_alike(one: DataSet, other: DataSet) -> None:
    there, here = one.manifest, other.manifest
    for what, before, now in (
        ("are of one task", there.task, here.task),
        ("have the same canvas", there.grid, here.grid),
        ("have the same tokens", there.vocabulary, here.vocabulary),
    ):
        if before != now:
            raise DatasetError(
                f"the data sets of a sweep {what}: {one.data.words} has {before}, {other.data.words} {now}", remedy=REMEDY
            )
    for name in SCORED:
        if (rows := (there.splits[name].rows, here.splits[name].rows)) and rows[0] != rows[1]:
            raise _other_puzzles(name, one, other, f"{rows[0]} and {rows[1]} of them")
        if there.splits[name].content_sha256 == here.splits[name].content_sha256:
            continue
        mine, theirs = (load_split(each.folder, each.manifest, name) for each in (one, other))
        if (row := _first_other(mine, theirs)) is not None:
            raise _other_puzzles(name, one, other, f"row {row} is the first that differs")


def _other_puzzles(name: str, one: DataSet, other: DataSet, how: str) -> DatasetError:
    return DatasetError(
        f"the data sets of a sweep share their {name} puzzles: {one.data.words} and {other.data.words} have others ({how})",
        remedy=REMEDY,
    )


def _first_other(mine: Split, theirs: Split) -> int | None:
    """The first row that is another question, another answer, or of another puzzle; None when there is none."""
    pairs_of_grids = ((mine.inputs, theirs.inputs), (mine.labels, theirs.labels))
    is_other = np.any([(np.asarray(own) != np.asarray(other)).any(1) for own, other in pairs_of_grids], axis=0)
    is_other |= _by_appearance(mine.groups) != _by_appearance(theirs.groups)
    pairs = mine.extras.get(PAIR_ROW), theirs.extras.get(PAIR_ROW)
    if pairs[0] is not None and pairs[1] is not None:
        is_other |= pairs[0] != pairs[1]
    return int(is_other.argmax()) if is_other.any() else None


def _grids(split: Split) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(split.inputs), np.asarray(split.labels)


def _by_appearance(groups: np.ndarray) -> np.ndarray:
    """Group numbers counted in the order in which the groups come."""
    _, firsts, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(firsts))
    numbered: np.ndarray = order[inverse]
    return numbered


def _require_apart(one: DataSet) -> None:
    train = load_split(one.folder, one.manifest, "train")
    for name in SCORED:
        scored = load_split(one.folder, one.manifest, name)
        found = is_scored(one.manifest.task, _grids(train), _grids(scored), one.manifest.grid)
        if found.any():
            raise DatasetError(
                f"no data set of a sweep trains on a {name} puzzle: {one.data.words} does in {int(found.sum())} rows, "
                f"the first of them row {int(found.argmax())}",
                remedy="leave them out of its recipe",
            )

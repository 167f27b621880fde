"""A data set's splits as an export needs them: grids where an import took them from, validation put back."""

import numpy as np

from trm.data.batches.split import Split
from trm.tasks.making.large_arrays import chunks, joined, room, taken
from trm.tasks.published.arrays import DOWN, RIGHT, SOURCE_ROW
from trm.tasks.published.arrays_arc import placed

GRIDS = ("inputs", "labels")


def in_source_place(split: Split) -> Split:
    """ARC grids that an import moved to the canvas's corner, where they were."""
    if DOWN not in split.extras:
        return split
    down, right = split.extras[DOWN], split.extras[RIGHT]
    if not down.any() and not right.any():
        return split
    columns = split.columns()
    for grid in GRIDS:
        columns[grid] = room(split.inputs.shape)
        for chunk in chunks(len(split)):
            columns[grid][chunk] = placed(np.asarray(getattr(split, grid)[chunk]), down[chunk], right[chunk])
    return Split.from_columns(split.name, columns)


def put_back(train: Split, validation: Split) -> Split:
    """Training rows with the validation rows among them: where an import took them from, or behind their puzzle's others."""
    table = {"identifier_starts": train.identifier_starts, "identifier_codes": train.identifier_codes}
    names = [name for name in train.columns() if name not in table]
    columns = {name: joined([train.columns()[name], validation.columns()[name]]) for name in names}
    key = next(columns[name] for name in (SOURCE_ROW, "puzzles", "groups") if name in columns)
    order = np.argsort(key, kind="stable")
    columns = {name: taken(column, order, column.dtype) for name, column in columns.items()}
    whole = Split.from_columns(train.name, columns | {name: column for name, column in table.items() if column is not None})
    sizes = np.diff(whole.puzzle_offsets)
    if "pairs" in whole.extras:
        columns["pairs"] = np.repeat(sizes, sizes).astype(np.int32)
        columns["pair"] = (np.arange(len(whole)) - np.repeat(whole.puzzle_offsets[:-1], sizes)).astype(np.int32)
        whole = Split.from_columns(train.name, whole.columns() | columns)
    return whole

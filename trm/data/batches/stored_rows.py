"""The grids of a split that is larger than memory: they stay in their shards, and row groups are read as rows are asked for."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from trm.data.batches.split import Split
from trm.data.batches.stream import Columns, row_groups
from trm.data.batches.stream_files import RowGroupFiles
from trm.data.format import shards
from trm.data.format.manifest import Manifest, SplitName

GRIDS = ("inputs", "labels")
KEPT_GROUPS = 4
"""Row groups in memory: rows are asked for in their order, or nearly."""


class StoredRows:
    """The rows of a split in its shards, the row groups that were asked for last in memory; for one thread."""

    def __init__(self, folder: str, manifest: Manifest, split: SplitName) -> None:
        self._folder, self._files = folder, RowGroupFiles(folder, manifest, split)
        self._groups = row_groups(manifest, split)
        self._firsts = np.array([group.first_row for group in self._groups], dtype=np.int64)
        self._kept: OrderedDict[int, Columns] = OrderedDict()
        self.shape = manifest.splits[split].rows, manifest.seq_len

    def grids(self, name: str, rows: Int64[np.ndarray, " rows"]) -> UInt8[np.ndarray, "rows cells"]:
        """A column of grids at these rows. DatasetError that names the shard which cannot be read."""
        found = np.empty((len(rows), self.shape[1]), dtype=np.uint8)
        numbers = np.searchsorted(self._firsts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            here = numbers == number
            found[here] = self._group(number)[name][rows[here] - self._firsts[number]]
        return found

    def _group(self, number: int) -> Columns:
        if number not in self._kept:
            group = self._groups[number]
            columns = shards.decode_table(self._files.table(group))
            if len(columns["row"]) and columns["row"][0] != group.first_row:
                raise shards.torn("rows must be in their order", self._folder, f"has row {columns['row'][0]} at {group.first_row}")
            self._kept[number] = {name: columns[name] for name in GRIDS}
        self._kept.move_to_end(number)
        if len(self._kept) > KEPT_GROUPS:
            self._kept.popitem(last=False)
        return self._kept[number]


@dataclass(frozen=True, eq=False)
class StoredGrids:
    """One column of grids, which looks like an array of (rows, cells) to who asks for some of its rows."""

    rows: StoredRows
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and cells."""
        return self.rows.shape

    def __len__(self) -> int:
        return self.rows.shape[0]

    def __getitem__(self, rows: "slice | int | Integer[np.ndarray, ' rows']") -> np.ndarray:
        chosen = np.arange(len(self))[rows]
        found = self.rows.grids(self.name, np.atleast_1d(chosen))
        return found if np.ndim(chosen) else found[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All of it, for what cannot do with less."""
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)


def stored_split(folder: str, manifest: Manifest, name: SplitName) -> Split:
    """One split whose grids stay where they are; the other columns, a few numbers a row, are in memory.

    Every shard is read once and held against the manifest first, as by `load_split`. Raises DatasetError.
    """
    columns = shards.read_split_columns(folder, manifest, name, left_out=GRIDS)
    rows = StoredRows(folder, manifest, name)
    return Split.from_columns(name, {**columns, **{grid: StoredGrids(rows, grid) for grid in GRIDS}})

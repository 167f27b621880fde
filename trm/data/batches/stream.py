"""The order of a training split that is read as it is needed: which rows a batch takes follows from seed and step alone.

The unit that is read is a Parquet row group. An epoch visits the row groups in a random order, consecutive ones form windows,
and the rows of a window are shuffled among each other; so the rows of a batch come from one or two windows, and a run goes on in
the middle of an epoch by reading no other. Epochs follow each other without a seam, and each row comes exactly once in each.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64

from trm.config.training import require_divisible
from trm.data.batches.augmenter import AugmenterFor, RowDraw
from trm.data.batches.keyed_random import below, hashed, shuffled
from trm.data.batches.plan import Batch, Position
from trm.data.batches.split import Split
from trm.data.format import shards
from trm.data.format.manifest import Manifest, SplitName
from trm.errors import CheckpointError, DatasetError

_EPOCH, _WINDOW, _FORM, _SLOT = 0x5345, 0x5357, 0x5346, 0x5353


@dataclass(frozen=True)
class RowGroup:
    """One Parquet row group of a split: which one of which shard, and which rows of the split it holds."""

    shard: int
    index: int
    first_row: int
    rows: int


def row_groups(manifest: Manifest, split: SplitName) -> tuple[RowGroup, ...]:
    """The row groups of a split in the order of its rows, from the manifest alone."""
    groups: list[RowGroup] = []
    row = 0
    for number, shard in enumerate(manifest.splits[split].shards):
        for index, start in enumerate(range(0, shard.rows, manifest.row_group_rows)):
            rows = min(manifest.row_group_rows, shard.rows - start)
            groups.append(RowGroup(number, index, row, rows))
            row += rows
    return tuple(groups)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive rows of the endless sequence that lie in one window."""

    epoch: int
    visit: int
    """The window's first visit of a row group, counted over epochs."""
    visits: int
    """Row groups of the window."""
    rows: Int64[np.ndarray, "rows"]
    """Row numbers within the window, as its row groups follow each other."""


class StreamOrder:
    """The endless sequence of a split's rows as a function of the seed.

    Visit v is the v-th reading of a row group, counted over epochs: the same sequence cut into what storage holds together.
    """

    def __init__(self, groups: tuple[RowGroup, ...], *, seed: int, window_rows: int) -> None:
        self.groups, self.seed = groups, seed
        self._sizes = np.array([group.rows for group in groups], dtype=np.int64)
        self.rows = int(self._sizes.sum())
        """Rows of an epoch."""
        self.window_visits = max(1, window_rows // int(self._sizes.max()))
        """Row groups of a window, at most."""
        windows = -(-len(groups) // self.window_visits)
        self._bounds = np.arange(windows + 1) * len(groups) // windows
        self._epochs: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._shuffled: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))
        described = [[group.rows for group in groups], self.window_visits]
        self.digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
        """Digest of what decides the order beside the seed."""

    def group(self, visit: int) -> RowGroup:
        """The row group of a visit."""
        epoch, place = divmod(visit, len(self.groups))
        return self.groups[int(self._epoch(epoch)[0][place])]

    def stretches(self, first: int, count: int) -> Iterator[Stretch]:
        """Rows `first` .. `first + count` of the endless sequence, window by window."""
        while count > 0:
            epoch, row = divmod(first, self.rows)
            ends = self._epoch(epoch)[1]
            window = int(np.searchsorted(ends, row, side="right"))
            start = int(ends[window - 1]) if window else 0
            taken = min(count, int(ends[window]) - row)
            visit = epoch * len(self.groups) + int(self._bounds[window])
            order = self._window(epoch, visit, int(ends[window]) - start)
            visits = int(self._bounds[window + 1] - self._bounds[window])
            yield Stretch(epoch, visit, visits, order[row - start : row - start + taken])
            first, count = first + taken, count - taken

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch's order of row groups, and after how many of its rows each window ends."""
        found = self._epochs.get(epoch)
        if found is None:  # by the reader's thread too, so nothing is looked up twice
            order = shuffled(len(self.groups), self.seed, _EPOCH, epoch)
            found = order, np.cumsum(self._sizes[order])[self._bounds[1:] - 1]
            self._epochs = {key: value for key, value in self._epochs.items() if key == epoch - 1} | {epoch: found}
        return found

    def _window(self, epoch: int, visit: int, rows: int) -> np.ndarray:
        if self._shuffled[0] != visit:
            self._shuffled = visit, shuffled(rows, self.seed, _WINDOW, epoch, visit)
        return self._shuffled[1]


Columns = dict[str, np.ndarray]
"""Columns of some rows, as the shards store them: `row` is the row's number in the split."""


@runtime_checkable
class RowGroupReader(Protocol):
    """Reads row groups in the order they are visited in, some of them ahead."""

    def read(self, order: StreamOrder, first_visit: int) -> Iterator[Columns]:
        """Columns of the row groups of visits `first_visit`, `first_visit` + 1, ..., without an end.

        Raises DatasetError or TrialError when one cannot be read.
        """


@dataclass(frozen=True, eq=False)
class TrainStream:
    """A training split that stays on storage: what `StreamPlan` takes in place of a `Split`."""

    reader: RowGroupReader
    window_rows: int
    """Rows that are shuffled among each other."""
    identifier_starts: Int64[np.ndarray, "puzzles_and_one"] | None = None
    identifier_codes: Int32[np.ndarray, "identifiers"] | None = None
    """The identifier table, as in `Split`."""


class StreamPlan:
    """Training batches as `TrainPlan` makes them, but an epoch is every row once, each under an identifier drawn for it alone."""

    def __init__(
        self,
        stream: TrainStream,
        manifest: Manifest,
        augmenter_for: AugmenterFor,
        *,
        global_batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not manifest.splits["train"].rows:
            raise DatasetError(f"training needs rows: split train of {manifest.name} has none", remedy="use another data set")
        require_divisible(global_batch_size, world_size)
        self._stream, self._manifest, self._augmenter_for, self._seed = stream, manifest, augmenter_for, seed
        self._size, self._local, self._rank = global_batch_size, global_batch_size // world_size, rank
        self._order = StreamOrder(row_groups(manifest, "train"), seed=seed, window_rows=stream.window_rows)
        self._step = 0
        self._blocks: Iterator[Columns] | None = None
        self._next_visit = 0
        self._window: tuple[int, list[Columns]] = (-1, [])

    def batch(self, step: int) -> Batch:
        """This rank's rows of the batch of `step` (from 0)."""
        start = step * self._size
        parts = []
        for stretch in self._order.stretches(start + self._rank * self._local, self._local):
            blocks = self._blocks_of(stretch, start)
            parts.append(self._augmented(_rows_of(blocks, stretch.rows), stretch.epoch))
        self._step = step + 1
        return Batch(*(np.concatenate([part[column] for part in parts]) for column in range(3)))

    def position(self) -> Position:
        """Where the next batch begins: after the one asked for last."""
        return Position(self._step, self._step * self._size, self._order.digest)

    def restore(self, position: Position) -> None:
        """Go on from a position; CheckpointError unless it comes from a stream of the same row groups and window."""
        if position != Position(0, 0) and position.order != self._order.digest:
            raise CheckpointError(
                "the checkpoint's place is in another order of the rows: the shards, data.shuffle_window_rows or data.mode differ",
                remedy="give the shards it was trained on, or resume with the data.mode it began with",
            )
        self._step = position.step

    def _blocks_of(self, stretch: Stretch, start: int) -> list[Columns]:
        """The row groups of a stretch's window, which stay until another window is asked for."""
        if self._window[0] != stretch.visit:
            self._window = (-1, [])
            if self._blocks is None or stretch.visit < self._next_visit:
                # All ranks begin where the first of them must, so that what is read for one serves all.
                self._next_visit = next(self._order.stretches(start, 1)).visit
                self._blocks = self._stream.reader.read(self._order, self._next_visit)
            while self._next_visit < stretch.visit:
                self._take(self._blocks)
            self._window = (stretch.visit, [self._take(self._blocks) for _ in range(stretch.visits)])
        return self._window[1]

    def _take(self, blocks: Iterator[Columns]) -> Columns:
        """The columns of the next visit, after a look at whose they are."""
        expected = self._order.group(self._next_visit)
        columns = next(blocks)
        require_rows(columns, expected, self._manifest)
        self._next_visit += 1
        return columns

    def _augmented(self, rows: Columns, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs, labels and identifiers of stored rows, varied as (seed, epoch, row) say."""
        number = rows.pop("row")
        identifiers = self._identifiers(rows, hashed(self._seed, _FORM, epoch, number))
        tables = {"identifier_starts": self._stream.identifier_starts, "identifier_codes": self._stream.identifier_codes}
        known = {name: table for name, table in tables.items() if table is not None}
        split = Split.from_columns("train", rows | known)
        draw = RowDraw(np.arange(len(number)), identifiers, hashed(self._seed, _SLOT, epoch, number))
        return *self._augmenter_for(split, self._manifest).train(draw), identifiers

    def _identifiers(self, rows: Columns, bits: np.ndarray) -> np.ndarray:
        """Stored identifiers as they are; for the other rows one of their group's in the table, or 0 without one."""
        drawn = np.zeros(len(bits), dtype=np.int32)
        if (starts := self._stream.identifier_starts) is not None:
            groups = rows["groups"]
            drawn = (starts[groups] + below(bits, starts[groups + 1] - starts[groups])).astype(np.int32)
        stored = rows.get("puzzle_identifiers")
        return drawn if stored is None else np.where(stored >= 0, stored, drawn).astype(np.int32)


def require_rows(columns: Columns, group: RowGroup, manifest: Manifest) -> None:
    """DatasetError unless these are the rows of the row group."""
    if not np.array_equal(columns["row"], np.arange(group.first_row, group.first_row + group.rows)):
        file = manifest.splits["train"].shards[group.shard].file
        found = f"{columns['row'][0]} to {columns['row'][-1]}" if len(columns["row"]) else "none"
        last = group.first_row + group.rows - 1
        raise shards.torn(f"row group {group.index} must hold rows {group.first_row} to {last}", file, f"holds {found}")


def _rows_of(blocks: list[Columns], rows: np.ndarray) -> Columns:
    """The rows with these numbers, counted through the blocks, in this order."""
    starts = np.cumsum([0, *(len(block["row"]) for block in blocks)])
    holder = np.searchsorted(starts, rows, side="right") - 1
    where = [np.flatnonzero(holder == number) for number in range(len(blocks))]
    taken: Columns = {}
    for name, first in blocks[0].items():
        column = np.empty((len(rows), *first.shape[1:]), dtype=first.dtype)
        for block, start, places in zip(blocks, starts, where, strict=False):
            if len(places):
                column[places] = block[name][rows[places] - start]
        taken[name] = column
    return taken

"""Generation in pieces, each a function of recipe and number alone: side by side, and so that a build can stop and go on.

A draw is one puzzle of one piece, numbered `piece * PIECE_DRAWS + row`. The data set keeps the draws in order and leaves out
symmetric forms of earlier ones, so a shard can be made again from its first and last draw and the list of those left out.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64

from trm.console.long_work import Report
from trm.data.format.built import BuiltSplit
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError

PIECE_DRAWS = 1 << 20
"""More than any piece has rows."""

Columns = Mapping[str, np.ndarray]
"""Arrays of one length: `inputs` and `labels` (rows, cells) uint8 tokens, and extras of one value a row."""


@runtime_checkable
class ChunkMaker(Protocol):
    """Makes the puzzles of a generated data set."""

    def piece(self, number: int) -> Columns:
        """Piece `number` (from 0): puzzles that keep the recipe's rules, as many as it happens to find, maybe none.

        A function of the recipe and the number, the same in any order, process and thread; it lets go of the interpreter's lock
        while it works, so that pieces can be made side by side, and takes a few seconds at most.
        """

    def is_new(self, columns: Columns) -> Bool[np.ndarray, "rows"]:
        """Which rows are symmetric forms of no row before them, in this call or an earlier one; all rows are remembered."""

    def exhausted(self, found: int, wanted: int, pieces: int) -> DatasetError | None:
        """The error when `pieces` pieces gave only `found` puzzles of `wanted` and going on is hopeless; None: go on."""


@runtime_checkable
class ChunkStore(Protocol):
    """Keeps pieces of a build that may be interrupted."""

    def load(self, number: int) -> Columns | None:
        """The piece, if it was kept whole."""

    def save(self, number: int, columns: Columns) -> None:
        """Keep the piece."""


class NoStore:
    """Keeps nothing."""

    def load(self, number: int) -> Columns | None:
        """Nothing."""

    def save(self, number: int, columns: Columns) -> None:
        """Nothing."""


@dataclass(frozen=True, eq=False)
class Generated:
    """Different puzzles in order of their draws."""

    columns: Columns
    draws: Int64[np.ndarray, "rows"] | None = None
    """None: they came from elsewhere than pieces."""
    duplicates: tuple[int, ...] = ()

    def splits(self, wanted: Mapping[SplitName, int], train: int | None) -> dict[SplitName, BuiltSplit]:
        """The puzzles dealt out, each a group, of those for training the first `train`; a split that wants none is left out."""
        splits: dict[SplitName, BuiltSplit] = {}
        start = 0
        for name, rows in wanted.items():
            if rows:
                part = slice(start, start + (rows if train is None or name != "train" else train))
                columns = {key: column[part] for key, column in self.columns.items()}
                splits[name] = as_split(columns, start, None if self.draws is None else self.draws[part])
            start += rows
        return splits


def as_split(columns: Columns, first_group: int, draws: np.ndarray | None = None) -> BuiltSplit:
    """A split of single puzzles, numbered from `first_group`."""
    extras = {name: column for name, column in columns.items() if name not in ("inputs", "labels")}
    groups = np.arange(first_group, first_group + len(columns["inputs"]), dtype=np.int32)
    return BuiltSplit(columns["inputs"], columns["labels"], groups, extras, draws=draws)


def generate(maker: ChunkMaker, wanted: int, report: Report, store: ChunkStore | None = None) -> Generated:
    """The first `wanted` different puzzles of the maker's pieces. Raises DatasetError when they run out."""
    parts: list[Columns] = []
    draws: list[np.ndarray] = []
    duplicates: list[int] = []
    found = 0
    for number, columns in _pieces(maker, store or NoStore()):
        rows = len(columns["inputs"])
        assert rows < PIECE_DRAWS
        is_new = maker.is_new(columns)
        kept = np.flatnonzero(is_new)[: wanted - found]
        last = rows if found + len(kept) < wanted else int(kept[-1]) + 1
        duplicates += [number * PIECE_DRAWS + int(row) for row in np.flatnonzero(~is_new[:last])]
        parts.append({name: column[kept] for name, column in columns.items()})
        draws.append(number * PIECE_DRAWS + kept)
        found += len(kept)
        report("puzzles", found, wanted)
        if found == wanted:
            break
        if (error := maker.exhausted(found, wanted, number + 1)) is not None:
            raise error
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Generated(joined, np.concatenate(draws).astype(np.int64), tuple(duplicates))


def remade(maker: ChunkMaker, first: int, last: int, duplicates: tuple[int, ...]) -> Columns:
    """The rows of draws `first` to `last`, both included, without the duplicates: those of one shard."""
    parts: list[Columns] = []
    for number in range(first // PIECE_DRAWS, last // PIECE_DRAWS + 1):
        columns = maker.piece(number)
        draws = number * PIECE_DRAWS + np.arange(len(columns["inputs"]))
        is_kept = (draws >= first) & (draws <= last) & ~np.isin(draws, duplicates)
        parts.append({name: column[is_kept] for name, column in columns.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pieces(maker: ChunkMaker, store: ChunkStore) -> Iterator[tuple[int, Columns]]:
    """Pieces in order, some made ahead on the other cores."""
    ahead = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(ahead) as pool:
        pending: deque[Future[Columns]] = deque()
        try:
            for number in count():
                while len(pending) < ahead:
                    pending.append(pool.submit(_made, maker, store, number + len(pending)))
                yield number, pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _made(maker: ChunkMaker, store: ChunkStore, number: int) -> Columns:
    kept = store.load(number)
    if kept is not None:
        return kept
    columns = maker.piece(number)
    store.save(number, columns)
    return columns

"""The data of a sweep, read once: large sets by Ray Data, small ones here; each column becomes one array in the object store.

Trials of a node share those arrays without a copy, so they are read-only. One execution reads all splits, because an
execution costs a second or two whatever its size, a cluster's first one several, and none may run inside a trial, whose placement
group would capture it.
A training split that streams is not among them (see `trm.cluster.stream`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pyarrow as pa
import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from trm.cluster.reading import Piece, blocks_in_order
from trm.cluster.stream import StreamClient
from trm.config.data import DataConfig
from trm.console.redaction import reason_of
from trm.data.batches import row_storage
from trm.data.batches.plan import TrainPlan
from trm.data.batches.split import Split
from trm.data.batches.stream import TrainStream
from trm.data.format import shards
from trm.data.format.manifest import Manifest, SplitName, read_manifest
from trm.errors import DatasetError
from trm.tasks.augment import augmenter_for

WARM_UP_ROWS = 768
READ_HERE_BYTES = 64 * 2**20
"""Shards of so many bytes together are read in this process, in a second: Ray Data starts processes for it, which takes longer."""


@dataclass(frozen=True)
class DataFeed:
    """References to every column of every split in the object store."""

    folder: str
    manifest: Manifest
    columns: dict[SplitName, dict[str, ray.ObjectRef]]
    """Split -> column -> array; without train where that streams."""

    def split(self, name: SplitName) -> Split:
        """The split over the shared arrays; kept by this process for the next leg."""
        refs = self.columns[name]
        return _shared_split(name, tuple(refs), tuple(refs.values()))

    @property
    def is_streamed(self) -> bool:
        """Whether training rows come from a leg's actor."""
        return "train" not in self.columns

    def warm_up(self) -> None:
        """Map every split into this process, and make a batch of what does not stream: a process's first costs up to 60 ms more."""
        for name in self.columns:
            self.split(name)
        if not self.is_streamed:
            TrainPlan(self.split("train"), self.manifest, augmenter_for, global_batch_size=WARM_UP_ROWS, seed=0).batch(0)

    def training_rows(self, data: DataConfig, actor: ActorHandle | None, rank: int = 0) -> Split | TrainStream:
        """The training split for one worker of a leg: the shared arrays, or what the leg's actor streams."""
        if actor is None:
            return self.split("train")
        starts, codes = self._identifiers()
        return TrainStream(StreamClient(actor, rank), data.shuffle_window_rows, starts, codes)

    def _identifiers(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Starts and codes of the identifier table: every split has that of all, and without one the data set's folder."""
        for name in self.columns:
            split = self.split(name)
            return split.identifier_starts, split.identifier_codes
        table = shards.read_identifiers(self.folder, self.manifest)
        return (None, None) if table is None else (table.starts, table.codes)


@dataclass(frozen=True)
class SweepFeed:
    """The data of a sweep: a feed for each of its data sets."""

    feeds: tuple[DataFeed, ...]

    def of(self, data: DataConfig) -> DataFeed:
        """The feed of a leg, whose configuration names the folder of its data set."""
        return self._chosen([feed.folder == data.folder for feed in self.feeds], f"in {data.folder}")

    def of_content(self, content_hash: str) -> DataFeed:
        """The feed of a checkpoint, by what it says of its data."""
        return self._chosen([feed.manifest.content_hash == content_hash for feed in self.feeds], f"of content {content_hash[:12]}")

    def _chosen(self, is_it: Sequence[bool], which: str) -> DataFeed:
        """The only one, wherever it was said to lie; of several the one that was asked for."""
        assert len(self.feeds) == 1 or any(is_it), f"one of the sweep's data sets lies {which}"
        return self.feeds[is_it.index(True)] if any(is_it) else self.feeds[0]

    @property
    def first(self) -> DataFeed:
        """The one that a process is warmed up with."""
        return self.feeds[0]


@lru_cache(maxsize=8)
def _shared_split(name: str, names: tuple[str, ...], refs: tuple[ray.ObjectRef, ...]) -> Split:
    return Split.from_columns(name, dict(zip(names, ray.get(list(refs)), strict=True)))


def store_room() -> tuple[float, str]:
    """Bytes that a resident training split may take in the object store of each node, and what that is."""
    stores = [node["Resources"].get("object_store_memory", 0.0) for node in ray.nodes() if node["Alive"]]
    return row_storage.STORE_SHARE * min(stores), f"{row_storage.STORE_SHARE:.0%} of the smallest node's object store"


def fed_splits(data: DataConfig, *others: SplitName) -> tuple[SplitName, ...]:
    """The splits to read into the object store: train unless it streams, and the others."""
    return others if data.is_streamed else ("train", *others)


def read_feeds(folders: Sequence[str], splits: tuple[SplitName, ...]) -> SweepFeed:
    """Read these splits of each data set; equal splits lie in the object store once. Raises DatasetError."""
    feeds: list[DataFeed] = []
    kept: dict[str, dict[str, ray.ObjectRef]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        keys = {name: _content_key(manifest, name) for name in splits}
        read = read_feed(folder, tuple(name for name in splits if keys[name] not in kept))
        kept |= {keys[name]: columns for name, columns in read.columns.items()}
        feeds.append(DataFeed(folder, manifest, {name: kept[keys[name]] for name in splits}))
    return SweepFeed(tuple(feeds))


def _content_key(manifest: Manifest, name: SplitName) -> str:
    """Equal for splits whose columns are equal, their identifiers among them."""
    table = manifest.identifiers
    return f"{name} {manifest.splits[name].content_sha256} {table.content_sha256 if table is not None else ''}"


def read_feed(folder: str, splits: tuple[SplitName, ...]) -> DataFeed:
    """Read these splits into the object store. Raises DatasetError when rows are missing, or a shard is not what it was."""
    manifest = read_manifest(folder)
    try:
        tables = _read_tables(folder, manifest, splits)
    except DatasetError:
        raise
    except (RayError, OSError, ValueError) as error:
        raise DatasetError(
            f"every node must be able to read the data set: {folder} ({reason_of(error, 300)})",
            remedy="keep it on a file system that all nodes mount, or behind a URL",
        ) from error
    identifiers = shards.read_identifiers(folder, manifest)
    columns: dict[SplitName, dict[str, ray.ObjectRef]] = {}
    for name in splits:
        table = pa.concat_tables(tables[name])
        if table.num_rows != manifest.splits[name].rows:
            raise DatasetError(
                f"split {name} of {folder} must have {manifest.splits[name].rows} rows, and {table.num_rows} were read",
                remedy="build the data set again",
            )
        whole = shards.in_row_order(shards.decode_table(table), identifiers)
        columns[name] = {key: ray.put(column) for key, column in whole.items()}
    return DataFeed(folder, manifest, columns)


def _read_tables(folder: str, manifest: Manifest, splits: Sequence[SplitName]) -> dict[SplitName, list[pa.Table]]:
    """Arrow tables by split, a shard each, in order."""
    wanted = [(name, shard) for name in splits for shard in shards.split_info(folder, manifest, name).shards]
    is_small = sum(shard.bytes for _, shard in wanted) <= READ_HERE_BYTES
    tables: dict[SplitName, list[pa.Table]] = {name: [] for name in splits}
    sent: list[tuple[SplitName, Piece]] = []
    for name, shard in wanted:
        read = partial(shards.read_table, folder, shard, manifest)
        if is_small or not shard.rows:  # Ray Data makes no block of no rows
            tables[name].append(read())
        else:
            sent.append((name, Piece(read, shard.rows)))
    blocks = blocks_in_order([piece for _, piece in sent], at_once=_reads_at_once()) if sent else ()
    for (name, _), block in zip(sent, blocks, strict=True):
        tables[name].append(ray.get(block))
    return tables


def _reads_at_once() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 0.0)))

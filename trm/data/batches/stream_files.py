"""Row groups straight from their Parquet files, some of them ahead of time in a thread: a stream without Ray."""

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from types import TracebackType

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from trm.console.redaction import reason_of
from trm.data.batches.stream import Columns, RowGroup, StreamOrder
from trm.data.format import shards, storage
from trm.data.format.manifest import Manifest, ShardInfo, SplitName
from trm.data.format.parquet_bounds import fault_of
from trm.errors import DatasetError

OPEN_FILES = 8
"""Shards that stay open: an epoch's order jumps between them."""
CLOSE_SECONDS = 5.0
"""So long may a read take that nobody waits for any more."""


class RowGroupFiles:
    """The shards of a split, from which any row group is read by itself; for one thread."""

    def __init__(self, folder: str, manifest: Manifest, split: SplitName = "train") -> None:
        self._folder, self._manifest, self._shards = folder, manifest, manifest.splits[split].shards
        self._open: OrderedDict[int, pq.ParquetFile] = OrderedDict()

    def table(self, group: RowGroup) -> pa.Table:
        """The row group. DatasetError that names the shard when it is missing, torn or not what the manifest says."""
        shard = self._shards[group.shard]
        path = storage.inside(self._folder, shard.file)
        try:
            file = self._file(group.shard, shard, path)
            if group.index >= file.num_row_groups:
                raise shards.torn(f"a shard must have row group {group.index}", path, f"has {file.num_row_groups}")
            table = file.read_row_group(group.index, use_threads=False)
        except DatasetError:
            raise
        except FileNotFoundError as error:
            raise shards.torn("the shard must exist", path, "does not") from error
        except Exception as error:  # foreign file systems raise what they like
            raise shards.torn(
                f"row group {group.index} must be readable Parquet", path, f"is not ({reason_of(error, 200)})"
            ) from error
        if table.num_rows != group.rows:
            raise shards.torn(f"row group {group.index} must have {group.rows} rows", path, f"has {table.num_rows}")
        return table

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close(force=True)

    def _file(self, number: int, shard: ShardInfo, path: str) -> pq.ParquetFile:
        if number not in self._open:
            self._open[number] = self._opened(path, shard)
        self._open.move_to_end(number)
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close(force=True)
        return self._open[number]

    def _opened(self, path: str, shard: ShardInfo) -> pq.ParquetFile:
        files, where = fsspec.core.url_to_fs(path)
        size = files.size(where)
        if size is not None and size != shard.bytes:
            raise shards.torn("a shard must have the size in the manifest", path, f"has {size} bytes, not {shard.bytes}")
        is_local = storage.is_local(path)  # then in this thread alone, as in `decode_parquet`
        file = pq.ParquetFile(str(where) if is_local else files.open(where, "rb"), pre_buffer=not is_local)
        if (fault := fault_of(file, shard, self._manifest)) is not None:
            raise shards.torn("a shard must be what the manifest says", path, fault)
        return file


class FileReader:
    """A `RowGroupReader` in this process: a thread reads one window ahead. Close it, or use it in a `with`."""

    def __init__(self, folder: str, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._ahead: _Ahead | None = None

    def read(self, order: StreamOrder, first_visit: int) -> Iterator[Columns]:
        """Columns of the row groups from `first_visit` on; ends what was read before. DatasetError when one cannot be read."""
        self.close()
        self._ahead = _Ahead(RowGroupFiles(self._folder, self._manifest), order, first_visit)
        return self._ahead.columns()

    def close(self) -> None:
        """End the thread and forget what it read."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def __enter__(self) -> "FileReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Ahead:
    """A thread that reads on until as many row groups wait as a window has."""

    def __init__(self, files: RowGroupFiles, order: StreamOrder, first_visit: int) -> None:
        self._files, self._order, self._visit = files, order, first_visit
        self._waiting: queue.Queue[Columns | Exception] = queue.Queue(order.window_visits)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="row-groups", daemon=True)
        self._thread.start()

    def columns(self) -> Iterator[Columns]:
        """What was read, in order; raises what the thread met."""
        while True:
            item = self._waiting.get()
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """Return when the thread has ended, or sits in a read that does not."""
        self._is_closed.set()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._drain()
            self._thread.join(0.05)
        self._drain()
        self._waiting.put(RuntimeError("the reader was closed"))

    def _drain(self) -> None:
        try:
            while True:
                self._waiting.get_nowait()
        except queue.Empty:
            pass

    def _read(self) -> None:
        try:
            while not self._is_closed.is_set():
                self._waiting.put(shards.decode_table(self._files.table(self._order.group(self._visit))))
                self._visit += 1
        except Exception as error:  # whoever takes the next row group raises it
            self._waiting.put(error)
        finally:
            self._files.close()

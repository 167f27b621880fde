"""Parquet files of a data set: written once, read into flat arrays, checked against the manifest."""

import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trm.console.long_work import Report, silent
from trm.console.program import job
from trm.data.format import storage
from trm.data.format.built import BuiltSplit, IdentifierTable
from trm.data.format.manifest import MOST_SHARD_ROWS, FileInfo, IdentifiersInfo, Manifest, ShardInfo, SplitInfo
from trm.data.format.parquet_bounds import fault_of, fault_of_names
from trm.errors import DatasetError

SHARD_ROWS = MOST_SHARD_ROWS
ROW_GROUP_ROWS = 1 << 12
ZSTD_LEVEL = 9
IDENTIFIERS_FILE = "identifiers.parquet"
TEXT_COLUMNS = ["name", "subset"]
"""Columns of the identifier table that are texts."""
Room = Callable[[tuple[int, ...], np.dtype], np.ndarray]
REBUILD = f"run {job('build_dataset.py')} with its recipe, which makes the damaged files again, or delete the folder"


def torn(rule: str, path: str, value: str) -> DatasetError:
    """The error for files that are not what the manifest says."""
    return DatasetError(f"{rule}: {path} {value}", remedy=REBUILD)


class ColumnDigest:
    """Digest of named columns that come in parts: of names, types, widths and values, not of where the parts end."""

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}

    def update(self, columns: Mapping[str, np.ndarray]) -> None:
        """Take the next rows of every column."""
        for name, part in columns.items():
            column = np.ascontiguousarray(part)
            if name not in self._columns:
                self._columns[name] = hashlib.sha256(f"{name}|{column.dtype.str}|{column.shape[1:]}|".encode())
            self._columns[name].update(column.data)

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        return hashlib.sha256("|".join(self._columns[name].hexdigest() for name in sorted(self._columns)).encode()).hexdigest()


def column_digest(columns: Mapping[str, np.ndarray]) -> str:
    """Digest of whole columns."""
    digest = ColumnDigest()
    digest.update(columns)
    return digest.hexdigest()


def encode_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns as an Arrow table: a grid is a fixed number of bytes, one a cell, everything else one value a row."""
    return pa.table({name: _encoded(column) for name, column in columns.items()})


def _encoded(column: np.ndarray) -> pa.Array:
    """Lists of uint8 would be stored as whole numbers with levels: eighteen times slower to read, and no smaller."""
    if column.ndim == 1:
        return pa.array(np.ascontiguousarray(column))
    assert column.dtype == np.uint8
    return pa.Array.from_buffers(pa.binary(column.shape[1]), len(column), [None, pa.py_buffer(np.ascontiguousarray(column))])


def decode_table(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns of an Arrow table as arrays, grids as (rows, cells); the inverse of `encode_table`."""
    columns = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if pa.types.is_fixed_size_binary(column.type):
            width = column.type.byte_width
            cells = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
            columns[name] = cells[column.offset * width :][: len(column) * width].reshape(-1, width)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False)
    return columns


def file_info(file: str, content: bytes) -> FileInfo:
    """What the manifest says of a file with this content."""
    return FileInfo(file=file, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def write_file(folder: str, file: str, content: bytes) -> FileInfo:
    """Have a file in `folder`, durably, and return what the manifest says of it; one that is there already is not written again."""
    path = storage.join(folder, file)
    if not storage.holds(path, content):
        storage.write_bytes(path, content)
    return file_info(file, content)


def encode_parquet(table: pa.Table) -> bytes:
    """The table as the bytes of a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
        write_statistics=False,
        use_dictionary=[name for name in table.column_names if not pa.types.is_fixed_size_binary(table.schema.field(name).type)],
    )
    return sink.getvalue()


def decode_parquet(source: Any) -> pa.Table:
    """The table in a Parquet file, given as whatever Arrow reads from.

    In this thread alone: a process that ends soon after Arrow's threads have read can be aborted by them at its exit (one run in
    30 here on busy cores, none in 500 without them; apache/arrow issue 34314).
    """
    return pq.ParquetFile(source, pre_buffer=False).read(use_threads=False)


def _write_table(folder: str, file: str, table: pa.Table) -> ShardInfo:
    return ShardInfo(**write_file(folder, file, encode_parquet(table)).model_dump(), rows=table.num_rows)


def mean_examples(split: BuiltSplit, table: IdentifierTable | None) -> float:
    """Mean number of a puzzle's examples, where every augmentation counts as a puzzle."""
    if not len(split.groups):
        return 0.0
    if split.puzzles is not None:
        return len(split.groups) / len(np.unique(split.puzzles))
    groups, sizes = np.unique(split.groups, return_counts=True)
    weights = np.ones(len(groups)) if table is None else np.diff(table.starts)[groups]
    return float((sizes * weights).sum() / weights.sum())


def shard_table(split: BuiltSplit, start: int, end: int) -> pa.Table:
    """The shard of rows `start` to `end` of the split."""
    part = {name: column[start:end] for name, column in split.columns().items()}
    return encode_table({"row": np.arange(start, end, dtype=np.int64), **part})


def write_split(folder: str, name: str, split: BuiltSplit, table: IdentifierTable | None, report: Report = silent) -> SplitInfo:
    """Write a split's shards into `folder`, durably, and return what the manifest says of them."""
    rows = len(split.groups)
    starts = range(0, max(rows, 1), SHARD_ROWS)
    digest, shards = ColumnDigest(), []
    for number, start in enumerate(starts):
        end = min(start + SHARD_ROWS, rows)
        part = shard_table(split, start, end)
        digest.update(_without_row(decode_table(part)))
        info = _write_table(folder, f"{name}-{number:05d}-of-{len(starts):05d}.parquet", part)
        draws = None if split.draws is None else split.draws[start:end]
        shards.append(info if draws is None else info.model_copy(update={"draws": (int(draws[0]), int(draws[-1]))}))
        report(f"rows of {name}", end, rows)
    return SplitInfo(
        rows=rows,
        groups=len(np.unique(split.groups)),
        mean_examples=mean_examples(split, table),
        shards=tuple(shards),
        content_sha256=digest.hexdigest(),
    )


def _without_row(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: column for name, column in columns.items() if name != "row"}


def identifier_digest(names: Iterable[str], columns: Mapping[str, np.ndarray]) -> str:
    """Digest of an identifier table."""
    text = np.frombuffer("\0".join(names).encode(), dtype=np.uint8)
    return column_digest({"names": text, "starts": columns["starts"], "codes": columns["codes"]})


def write_identifiers(folder: str, table: IdentifierTable) -> IdentifiersInfo:
    """Write the identifier table, a row a base puzzle."""
    codes = pa.ListArray.from_arrays(pa.array((table.starts - 1).astype(np.int32)), pa.array(table.codes[1:]))
    info = _write_table(
        folder,
        IDENTIFIERS_FILE,
        pa.table({"name": list(table.names), "subset": pa.array(table.subsets, pa.string()), "codes": codes}),
    )
    digest = identifier_digest(table.names, {"starts": table.starts, "codes": table.codes})
    return IdentifiersInfo(**info.model_dump(), content_sha256=digest)


def read_table(folder: str, shard: ShardInfo, manifest: Manifest, *, check_digest: bool = False) -> pa.Table:
    """One shard as an Arrow table. Raises DatasetError naming it when it is missing, torn, or not what the manifest says.

    What its footer says of its size is held against the manifest before anything is unpacked.
    """
    path = storage.inside(folder, shard.file)
    content = storage.read_bytes(path, what="shard", remedy=REBUILD, most_bytes=shard.bytes)
    if len(content) != shard.bytes:
        raise torn("a shard must have the size in the manifest", path, f"has {len(content)} bytes, not {shard.bytes}")
    if check_digest and (digest := hashlib.sha256(content).hexdigest()) != shard.sha256:
        raise torn("a shard must have the hash in the manifest", path, f"has {digest[:12]}, not {shard.sha256[:12]}")
    texts = TEXT_COLUMNS if isinstance(shard, IdentifiersInfo) else []
    try:
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False, read_dictionary=texts)
        if (fault := fault_of(file, shard, manifest)) is not None:
            raise torn("a shard must be what the manifest says", path, fault)
        table = file.read(use_threads=False)
    except DatasetError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise torn("a shard must be readable Parquet", path, f"is corrupt ({error})") from error
    for name in texts:
        if (fault := fault_of_names(table.column(name))) is not None:
            raise torn("a shard must be what the manifest says", path, fault)
    return table


def check_footer(folder: str, shard: ShardInfo, manifest: Manifest) -> None:
    """Hold a shard's footer against the manifest, without reading more of it. Raises DatasetError naming the shard."""
    path = storage.inside(folder, shard.file)
    try:
        with fsspec.open(path, "rb") as source:
            fault = fault_of(pq.ParquetFile(pa.PythonFile(source, mode="r"), pre_buffer=False), shard, manifest)
    except Exception as error:  # foreign file systems raise what they like
        raise torn("a shard must be readable Parquet", path, f"is corrupt ({error})") from error
    if fault is not None:
        raise torn("a shard must be what the manifest says", path, fault)


def split_info(folder: str, manifest: Manifest, name: str) -> SplitInfo:
    """What the manifest says of a split; DatasetError when it has no such split."""
    for split, info in manifest.splits.items():
        if split == name:
            return info
    splits = ", ".join(manifest.splits)
    raise DatasetError(f"a split must be one of {splits}: {folder} has no split {name!r}", remedy="name one of them")


def read_identifiers(folder: str, manifest: Manifest, *, check_digest: bool = False) -> IdentifierTable | None:
    """The identifier table with its names; None for tasks without."""
    if manifest.identifiers is None:
        return None
    table = read_table(folder, manifest.identifiers, manifest, check_digest=check_digest)
    codes = table.column("codes").combine_chunks()
    return IdentifierTable(
        names=tuple(table.column("name").to_pylist()),
        subsets=tuple(table.column("subset").to_pylist()),
        starts=codes.offsets.to_numpy().astype(np.int64) + 1,
        codes=np.concatenate([[0], codes.values.to_numpy()]).astype(np.int32),
    )


def parts_of(table: pa.Table) -> Iterator[dict[str, np.ndarray]]:
    """Columns of a shard, a row group at a time; one empty part when it has no rows."""
    if not table.num_rows:
        yield decode_table(table)
    for batch in table.to_batches():
        yield decode_table(pa.Table.from_batches([batch]))


def in_row_order(columns: dict[str, np.ndarray], identifiers: IdentifierTable | None) -> dict[str, np.ndarray]:
    """Columns for `Split.from_columns` from those of a whole split, in whatever order its rows were read."""
    row = columns.pop("row")
    if np.any(np.diff(row) != 1):
        order = np.argsort(row)
        columns = {name: column[order] for name, column in columns.items()}
    if identifiers is not None:
        columns |= {"identifier_starts": identifiers.starts, "identifier_codes": identifiers.codes}
    return columns


def read_split_columns(
    folder: str, manifest: Manifest, name: str, room: Room = np.empty, *, left_out: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Columns of one split, read through pyarrow from any fsspec URL, a shard at a time, into arrays that `room` makes.

    Those that are `left_out` are read, checked with the others, and forgotten.
    """
    info = split_info(folder, manifest, name)
    columns: dict[str, np.ndarray] = {}
    start = 0
    for shard in info.shards:
        for part in parts_of(read_table(folder, shard, manifest, check_digest=True)):
            for key, column in part.items():
                if key in left_out:
                    continue
                if key not in columns:
                    columns[key] = room((info.rows, *column.shape[1:]), column.dtype)
                columns[key][start : start + len(column)] = column
            start += len(part["row"])
    return in_row_order(columns, read_identifiers(folder, manifest))


def shard_paths(folder: str, manifest: Manifest, name: str) -> list[str]:
    """Paths or URLs of a split's shards, in row order, for a reader such as Ray Data."""
    return [storage.inside(folder, shard.file) for shard in split_info(folder, manifest, name).shards]

"""Whether a data set on storage is what its manifest says, shard by shard, so that any size can be checked."""

import numpy as np
import pyarrow as pa

from trm.console.long_work import Report, silent
from trm.data.format import storage
from trm.data.format.manifest import FileInfo, Manifest, ShardInfo, SplitInfo, files_of
from trm.data.format.shards import (
    REBUILD,
    ColumnDigest,
    check_footer,
    file_info,
    identifier_digest,
    parts_of,
    read_identifiers,
    read_table,
    torn,
)
from trm.errors import DatasetError

GRID_COLUMNS = ("inputs", "labels")


def verify(folder: str, manifest: Manifest, report: Report = silent) -> None:
    """Check every file against the manifest: presence, size, rows, hash, and the hash of the contents.

    Raises DatasetError naming the first file that disagrees, or one that belongs to no split.
    """
    _refuse_strangers(folder, manifest)
    for attachment in manifest.attachments:
        _check_attachment(folder, attachment)
    _verify_identifiers(folder, manifest)
    for name, info in manifest.splits.items():
        _verify_split(folder, manifest, name, info, report)


def verify_sizes(folder: str, manifest: Manifest, report: Report = silent) -> None:
    """Check that every file is there with the size in the manifest, and a Parquet file's footer, and read no more.

    Raises DatasetError as `verify`.
    """
    _refuse_strangers(folder, manifest)
    files = list(files_of(manifest))
    for index, info in enumerate(files):
        report("files looked at", index, len(files))
        path = storage.inside(folder, info.file)
        found = storage.size(path, what="shard", remedy=REBUILD)
        if found != info.bytes:
            raise torn("a shard must have the size in the manifest", path, f"has {found} bytes, not {info.bytes}")
        if isinstance(info, ShardInfo):
            check_footer(folder, info, manifest)


def damaged(folder: str, manifest: Manifest, report: Report = silent) -> list[str]:
    """Names of the files that are missing or not what the manifest says."""
    names, files = [], list(files_of(manifest))
    for index, info in enumerate(files):
        report("files read", index, len(files))
        try:
            if isinstance(info, ShardInfo):
                read_table(folder, info, manifest, check_digest=True)
            else:
                _check_attachment(folder, info)
        except DatasetError:
            names.append(info.file)
    return names


def _refuse_strangers(folder: str, manifest: Manifest) -> None:
    known = {info.file for info in files_of(manifest)}
    for name in storage.names(folder):
        if name.endswith(".parquet") and name not in known:
            raise DatasetError(
                f"a folder must hold the shards of one build: {storage.join(folder, name)} is not in its manifest",
                remedy="remove that file, or delete the folder and build the data set again",
            )


def _check_attachment(folder: str, info: FileInfo) -> None:
    path = storage.inside(folder, info.file)
    content = storage.read_bytes(path, what="file", remedy=REBUILD)
    if file_info(info.file, content) != info:
        raise torn("a file must have the hash in the manifest", path, "has another")


def _verify_split(folder: str, manifest: Manifest, name: str, info: SplitInfo, report: Report) -> None:
    if not info.shards:
        raise torn("a split must have a shard", folder, f"has none of {name}")
    digest = ColumnDigest()
    row = groups = 0
    last_group = -1
    for index, shard in enumerate(info.shards):
        report(f"files of {name} verified", index, len(info.shards))
        path = storage.join(folder, shard.file)
        table = read_table(folder, shard, manifest, check_digest=True)
        _check_columns(path, table, manifest)
        for columns in parts_of(table):
            rows = columns.pop("row")
            if not np.array_equal(rows, np.arange(row, row + len(rows))):
                raise torn(f"a shard's rows must follow those before: row {row} comes next", path, "has another there")
            top = max(int(columns[grid].max(initial=0)) for grid in GRID_COLUMNS)
            if top >= len(manifest.vocabulary):
                raise torn(f"split {name} must hold tokens below {len(manifest.vocabulary)}", path, f"holds {top}")
            groups += int((np.diff(columns["groups"], prepend=last_group) != 0).sum())
            last_group, row = int(columns["groups"][-1]) if len(rows) else last_group, row + len(rows)
            digest.update(columns)
    if digest.hexdigest() != info.content_sha256 or groups != info.groups:
        files = ", ".join(shard.file for shard in info.shards)
        raise torn(f"split {name} must match the manifest's content hash", folder, f"({files}) does not")


def _verify_identifiers(folder: str, manifest: Manifest) -> None:
    table = read_identifiers(folder, manifest, check_digest=True)
    if table is None or manifest.identifiers is None:
        return
    path = storage.join(folder, manifest.identifiers.file)
    if len(table.codes) != manifest.num_puzzle_identifiers:
        raise torn("the identifier table must have the count in the manifest", path, f"has {len(table.codes)} identifiers")
    if identifier_digest(table.names, {"starts": table.starts, "codes": table.codes}) != manifest.identifiers.content_sha256:
        raise torn("the identifier table must match the manifest's content hash", path, "does not")


def _check_columns(path: str, table: pa.Table, manifest: Manifest) -> None:
    missing = {"row", "groups", *GRID_COLUMNS} - set(table.column_names)
    if missing:
        raise torn("a shard must have the columns row, groups, inputs, labels", path, f"lacks {', '.join(sorted(missing))}")
    for name in GRID_COLUMNS:
        kind = table.schema.field(name).type
        if not pa.types.is_fixed_size_binary(kind) or kind.byte_width != manifest.seq_len:
            raise torn(f"column {name} must hold {manifest.seq_len} bytes a row", path, f"has {kind}")

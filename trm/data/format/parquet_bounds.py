"""What a Parquet file will take in memory, from its footer alone: refused before anything of it is unpacked."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trm.data.format.manifest import IdentifiersInfo, Manifest, ShardInfo
from trm.files.small_parquet import MOST_COLUMNS

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a value of each physical type."""
SLACK_BYTES = 1 << 20
"""Headers of pages, dictionaries of small tables."""
MOST_NAME_BYTES = 1 << 12
"""Of a task's name."""


def fault_of(file: pq.ParquetFile, shard: ShardInfo, manifest: Manifest) -> str | None:
    """What is wrong with a file of a data set by its footer, against the manifest; None: it is as large as it may be."""
    meta = file.metadata
    if meta.num_rows != shard.rows:
        return f"has {meta.num_rows:,} rows, not {shard.rows:,}"
    if meta.num_columns > MOST_COLUMNS:
        return f"has {meta.num_columns} columns, more than {MOST_COLUMNS}"
    if isinstance(shard, IdentifiersInfo):
        return _fault_of_identifiers(meta, manifest)
    widths = []
    for place in range(meta.num_columns):
        column = meta.schema.column(place)
        kind = column.physical_type
        if column.max_repetition_level or (kind not in WIDTHS and kind != "FIXED_LEN_BYTE_ARRAY"):
            return f"has a column {column.name!r:.40} of {kind.lower()}, where grids and numbers belong"
        if kind == "FIXED_LEN_BYTE_ARRAY" and column.length != manifest.seq_len:
            return f"has a column {column.name!r:.40} of {column.length:,} bytes a row, not {manifest.seq_len}"
        widths.append(WIDTHS.get(kind, column.length))
    for number in range(meta.num_row_groups):
        if (rows := meta.row_group(number).num_rows) > manifest.row_group_rows:
            return f"has a row group of {rows:,} rows, more than {manifest.row_group_rows:,}"
    return _fault_of_size(meta, 2 * shard.rows * sum(widths) + SLACK_BYTES * max(meta.num_row_groups, 1))


def _fault_of_identifiers(meta: Any, manifest: Manifest) -> str | None:
    codes = sum(
        meta.row_group(number).column(place).num_values
        for number in range(meta.num_row_groups)
        for place in range(meta.num_columns)
        if meta.schema.column(place).max_repetition_level
    )
    if codes > manifest.num_puzzle_identifiers:
        return f"has {codes:,} identifiers, more than {manifest.num_puzzle_identifiers:,}"
    most = 16 * manifest.num_puzzle_identifiers + 2 * meta.num_rows * (MOST_NAME_BYTES + 8)
    return _fault_of_size(meta, most + SLACK_BYTES)


def _fault_of_size(meta: Any, most_bytes: int) -> str | None:
    claimed = sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups))
    return f"unfolds to {claimed:,} bytes, more than {most_bytes:,}" if claimed > most_bytes else None


def fault_of_names(column: pa.ChunkedArray) -> str | None:
    """What is wrong with a column of names that was read as a dictionary: one name of many rows stands there once."""
    for chunk in column.chunks:
        names = chunk.dictionary if isinstance(chunk, pa.DictionaryArray) else chunk
        longest = max((len(name.as_buffer()) for name in names if name.is_valid), default=0)
        if longest > MOST_NAME_BYTES:
            return f"has a name of {longest:,} bytes, more than {MOST_NAME_BYTES:,}"
    return None

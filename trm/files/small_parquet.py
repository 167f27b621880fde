"""Parquet tables that are read at once: how large they may be, by their footers."""

import pyarrow.parquet as pq

MOST_COLUMNS = 64
MOST_ROWS = 1 << 22
"""Of a small table: scores by puzzle, points of a curve."""


def is_small(file: pq.ParquetFile) -> bool:
    """Whether a table that is read at once has at most `MOST_ROWS` rows of a few numbers."""
    meta = file.metadata
    return bool(meta.num_rows <= MOST_ROWS and meta.num_columns <= MOST_COLUMNS)

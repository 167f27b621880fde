"""Scores a puzzle, as a Parquet file beside a run: what comparisons of two configurations read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from trm.evaluation.scores import Columns
from trm.files.atomic import make_folders, replacing
from trm.files.small_parquet import is_small


def write_puzzles(path: str | Path, puzzles: Columns) -> None:
    """Writes `Evaluation.puzzles` as a Parquet file, a row a puzzle, whole or not at all; makes the folder."""
    make_folders(Path(path).parent)
    with replacing(path) as temporary:
        pq.write_table(pa.table(puzzles), temporary)


def read_puzzles(paths: Sequence[str | Path], metric: str) -> Float64[np.ndarray, "seeds puzzles"] | None:
    """What `write_puzzles` wrote of a metric, a row a file; None when it is not in all of them, for the same puzzles."""
    rows, known = [], None
    for path in paths:
        try:
            file = pq.ParquetFile(path)
            if not is_small(file):
                return None
            columns = file.read(columns=["puzzle", metric]).to_pydict()
        except (OSError, pa.ArrowInvalid, KeyError):
            return None
        if metric not in columns or columns["puzzle"] != (known := known or columns["puzzle"]):
            return None
        rows.append(columns[metric])
    return np.array(rows, dtype=np.float64) if rows else None

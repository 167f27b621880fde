"""The evaluations of a run as a table: a row each, for tools that read tables; `metrics.jsonl` is what a resume reads."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trm.files.atomic import replacing
from trm.training.reporting import RunReport


def write_evaluations(path: Path, reports: Sequence[RunReport]) -> None:
    """Replaces `path`, a Parquet file: step, train_flops, split, label, at (Unix seconds), is_best, the scores by their names.

    And what was measured of training (`training/NAME`) and of time (`seconds/NAME`). A disk that takes none costs the run no more.
    """
    rows = [_row(report) for report in reports]
    names = dict.fromkeys(name for row in rows for name in row)
    with contextlib.suppress(OSError), replacing(path) as temporary:
        pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), temporary)


def _row(report: RunReport) -> dict[str, Any]:
    row: dict[str, Any] = {"step": report.step, "train_flops": report.train_flops, "split": report.split, "label": report.label}
    row |= {"at": report.at, "is_best": report.is_best, **report.scores}
    row |= {f"training/{name}": value for name, value in report.training.items()}
    return row | {f"seconds/{name}": value for name, value in report.seconds.items()}

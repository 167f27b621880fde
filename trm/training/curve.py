"""A run's training curve: a point every so many steps, in a Parquet file that a resumed run goes on with.

The file is written, whole, before every checkpoint and now and then between them. What a run that goes on finds beyond its
checkpoint's step is cut, so that no point is doubled and none is lost; steps on the way to the next point are in the checkpoint.
"""

import contextlib
import math
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trm.files.atomic import make_folders, replacing
from trm.files.small_parquet import is_small
from trm.files.strays import without_strays

POINTS = 200
"""A run that does not say how often has half as many to this many points."""
WRITE_SECONDS = 10.0
"""The file is written between checkpoints at most so often."""
WRITE_SHARE = 0.01
"""And at most so large a share of the time goes into that."""
DIGITS = 7
"""Significant digits of a mean: how sums were grouped, which a stop or another number of workers changes, shows beyond them."""

MEANS = {
    "loss": "loss a row: answer and halting loss together",
    "lm_loss": "answer loss",
    "q_halt_loss": "halting loss",
    "q_continue_loss": "loss of q_continue, where it is learned",
    "grad_norm": "norm of the gradient before it is clipped",
    "cell_accuracy": "share of cells that are right, of rows that halted",
    "exact_accuracy": "share of rows that are right in every cell, of those that halted",
    "q_halt_accuracy": "share of rows that halted whose halting head was right about them",
    "mean_halting_step": "supervision steps after which rows halted",
    "halted_share": "rows that halted, of all rows of the steps",
}
"""Columns that are means over the steps since the point before; no value where no row counted."""
OWN_MEANS = {
    "intermediate_loss": "answer loss of the inner cycles, where training reads them",
}
"""Means likewise of parts that few losses have: columns of the curves that have them."""
COLUMNS = ("step", "train_flops", "at", "rows_per_second", "lr", *MEANS, *OWN_MEANS)
"""`at`: Unix seconds. Clocks (`at`, `rows_per_second`) apart, a column is a function of the run."""


def default_interval(steps: int) -> int:
    """Steps from point to point of a run of so many that does not say."""
    return -(-steps // POINTS)


@dataclass(frozen=True)
class CurveFile:
    """Where a run's points go."""

    path: str | Path
    trial: int | None = None
    """Number of the trial, which becomes the file's first column; None: the run is no trial."""


class Curve:
    """The points of one run so far; with a path, in a file too, which only the leader of a gang should have."""

    def __init__(self, path: str | Path | None = None, *, until_step: int = 0, trial: int | None = None) -> None:
        """The curve as `path` has it up to `until_step`; empty where there is no such file or it cannot be read.

        With a `trial` the file has a column of that number first.
        """
        self._path, self._trial = None if path is None else Path(path), trial
        self._columns = {name: array("d") for name in COLUMNS}
        self._due = time.monotonic() + WRITE_SECONDS
        self._is_written = True
        if self._path is not None:
            self._read(self._path, until_step)

    def __len__(self) -> int:
        return len(self._columns["step"])

    def add(self, values: Mapping[str, float]) -> None:
        """Adds a point of `COLUMNS`; a mean that is missing becomes no value."""
        for name, column in self._columns.items():
            value = values.get(name, math.nan)
            column.append(_rounded(value) if name in MEANS or name in OWN_MEANS else value)
        self._is_written = False
        if time.monotonic() >= self._due:
            self.write()

    def table(self) -> pa.Table:
        """The points as a table; `step` is a whole number, and of `OWN_MEANS` there is what the loss has."""
        columns = {name: pa.array(column, pa.float64(), from_pandas=True) for name, column in self._columns.items()}
        columns["step"] = columns["step"].cast(pa.int64())
        columns = {name: column for name, column in columns.items() if name not in OWN_MEANS or column.null_count < len(column)}
        if self._trial is not None:
            columns = {"trial": pa.array([self._trial] * len(self), pa.int64()), **columns}
        return pa.table(columns)

    def write(self) -> None:
        """Replaces the file, durably, where there is something new; a disk that takes none costs the run nothing but that."""
        if self._path is None or self._is_written:
            return
        start = time.monotonic()
        with contextlib.suppress(OSError):
            make_folders(self._path.parent)
            with replacing(self._path) as path:
                pq.write_table(self.table(), path)
            self._is_written = True
        done = time.monotonic()
        self._due = done + max(WRITE_SECONDS, (done - start) / WRITE_SHARE)

    def _read(self, path: Path, until_step: int) -> None:
        known = read_curve(path)
        if known is None:
            return
        kept = known.filter(pc.less_equal(known["step"], until_step))
        self._is_written = len(kept) == len(known)
        for name, column in self._columns.items():
            values = kept[name].cast(pa.float64()).to_pylist() if name in kept.column_names else [None] * len(kept)
            column.extend(math.nan if value is None else value for value in values)


def read_curve(path: str | Path) -> pa.Table | None:
    """The points in a curve's file; None where there is none, or none that is a curve and can be read."""
    try:
        with pq.ParquetFile(path) as file:
            if not is_small(file) or not _is_curve(file.schema_arrow):
                return None
            found = file.read()
    except (OSError, pa.ArrowException):
        return None
    return None if found["step"].null_count or found["at"].null_count else found


def _is_curve(schema: pa.Schema) -> bool:
    kinds = {field.name: field.type for field in schema}
    if not {"step", "at"} <= kinds.keys() <= {"trial", *COLUMNS}:
        return False
    return all(pa.types.is_int64(kind) if name in ("step", "trial") else pa.types.is_float64(kind) for name, kind in kinds.items())


def write_together(folder: Path, path: Path) -> None:
    """Replaces `path` by one table of all curves in `folder`, in the order of their names; nothing where there is none."""
    found = [table for file in without_strays(folder.glob("*.parquet")) if (table := read_curve(file)) is not None and len(table)]
    if found:
        with replacing(path) as temporary:
            pq.write_table(pa.concat_tables(found, promote_options="default"), temporary)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

"""What a network answered, row by row, as a Parquet file that is written batch by batch: memory stays flat."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64, UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.data.batches.split import Split
from trm.evaluation.scores import Columns
from trm.files.atomic import make_folders, replacing

GROUP_CELLS = 1 << 22
"""Cells of a row group, but for the last: as many whole rows as have so many."""


@dataclass(frozen=True, eq=False)
class AnsweredBatch:
    """A batch of rows and what was answered in the end."""

    batch: EvaluationBatch
    cells: UInt8[np.ndarray, "batch cells"]
    halting_logits: Float64[np.ndarray, " batch"]
    steps: Int64[np.ndarray, " batch"]
    """Supervision steps after which each row's answer is."""
    columns: Columns
    """What the answers are worth."""
    numbers: Int64[np.ndarray, " batch"]
    """Which of a row's several answers each is; 0 where it has one."""


class _Groups:
    """Rows as row groups of one number of rows, wherever the batches that bring them end."""

    def __init__(self, writer: pq.ParquetWriter, cells: int) -> None:
        self._writer, self.rows = writer, -(-GROUP_CELLS // cells)
        self._waiting: list[pa.RecordBatch] = []
        self._count = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Writes the row groups that are full."""
        self._waiting.append(batch)
        self._count += len(batch)
        if self._count >= self.rows:
            self.flush(self.rows)

    def flush(self, least: int = 1) -> None:
        """Writes what waits, but for a rest of fewer than `least` rows."""
        if not self._waiting:
            return
        table, start = pa.Table.from_batches(self._waiting).combine_chunks(), 0
        while len(table) - start >= least:
            self._writer.write_table(table.slice(start, self.rows), row_group_size=self.rows)
            start = min(start + self.rows, len(table))
        self._waiting = table.slice(start).to_batches() if start < len(table) else []
        self._count = len(table) - start


class AnswersWriter:
    """Takes batches as they are answered; a callable, so that an evaluation need not know of files.

    Rows wait for their row group in arrays that are made once. Were each batch's own kept, they would hold up a piece of the heap
    between the batches' latents, which then grew by 11 KB a row of 81 cells.
    """

    def __init__(self, writer: pq.ParquetWriter, split: Split, names: Sequence[str] | None) -> None:
        self._groups, self._split, self._names = _Groups(writer, split.inputs.shape[1]), split, names
        self._waiting: Columns = {}
        self._count = 0

    def __call__(self, answered: AnsweredBatch) -> None:
        """Writes row groups when there is enough for one."""
        columns, rows, start = self._columns(answered), len(answered.cells), 0
        while start < rows:
            taken = min(rows - start, self._groups.rows - self._count)
            for name, values in columns.items():
                if name not in self._waiting:
                    self._waiting[name] = np.empty((self._groups.rows, *values.shape[1:]), dtype=values.dtype)
                self._waiting[name][self._count : self._count + taken] = values[start : start + taken]
            self._count, start = self._count + taken, start + taken
            if self._count == self._groups.rows:
                self._hand_on()

    def flush(self) -> None:
        """Writes what waits."""
        if self._count:
            self._hand_on()
        self._groups.flush()

    def _hand_on(self) -> None:
        """What waits as a row group, which is written before the arrays are filled again, or the last rows of all."""
        own = {name: column[: self._count] for name, column in self._waiting.items()}
        names = [None] * self._count if self._names is None else [self._names[number] for number in own["puzzle"]]
        cells = own.pop("cells")
        kind = _cells_type(cells.shape[1])
        arrays = {name: pa.array(column) for name, column in own.items()}
        arrays["name"] = pa.array(names, type=pa.string())
        arrays["cells"] = pa.FixedSizeBinaryArray.from_buffers(kind, len(cells), [None, pa.py_buffer(cells)])
        self._groups.add(pa.RecordBatch.from_pydict(arrays, schema=schema_of(cells.shape[1])))
        self._count = 0

    def _columns(self, answered: AnsweredBatch) -> Columns:
        batch = answered.batch
        return {
            "row": batch.rows,
            "puzzle": self._split.groups[batch.rows],
            "identifier": batch.batch.puzzle_identifiers,
            "augmentation": batch.augmentations,
            "answer": answered.numbers.astype(np.int32),
            "step": answered.steps,
            "cells": answered.cells,
            "halting_logit": answered.halting_logits,
            "is_exact": answered.columns["is_exact"],
            "loss": answered.columns["loss"],
        }


@contextmanager
def writing_answers(path: Path, split: Split, names: Sequence[str] | None) -> Iterator[AnswersWriter]:
    """What batches of `split` are handed to; the file is there, whole, when the block ends well."""
    make_folders(path.parent)
    with replacing(path) as temporary, writing_part(temporary, split, names) as answers:
        yield answers


def part_of(path: Path, rank: int) -> Path:
    """Where one of several workers writes its part of the file."""
    return path.with_name(f".{path.name}.part-{rank}.tmp")


@contextmanager
def writing_part(path: Path, split: Split, names: Sequence[str] | None) -> Iterator[AnswersWriter]:
    """As `writing_answers`, for a name that says that the file is unfinished."""
    make_folders(path.parent)
    cells = split.inputs.shape[1]
    with _parquet(path, cells) as writer:
        answers = AnswersWriter(writer, split, names)
        yield answers
        answers.flush()


def put_together(path: Path, parts: Sequence[Path], cells: int) -> None:
    """Makes one file of parts, in order, which go: to the byte what one writer makes that is handed all batches in order."""
    with replacing(path) as temporary, _parquet(temporary, cells) as writer:
        groups = _Groups(writer, cells)
        for part in parts:
            with pq.ParquetFile(part, pre_buffer=False) as file:
                for number in range(file.num_row_groups):
                    for batch in file.read_row_group(number, use_threads=False).to_batches():
                        groups.add(batch)
        groups.flush()
    for part in parts:
        part.unlink()


def _parquet(path: Path, cells: int) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema_of(cells), compression="zstd")


def schema_of(cells: int) -> pa.Schema:
    """The columns of a file of answers of so many cells; `cells` holds a token a byte."""
    kinds = {
        "row": pa.int64(),
        "puzzle": pa.int32(),
        "name": pa.string(),
        "identifier": pa.int32(),
        "augmentation": pa.int32(),
        "answer": pa.int32(),
        "step": pa.int64(),
        "cells": _cells_type(cells),
        "halting_logit": pa.float64(),
        "is_exact": pa.bool_(),
        "loss": pa.float64(),
    }
    return pa.schema(list(kinds.items()))


AnswerKey = tuple[int, int, int]
"""Row, identifier, and which of several answers to these."""


def cells_of(path: Path, wanted: Sequence[AnswerKey]) -> dict[AnswerKey, np.ndarray]:
    """The predicted cells of some answers, from a file of answers; a row group at a time."""
    keys = set(wanted)
    found: dict[AnswerKey, np.ndarray] = {}
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, columns=["row", "identifier", "answer", "cells"])
            places = zip(*(group[name].to_pylist() for name in ("row", "identifier", "answer")), strict=True)
            here = [(place, key) for place, key in enumerate(places) if key in keys]
            cells = cells_in(group)
            found |= {key: cells[place].copy() for place, key in here}
    return found


def cells_in(group: pa.Table) -> UInt8[np.ndarray, "rows cells"]:
    """The predicted cells of some rows of a file of answers."""
    width = group.schema.field("cells").type.byte_width
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype=np.uint8, count=len(chunk) * width, offset=chunk.offset * width)
        for chunk in group["cells"].chunks
    ]
    return np.concatenate([np.zeros(0, dtype=np.uint8), *parts]).reshape(-1, width)


def _cells_type(cells: int) -> pa.DataType:
    return pa.binary(cells)

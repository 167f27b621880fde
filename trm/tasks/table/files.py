"""Rows of tables, whatever file they stand in: CSV, JSON, JSON lines, npz, Parquet."""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trm.data.format import storage
from trm.errors import DatasetError
from trm.files.compressed import MOST_TIMES, opened
from trm.files.json_files import parse_json
from trm.tasks.making.delimited import HEAD_BYTES, layout_of, places_of
from trm.tasks.making.puzzle_files import CSV, has_ending

NEEDED = ("question", "answer")
ALSO = ("identifier", "group", "split")
LINES = ("jsonl", "ndjson")
ENDINGS = (*CSV, "json", *LINES, "npz", "parquet")
MOST_BYTES = 1 << 28
"""Of a file that is read at once, of an array in an archive, and of one cell of text."""
REMEDY = "give a CSV, JSON, JSON lines, npz or Parquet file, or the folder of train, validation and test files, as path"


@dataclass(frozen=True)
class Row:
    """One puzzle as a file has it."""

    number: int
    """Its place in the file, from 1, a header not counted."""
    values: Mapping[str, Any]
    """Meaning -> what stands there; None, or no such meaning, where nothing does."""


def read_rows(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a table; `columns` says what the file calls a meaning. Raises DatasetError naming the file, and the row."""
    try:
        if has_ending(path, CSV):
            yield from _of_csv(path, columns)
        elif has_ending(path, LINES):
            yield from _of_lines(path, columns)
        elif has_ending(path, ["json"]):
            yield from _of_json(path, columns)
        elif path.lower().endswith(".npz"):
            yield from _of_archive(path, columns)
        elif path.lower().endswith(".parquet"):
            yield from _of_parquet(path, columns)
        else:
            raise DatasetError(f"a table must be of a known kind: {path} ends with none of {', '.join(ENDINGS)}", remedy=REMEDY)
    except DatasetError:
        raise
    except FileNotFoundError as error:
        raise DatasetError(f"a table must be within reach: {path} is not there", remedy=REMEDY) from error
    except Exception as error:  # foreign file systems and formats raise what they like
        raise DatasetError(f"a table must be readable: {path} ({error})", remedy=REMEDY) from error


def _of_csv(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    with opened(path) as file:
        layout = layout_of(file.read(HEAD_BYTES), path, NEEDED, ALSO, columns)
    csv.field_size_limit(MOST_BYTES)
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        quoting: Any = csv.QUOTE_MINIMAL if layout.is_quoted else csv.QUOTE_NONE
        reader = csv.reader(text, delimiter=layout.delimiter, quoting=quoting, strict=layout.is_quoted)
        next(row for row in reader if row)
        number = 0
        for row in reader:
            if not row:
                continue
            number += 1
            if len(row) != len(layout.header):
                raise DatasetError(
                    f"a row must have as many columns as the header, {len(layout.header)}: {path} row {number} has {len(row)}",
                    remedy="mend or remove the row; a field that holds the delimiter stands in quotation marks",
                )
            yield Row(number, {meaning: row[place] for meaning, place in layout.places.items()})


def _of_lines(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    with opened(path) as file:
        number = 0
        while line := file.readline(MOST_BYTES):
            if line.strip():
                number += 1
                value = parse_json(line, f"{path} row {number}", dict, error=DatasetError, remedy="mend or remove the row")
                yield _row(value, number, path, columns)


def _of_json(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    """A list of objects, or an object of lists."""
    with opened(path) as file:
        parts, size = [], 0
        while part := file.read(1 << 20):
            size += len(part)
            if size > MOST_BYTES:
                raise DatasetError(
                    f"a JSON file must have at most {MOST_BYTES:,} bytes: {path} has more", remedy="write JSON lines"
                )
            parts.append(part)
    value: Any = parse_json(b"".join(parts), path, object, error=DatasetError, remedy=REMEDY)
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        if len(sizes := sorted({len(column) for column in value.values()})) > 1:
            raise DatasetError(f"columns must be of one length: {path} has {sizes[0]} to {sizes[-1]} rows", remedy="mend the file")
        value = [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise DatasetError(f"a JSON table must be a list of objects, or an object of lists: {path} is neither", remedy=REMEDY)
    for number, row in enumerate(value, 1):
        yield _row(row, number, path, columns)


def _row(value: Any, number: int, path: str, columns: Mapping[str, str]) -> Row:
    if not isinstance(value, dict):
        raise DatasetError(f"a row must be an object: {path} row {number} is none", remedy="mend or remove the row")
    places = places_of(list(value), f"{path} row {number}", NEEDED, ALSO, columns)
    names = list(value)
    return Row(number, {meaning: value[names[place]] for meaning, place in places.items()})


def _of_archive(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    """Arrays of one length by name; nothing is unpickled, and headers that claim more than is there are refused."""
    content = storage.read_bytes(path, what="table", remedy=REMEDY)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        places = places_of(names, path, NEEDED, ALSO, columns)
        arrays = {meaning: _array(archive, archive.namelist()[place], path) for meaning, place in places.items()}
    counts = {meaning: len(array) for meaning, array in arrays.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{names[places[meaning]]} {count}" for meaning, count in counts.items())
        raise DatasetError(f"arrays must be of one length: {path} has {said}", remedy="mend the file")
    for number in range(counts["question"]):
        yield Row(number + 1, {meaning: array[number] for meaning, array in arrays.items()})


def _array(archive: zipfile.ZipFile, name: str, path: str) -> np.ndarray:
    info = archive.getinfo(name)
    if info.file_size > MOST_TIMES * max(info.compress_size, 1) + (1 << 24):
        raise DatasetError(
            f"an array must unfold to at most {MOST_TIMES} times its size: {name} in {path} claims {info.file_size:,} bytes of "
            f"{info.compress_size:,}",
            remedy="write it again",
        )
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
        claimed = int(np.prod([int(side) for side in shape], dtype=object)) * kind.itemsize if shape else 0
        if kind.hasobject or claimed > info.file_size or not shape:
            raise DatasetError(
                f"an array must hold numbers or texts, as many as it says: {name} in {path} says {kind} {shape} and has "
                f"{info.file_size:,} bytes",
                remedy="write it again",
            )
    with archive.open(name) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _of_parquet(path: str, columns: Mapping[str, str]) -> Iterator[Row]:
    with fsspec.open(path, "rb") as file:
        table = pq.ParquetFile(pa.PythonFile(file, mode="r"), pre_buffer=False)
        stored = storage.size(path, what="table", remedy=REMEDY)
        claimed = sum(table.metadata.row_group(number).total_byte_size for number in range(table.metadata.num_row_groups))
        if claimed > MOST_TIMES * stored + (1 << 24) or table.metadata.num_rows > stored:
            raise DatasetError(
                f"a table must unfold to at most {MOST_TIMES} times its size, and have a byte a row: {path} claims "
                f"{table.metadata.num_rows:,} rows and {claimed:,} bytes in {stored:,}",
                remedy="write it again",
            )
        names = table.schema_arrow.names
        places = places_of(names, path, NEEDED, ALSO, columns)
        wanted = {names[place]: meaning for meaning, place in places.items()}
        number = 0
        for batch in table.iter_batches(batch_size=1 << 12, columns=list(wanted), use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield Row(number, {wanted[name]: value for name, value in row.items()})

"""The published CSV files of Sudoku and mazes: columns source, question, answer, rating, a puzzle a line, nothing quoted.

A quotation mark is a character like any other, or a stray one would swallow the lines after it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from jaxtyping import Bool, Int32, Int64, UInt8

from trm.data.builders.faults import Faults
from trm.data.builders.twins import twins
from trm.errors import DatasetError

BOARDS = ("question", "answer")
COLUMNS = [*BOARDS, "rating"]
FOREIGN = 255
BLOCK_BYTES = 1 << 23
REMEDY = "give the folder of the published train.csv and test.csv as path"


@dataclass(frozen=True, eq=False)
class PublishedRows:
    """Puzzles of one file."""

    path: str
    questions: UInt8[np.ndarray, "rows cells"]
    answers: UInt8[np.ndarray, "rows cells"]
    ratings: Int32[np.ndarray, "rows"]
    numbers: Int64[np.ndarray, "rows"]
    """Places in the file, from 1, the header not counted."""

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> "PublishedRows":
        """Some of the rows, by number or by mask."""
        columns = (column[rows] for column in (self.questions, self.answers, self.ratings, self.numbers))
        return PublishedRows(self.path, *columns)


@dataclass(frozen=True)
class CellText:
    """How a file writes a board."""

    cells: int
    """Characters of a question and of an answer."""
    codes: dict[str, int]
    """What each character stands for, below 255."""
    kind: str
    """The characters, in words."""

    def table(self) -> UInt8[np.ndarray, "256"]:
        """Code of each byte, `FOREIGN` for others."""
        table = np.full(256, FOREIGN, dtype=np.uint8)
        for character, code in self.codes.items():
            table[ord(character)] = code
        return table


def read_published(path: str, text: CellText, faults: Faults) -> Iterator[PublishedRows]:
    """The file's rows, a few thousand at a time, those that are no boards refused or left out by `faults`.

    Raises DatasetError naming the file and, when it is a row that is bad, the row.
    """
    ragged: list[int] = []  # rows that Arrow could not split into columns
    told = last = 0
    try:
        with fsspec.open(path, "rb") as file:
            for batch in _batches(file, ragged):
                told = _tell_ragged(path, ragged, told, faults)
                numbers = np.arange(last + 1, last + 1 + batch.num_rows)  # ragged rows end the reading where numbers matter
                last += batch.num_rows
                yield _boards(batch, path, numbers, text, faults)
            _tell_ragged(path, ragged, told, faults)
    except DatasetError:
        raise
    except FileNotFoundError as error:
        raise DatasetError(
            f"a published file must be within reach: {path} is not there, or its server is not", remedy=REMEDY
        ) from error
    except Exception as error:  # foreign file systems raise what they like
        raise DatasetError(f"a published file must be readable CSV: {path} ({error})", remedy=REMEDY) from error


def joined(parts: Iterable[PublishedRows], path: str) -> PublishedRows:
    """All rows of a file. Raises DatasetError when there are none."""
    several = [part for part in parts if len(part)]
    if not several:
        raise DatasetError(f"a published file must hold puzzles that fit: {path} has none", remedy=REMEDY)
    return concatenated(several)


def concatenated(parts: Sequence[PublishedRows]) -> PublishedRows:
    """The rows of several parts of one file."""
    names = ("questions", "answers", "ratings", "numbers")
    return PublishedRows(parts[0].path, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def not_in_both(rows: PublishedRows, tests: PublishedRows, faults: Faults) -> Bool[np.ndarray, "rows"]:
    """Which training questions are no test questions, letter by letter; a bad row is named with its twin."""
    twin = twins(rows.questions, tests.questions)
    if len(doubled := np.flatnonzero(twin >= 0)):
        row, test_row = rows.numbers[doubled[0]], tests.numbers[twin[doubled[0]]]
        value = f"{rows.path} row {row}, which is {tests.path} row {test_row}, breaks that"
        faults.found("a puzzle must not be in both train and test", value, remedy="remove either row", count=len(doubled))
    return twin < 0


def _batches(file: Any, ragged: list[int]) -> Iterator[pa.RecordBatch]:
    def note(row: Any) -> str:
        ragged.append(row.number - 1)  # Arrow counts the header
        return "skip"

    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),  # only one thread numbers the rows
        parse_options=pyarrow.csv.ParseOptions(quote_char=False, invalid_row_handler=note),
        convert_options=pyarrow.csv.ConvertOptions(include_columns=COLUMNS, column_types=dict.fromkeys(COLUMNS, pa.binary())),
    )
    yield from (batch for batch in reader if batch.num_rows)


def _tell_ragged(path: str, ragged: list[int], told: int, faults: Faults) -> int:
    if len(ragged) > told:
        rule, value = "a row must have as many columns as the header", f"{path} row {ragged[told]} breaks that"
        faults.found(rule, value, remedy="mend or remove the row", count=len(ragged) - told)
    return len(ragged)


def _boards(batch: pa.RecordBatch, path: str, numbers: np.ndarray, text: CellText, faults: Faults) -> PublishedRows:
    """The rows of a batch that are boards of the right size with a rating."""
    for name in BOARDS:
        lengths = np.diff(_offsets(batch.column(name)))
        good = faults.good(f"a {name} must have {text.cells} characters", lengths != text.cells, path, numbers)
        batch, numbers = batch.filter(pa.array(good)), numbers[good]
    questions, answers = (text.table()[_bytes(batch.column(name))].reshape(-1, text.cells) for name in BOARDS)
    rows = PublishedRows(path, questions, answers, _ratings(batch.column("rating")), numbers)
    for name, cells in (("question", "questions"), ("answer", "answers")):
        is_foreign = (getattr(rows, cells) == FOREIGN).any(axis=1)
        rows = rows.take(faults.good(f"a {name} must hold {text.kind}", is_foreign, path, rows.numbers))
    return rows.take(faults.good("a rating must be a whole number", rows.ratings < 0, path, rows.numbers))


def _offsets(column: pa.BinaryArray) -> np.ndarray:
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


def _bytes(column: pa.BinaryArray) -> np.ndarray:
    offsets, data = _offsets(column), column.buffers()[2]
    return np.frombuffer(data if data is not None else b"", dtype=np.uint8)[offsets[0] : offsets[-1]]


def _ratings(column: pa.BinaryArray) -> np.ndarray:
    """Whole numbers, -1 where there is none."""
    try:
        numbers = pyarrow.compute.cast(pyarrow.compute.cast(column, pa.string()), pa.int32())
        return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.int32)
    except pa.ArrowInvalid:
        texts = column.to_pylist()
        return np.array([int(text) if text.isdigit() and len(text) < 10 else -1 for text in texts], dtype=np.int32)

"""CSV files of Sudoku and mazes, a puzzle a line, as the field publishes them: the columns by name, in any order and layout.

Where nothing is quoted, a quotation mark is a character like any other, or a stray one would swallow the lines after it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from jaxtyping import Bool, Float64, Int64, UInt8

from trm.errors import DatasetError
from trm.files.compressed import opened
from trm.tasks.making.bad_rows import Faults
from trm.tasks.making.delimited import HEAD_BYTES, Layout, layout_of
from trm.tasks.making.equal_rows import equal_row, first_equal

BOARDS = {"question": "a question", "answer": "an answer"}
RATING = "rating"
FOREIGN = 255
BLOCK_BYTES = 1 << 23
REMEDY = "give the folder of train.csv and test.csv, or one file, as path"
DOUBLED = "a puzzle that stands in its file before"


@dataclass(frozen=True, eq=False)
class PublishedRows:
    """Puzzles of one file."""

    path: str
    questions: UInt8[np.ndarray, "rows cells"]
    answers: UInt8[np.ndarray, "rows cells"]
    ratings: Float64[np.ndarray, "rows"]
    """How hard the file says they are; NaN where it has no such column."""
    numbers: Int64[np.ndarray, "rows"]
    """Places in the file, from 1, the header not counted."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_rated(self) -> bool:
        """Whether every row has a rating."""
        return not np.isnan(self.ratings).any()

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
    sizes: Mapping[int, str]
    """Other numbers of characters that boards have -> what to set for them."""

    def table(self) -> UInt8[np.ndarray, "256"]:
        """Code of each byte, `FOREIGN` for others."""
        table = np.full(256, FOREIGN, dtype=np.uint8)
        for character, code in self.codes.items():
            table[ord(character)] = code
        return table


def read_published(path: str, text: CellText, faults: Faults, columns: Mapping[str, str]) -> Iterator[PublishedRows]:
    """The file's rows, a few thousand at a time, those that are no boards refused or left out by `faults`.

    `columns` names what the file calls question, answer and rating, where `delimited.NAMES` does not know. Raises DatasetError
    naming the file and, when it is a row that is bad, the row.
    """
    ragged: list[int] = []  # rows that Arrow could not split into columns
    told = last = 0
    try:
        with opened(path) as file:
            layout = layout_of(file.read(HEAD_BYTES), path, list(BOARDS), [RATING], columns)
        with opened(path) as file:
            for batch in _batches(file, layout, ragged):
                told = _tell_ragged(path, ragged, told, faults)
                numbers = np.arange(last + 1, last + 1 + batch.num_rows)  # ragged rows end the reading where numbers matter
                last += batch.num_rows
                yield _boards(batch, path, numbers, text, faults)
            _tell_ragged(path, ragged, told, faults)
    except DatasetError:
        raise
    except FileNotFoundError as error:
        raise DatasetError(
            f"a file of puzzles must be within reach: {path} is not there, or its server is not", remedy=REMEDY
        ) from error
    except Exception as error:  # foreign file systems raise what they like
        raise DatasetError(f"a file of puzzles must be readable CSV: {path} ({error})", remedy=REMEDY) from error


def joined(parts: Iterable[PublishedRows], path: str) -> PublishedRows:
    """All rows of a file. Raises DatasetError when there are none."""
    several = [part for part in parts if len(part)]
    if not several:
        raise DatasetError(f"a file of puzzles must hold some that fit: {path} has none", remedy=REMEDY)
    return concatenated(several)


def concatenated(parts: Sequence[PublishedRows]) -> PublishedRows:
    """The rows of several parts of one file."""
    names = ("questions", "answers", "ratings", "numbers")
    return PublishedRows(parts[0].path, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def each_once(rows: PublishedRows, faults: Faults) -> PublishedRows:
    """The rows without those whose question stands before them in the file, which are counted as left out.

    Raises DatasetError, unless bad rows are skipped, when two rows answer one question in two ways: then neither is kept.
    """
    first = first_equal(rows.questions)
    later = np.flatnonzero(first != np.arange(len(rows)))
    if not len(later):
        return rows
    is_other = (rows.answers[later] != rows.answers[first[later]]).any(axis=1)
    is_left_out = np.zeros(len(rows), dtype=bool)
    is_left_out[later] = True
    if is_other.any():
        row, before = later[is_other][0], first[later[is_other][0]]
        value = f"{rows.path} rows {rows.numbers[before]} and {rows.numbers[row]} have one question and two answers"
        contested = np.isin(first, first[later[is_other]])
        faults.found("a question must have one answer", value, remedy="remove the wrong row", count=int(contested.sum()))
        is_left_out |= contested
    if doubled := int((~np.isin(first[later], first[later[is_other]])).sum()):
        faults.skipped[DOUBLED] += doubled
    return rows.take(~is_left_out)


def not_in_both(rows: PublishedRows, tests: PublishedRows, faults: Faults) -> Bool[np.ndarray, "rows"]:
    """Which training questions are no test questions, letter by letter; a bad row is named with its twin."""
    twin = equal_row(rows.questions, tests.questions)
    if len(doubled := np.flatnonzero(twin >= 0)):
        row, test_row = rows.numbers[doubled[0]], tests.numbers[twin[doubled[0]]]
        value = f"{rows.path} row {row}, which is {tests.path} row {test_row}, breaks that"
        faults.found("a puzzle must not be in both train and test", value, remedy="remove either row", count=len(doubled))
    return twin < 0


def _batches(file: Any, layout: Layout, ragged: list[int]) -> Iterator[pa.RecordBatch]:
    def note(row: Any) -> str:
        ragged.append(row.number - 1)  # Arrow counts the header
        return "skip"

    names = [str(place) for place in range(len(layout.header))]
    wanted = {str(place): meaning for meaning, place in layout.places.items()}
    reader = pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(  # only one thread numbers the rows
            use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=layout.blank_lines + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char='"' if layout.is_quoted else False,
            newlines_in_values=layout.is_quoted,
            invalid_row_handler=note,
        ),
        convert_options=pyarrow.csv.ConvertOptions(include_columns=list(wanted), column_types=dict.fromkeys(wanted, pa.binary())),
    )
    for batch in reader:
        if batch.num_rows:
            yield batch.rename_columns([wanted[name] for name in batch.schema.names])


def _tell_ragged(path: str, ragged: list[int], told: int, faults: Faults) -> int:
    if len(ragged) > told:
        rule, value = "a row must have as many columns as the header", f"{path} row {ragged[told]} breaks that"
        faults.found(rule, value, remedy="mend or remove the row", count=len(ragged) - told)
    return len(ragged)


def _boards(batch: pa.RecordBatch, path: str, numbers: np.ndarray, text: CellText, faults: Faults) -> PublishedRows:
    """The rows of a batch that are boards of the right size with a rating, if the file has any."""
    for name, one in BOARDS.items():
        if " " not in text.codes:
            batch = _without_blanks(batch, name, text.cells)
        lengths = np.diff(_offsets(batch.column(name)))
        is_wrong = lengths != text.cells
        if len(lengths) and numbers[0] == 1 and (other := text.sizes.get(int(lengths[0]))) is not None:
            raise DatasetError(
                f"{one} must have {text.cells} characters: the first of {path} has {lengths[0]}", remedy=f"set {other} for those"
            )
        good = faults.good(f"{one} must have {text.cells} characters", is_wrong, path, numbers)
        batch, numbers = batch.filter(pa.array(good)), numbers[good]
    questions, answers = (text.table()[_bytes(batch.column(name))].reshape(-1, text.cells) for name in BOARDS)
    rows = PublishedRows(path, questions, answers, _ratings(batch), numbers)
    for name, cells in (("question", "questions"), ("answer", "answers")):
        is_foreign = (getattr(rows, cells) == FOREIGN).any(axis=1)
        rows = rows.take(faults.good(f"{BOARDS[name]} must hold {text.kind}", is_foreign, path, rows.numbers))
    if RATING not in batch.schema.names:
        return rows
    return rows.take(faults.good("a rating must be a number from 0 on", ~(rows.ratings >= 0), path, rows.numbers))


def _without_blanks(batch: pa.RecordBatch, name: str, cells: int) -> pa.RecordBatch:
    """The batch without blanks and ends of lines in a column of boards, where some are not of the right length."""
    column = batch.column(name)
    if (np.diff(_offsets(column)) == cells).all():
        return batch
    plain = pyarrow.compute.replace_substring_regex(column, pattern=r"\s+", replacement="")
    return batch.set_column(batch.schema.get_field_index(name), name, plain)


def _offsets(column: pa.BinaryArray) -> np.ndarray:
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]


def _bytes(column: pa.BinaryArray) -> np.ndarray:
    offsets, data = _offsets(column), column.buffers()[2]
    return np.frombuffer(data if data is not None else b"", dtype=np.uint8)[offsets[0] : offsets[-1]]


def _ratings(batch: pa.RecordBatch) -> np.ndarray:
    """Finite numbers, NaN where there is none."""
    if RATING not in batch.schema.names:
        return np.full(batch.num_rows, np.nan)
    column = batch.column(RATING)
    try:
        numbers = pyarrow.compute.cast(pyarrow.compute.cast(column, pa.string()), pa.float64()).to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in column.to_pylist()], dtype=np.float64)


def _number(text: bytes) -> float:
    try:
        number = float(text)
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan

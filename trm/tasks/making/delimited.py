"""How a delimited text file is written: what separates its columns, whether they are quoted, and which of them is what."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.config.messages import nearest
from trm.errors import DatasetError

DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1 << 16
NAMES: dict[str, tuple[str, ...]] = {
    "question": ("question", "quiz", "quizze", "puzzle", "problem", "input", "unsolved", "board"),
    "answer": ("answer", "solution", "solved", "output", "label", "target"),
    "rating": ("rating", "difficulty"),
    "identifier": ("identifier", "puzzleidentifier", "task", "taskid"),
    "group": ("group", "groupid"),
    "split": ("split", "subset", "fold"),
}
"""What columns of each meaning are called, in lower case, without a plural's s, spaces and underscores."""
BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Layout:
    """The header of a file, and where in it each wanted column stands."""

    delimiter: str
    is_quoted: bool
    header: tuple[str, ...]
    places: Mapping[str, int]
    """Meaning -> column, from 0."""
    blank_lines: int = 0
    """Before the header."""


def layout_of(
    head: bytes, path: str, needed: Sequence[str], also: Sequence[str] = (), columns: Mapping[str, str] | None = None
) -> Layout:
    """The layout of a file that begins with `head`; columns of the meanings `also` may be missing.

    `columns` says what the file calls a meaning; others are known by `NAMES`. Raises DatasetError that says which columns are
    there when one is missing, stands there twice, or could be either of two.
    """
    if head.startswith(BOMS):
        raise DatasetError(f"a table must be UTF-8 text: {path} is UTF-16", remedy="save it as CSV in UTF-8")
    text = head.decode("utf-8-sig", "replace")
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise DatasetError(f"a table must have a line that names its columns: {path} is empty", remedy="give another file")
    delimiter = _delimiter(lines[0], columns or {})
    is_quoted = _is_quoted(lines, delimiter, is_cut=len(head) >= HEAD_BYTES)
    fields = next(csv.reader([lines[0]], delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE))
    header = tuple(field.strip() for field in fields)
    blank = next(number for number, line in enumerate(text.split("\n")) if line.strip())
    return Layout(delimiter, is_quoted, header, places_of(header, path, needed, also, columns or {}), blank)


def places_of(
    header: Sequence[str], path: str, needed: Sequence[str], also: Sequence[str], columns: Mapping[str, str]
) -> dict[str, int]:
    """Where the columns of each meaning stand in the header. Raises DatasetError as `layout_of`."""
    there = f"{path} has the columns {', '.join(_shown(name) for name in header)}"
    places: dict[str, int] = {}
    for meaning in (*needed, *also):
        if (named := columns.get(meaning)) is not None:
            found = [place for place, name in enumerate(header) if name == named]
            found = found or [place for place, name in enumerate(header) if name.casefold() == named.strip().casefold()]
            if not found:
                near = nearest(named, [name for name in header if name])
                remedy = f"did you mean {near}?" if near else "name one of them"
                raise DatasetError(f"columns.{meaning} must be a column of the file: {named!r} is none, {there}", remedy=remedy)
        else:
            found = [place for place, name in enumerate(header) if _plain(name) in NAMES[meaning] and name not in columns.values()]
        if meaning in also:  # the first of the names that it may have
            found = (
                [
                    place
                    for place in found
                    if _plain(header[place]) == min(map(_plain, (header[p] for p in found)), key=NAMES[meaning].index)
                ]
                if meaning not in columns
                else found
            )
        if len(found) > 1:
            names = [header[place] for place in found]
            is_doubled = len({name.casefold() for name in names}) < len(names)
            raise DatasetError(
                f"one column must hold the {meaning}: {there}, of which {' and '.join(map(_shown, names))} could be it",
                remedy="rename one of them" if is_doubled else f"say which with columns: {{{meaning}: {names[0]}}}",
            )
        if not found and meaning in needed:
            raise DatasetError(
                f"a table must have the columns {' and '.join(needed)}: {there}, and none is known as the {meaning}",
                remedy=f"say which with columns: {{{meaning}: NAME}}",
            )
        places |= {meaning: found[0]} if found else {}
    twice = [place for place, count in Counter(places.values()).items() if count > 1]
    if twice:
        raise DatasetError(f"a column must have one meaning: {header[twice[0]]} of {path} has two", remedy="mend columns")
    return places


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name.casefold()).removesuffix("s")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:40]}...")


def _delimiter(line: str, columns: Mapping[str, str]) -> str:
    """The one whose columns are known; else that which makes most of them."""
    known = {name for names in NAMES.values() for name in names} | {_plain(name) for name in columns.values()}

    def worth(delimiter: str) -> tuple[int, int]:
        fields = [field.strip().strip('"') for field in line.split(delimiter)]
        return sum(_plain(field) in known for field in fields), len(fields)

    return max(DELIMITERS, key=worth)


def _is_quoted(lines: Sequence[str], delimiter: str, *, is_cut: bool) -> bool:
    """Whether quotation marks stand around fields, in pairs: one alone is a character like any other.

    A field may run over several lines where the rows have as many columns as the header only then. `is_cut`: the last line is a
    part of one.
    """
    edge = re.escape(delimiter)
    field = re.compile(rf'(?:^|{edge})"(?:[^"]|"")*"(?={edge}|$)')
    whole = lines[:-1] if is_cut else lines
    if all(line.count('"') % 2 == 0 for line in whole):
        return any(field.search(line) for line in whole)
    width = len(_fields(lines[:1], delimiter, csv.QUOTE_MINIMAL)[0])
    if all(len(row) == width for row in _fields(whole, delimiter, csv.QUOTE_NONE)):
        return False
    try:
        rows = _fields(lines, delimiter, csv.QUOTE_MINIMAL, is_cut=is_cut)
    except csv.Error:
        return False
    return all(len(row) == width for row in rows)


def _fields(lines: Sequence[str], delimiter: str, quoting: Any, *, is_cut: bool = False) -> list[list[str]]:
    """The rows of the lines; csv.Error where a quoted field does not end, unless the text `is_cut`: then without the last row."""
    rows = []
    reader = csv.reader([f"{line}\n" for line in lines], delimiter=delimiter, quoting=quoting, strict=quoting == csv.QUOTE_MINIMAL)
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            return rows[:-1] if is_cut else rows
        except csv.Error:
            if is_cut and reader.line_num == len(lines):
                return rows
            raise

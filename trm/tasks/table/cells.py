"""Questions and answers as cells of tokens: read from texts, lists and arrays, numbered in order of their first use."""

import json
import reprlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from trm.tasks.table.recipe import TableRecipe

MOST_CELLS = 1 << 14
"""Of one question or answer: a network reads them all at once."""
MOST_TOKENS = 255


class Cells(NamedTuple):
    """A question or an answer."""

    height: int
    width: int
    tokens: bytes
    """Row by row, each the number of its token in order of first use; 0 is padding."""


class Unreadable(ValueError):
    """What a cell of a table breaks: rule and value."""

    def __init__(self, rule: str, value: str) -> None:
        self.rule, self.value = rule, value
        super().__init__(f"{rule}: {value}")


@dataclass
class CellReader:
    """Reads cells as the recipe says, and knows every token that it met."""

    recipe: TableRecipe
    numbers: dict[str, int] = field(default_factory=dict)
    """Name of a token -> its number, in order of first use."""

    _seen: dict[str | int, int] = field(default_factory=dict)
    """The number of each token as the files have it, which is not looked up by name again."""

    def __post_init__(self) -> None:
        if self.recipe.padding is not None:
            self.numbers[str(self.recipe.padding)] = 0
        for token in self.recipe.vocabulary or ():
            self.numbers.setdefault(str(token), len(set(self.numbers.values()) | {0}))

    def names(self) -> tuple[list[str], np.ndarray]:
        """The tokens' names by their final numbers from 1, and the final number of each number of first use."""
        known = {name: number for name, number in self.numbers.items() if number}
        ordered = list(known) if self.recipe.vocabulary is not None else sorted(known, key=_order)
        final = np.zeros(256, dtype=np.uint8)
        for place, name in enumerate(ordered, 1):
            final[known[name]] = place
        return ordered, final

    def cells(self, value: Any) -> Cells:
        """The cells in a value of a table. Raises Unreadable."""
        rows = self._rows(value)
        widths = sorted({len(row) for row in rows})
        if len(widths) > 1:
            raise Unreadable("a grid must have rows of equal length", f"has rows of {widths[0]} and {widths[-1]} cells")
        if not widths or not widths[0]:
            raise Unreadable("a question and an answer must have cells", "has none")
        if len(rows) * widths[0] > MOST_CELLS:
            raise Unreadable(f"a question and an answer must have at most {MOST_CELLS:,} cells", f"has {len(rows) * widths[0]:,}")
        return Cells(len(rows), widths[0], b"".join(map(self._numbered, rows)))

    def _rows(self, value: Any) -> list[Any]:
        if isinstance(value, bytes):
            value = _decoded(value)
        if isinstance(value, str):
            if self.recipe.text == "json":
                return self._rows(_parsed(value))
            lines = value.strip("\r\n").replace("\r\n", "\n").split(self.recipe.row_separator)
            return [line.split() if self.recipe.text == "words" else list(line) for line in lines]
        if isinstance(value, np.ndarray) and value.ndim in (1, 2) and value.dtype.kind in "iuUS":
            value = value.tolist()
        if not isinstance(value, list):
            raise Unreadable("a question and an answer must be texts, lists or grids", f"is {reprlib.repr(value)}")
        if value and all(isinstance(row, list) for row in value):
            return value
        if self.recipe.text == "characters" and any(isinstance(row, str) and len(row) > 1 for row in value):
            return [list(row) if isinstance(row, str) else row for row in value]
        return [value]

    def _numbered(self, row: Any) -> bytes:
        """The numbers of a row's tokens; those that were met before cost next to nothing."""
        if set(map(type, row)) <= {str, int}:
            try:
                return bytes(map(self._seen.__getitem__, row))
            except KeyError:
                pass
        for token in row:
            number = self._number(token)
            if type(token) in (str, int):
                self._seen[token] = number
        return bytes(map(self._number, row))

    def _number(self, token: Any) -> int:
        if isinstance(token, bytes):
            token = _decoded(token)
        if type(token) is not str and (type(token) is bool or not isinstance(token, int)):
            raise Unreadable("a token must be a text or a whole number", f"has {reprlib.repr(token)}")
        name = str(token)
        number = self.numbers.get(name)
        if number is not None:
            return number
        if self.recipe.vocabulary is not None:
            raise Unreadable("a token must be in the vocabulary", f"has {name[:20]!r}")
        if (number := len(set(self.numbers.values()) | {0})) > MOST_TOKENS:
            raise Unreadable(f"there must be at most {MOST_TOKENS} different tokens", f"has {name[:20]!r}, one more")
        self.numbers[name] = number
        return number


def _order(name: str) -> tuple[bool, int, str]:
    """Whole numbers first, by value."""
    is_number = name.removeprefix("-").isascii() and name.removeprefix("-").isdigit() and len(name) < 20
    return not is_number, int(name) if is_number else 0, name


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unreadable("a text must be UTF-8", f"is {value[:20]!r}") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("a question and an answer must be JSON lists (text: json)", f"is {reprlib.repr(text)}") from None

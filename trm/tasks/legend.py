"""What the tokens of a puzzle are to whoever draws it: plain data, of which pages and playgrounds make pictures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["board", "maze", "colours", "table"]
"""How a grid is drawn: digits in boxes, walls and ways, coloured cells, or names in a table."""
Role = Literal["pad", "end", "empty", "symbol", "wall", "space", "start", "goal", "path", "colour"]
"""What a cell with the token is."""


@dataclass(frozen=True)
class Token:
    """One token of a vocabulary."""

    name: str
    """As the data set's vocabulary has it."""
    role: Role
    shown: str = ""
    """What stands in a cell; nothing where the role alone is drawn."""
    said: str = ""
    """A word for whoever listens."""
    colour: str | None = None
    safe_colour: str | None = None
    """One that is told from the others of its legend by colour-blind eyes too."""


@dataclass(frozen=True)
class Legend:
    """How grids of one data set are drawn."""

    kind: Kind
    tokens: tuple[Token, ...]
    """By their numbers."""
    box: tuple[int, int] | None = None
    """Rows and columns of a board's boxes."""

    def values(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self)


def table_legend(vocabulary: Sequence[str]) -> Legend:
    """Tokens by their names, padding left out."""
    return Legend("table", (Token("pad", "pad", "", "nothing"), *(_symbol(name) for name in vocabulary[1:])))


def _symbol(name: str) -> Token:
    blank = not name.strip()
    return Token(name, "empty" if blank else "symbol", "" if blank else name, "blank" if blank else name)

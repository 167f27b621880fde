"""JSON that comes from a folder: one doorway that bounds its size and depth, and one message for whatever is wrong with it."""

import json
import math
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from trm.errors import InputError

Value = TypeVar("Value")

MOST_DEPTH = 64
"""Lists and objects inside each other; no file of ours has more than a dozen."""
MOST_BYTES = 1 << 26
WORDS = {dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}


def read_json(
    path: str | Path, kind: type[Value], *, error: Callable[..., InputError], remedy: str, most_bytes: int = MOST_BYTES
) -> Value:
    """The value in a JSON file, which is a `kind` (dict, list ...); `parse_json` says what is refused.

    FileNotFoundError when nothing is there; an `error` when it is no regular file, is larger than `most_bytes`, or cannot be read.
    """
    path = Path(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{path} must be a file of JSON, and is none", remedy=remedy)
        if found.st_size > most_bytes:
            raise error(f"{path} must have at most {most_bytes:,} bytes, and has {found.st_size:,}", remedy=remedy)
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror or problem}", remedy=remedy) from problem
    return parse_json(content, str(path), kind, error=error, remedy=remedy)


def parse_json(content: bytes | str, source: str, kind: type[Value], *, error: Callable[..., InputError], remedy: str) -> Value:
    """The value in JSON text, which is a `kind` (dict, list ...); `source` names it in messages.

    Raises an `error` (a kind of InputError) when the text is no UTF-8 or no JSON, is more than `MOST_DEPTH` deep, holds a name
    twice in one object, a number that is not finite, or half a character, or when the value is no `kind`.
    """
    try:
        value = json.loads(content, object_pairs_hook=_named_once, parse_constant=_refuse_constant)
        _check(value)
    except RecursionError:
        raise error(f"{source} must be JSON at most {MOST_DEPTH} deep, and is deeper", remedy=remedy) from None
    except UnicodeDecodeError:
        raise error(f"{source} must be JSON, and is no UTF-8 text", remedy=remedy) from None
    except ValueError as problem:
        raise error(f"{source} must be JSON: {problem}", remedy=remedy) from problem
    if not isinstance(value, kind):
        found = "null" if value is None else WORDS[type(value)]
        raise error(f"{source} must hold {WORDS.get(kind, kind.__name__)}, and holds {found}", remedy=remedy)
    return value


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:80]!r} is there twice")
    return values


def _refuse_constant(name: str) -> None:
    raise ValueError(f"a number must be finite, got {name}")


def _check(value: Any) -> None:
    """ValueError for what no JSON of ours may hold, without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH + 1:
            raise RecursionError
        inner: list[Any] = []
        for one in level:
            if isinstance(one, list):
                inner += [value for value in one if type(value) is not int]  # of grids there are millions
            elif isinstance(one, dict):
                inner += one.values()
                inner += one
            elif isinstance(one, str):
                if not one.isascii():
                    _refuse_halves(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"a number must be finite, got {one}")
        level = inner


def _refuse_halves(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text must hold whole characters, and one holds half a surrogate pair") from None

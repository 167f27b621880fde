"""What a YAML text says, as plain values: its size is known before anything is built, and no two places of it are one object."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from trm.errors import ConfigError

SCHEMA = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}
"""YAML's core schema, what a plain word is: `1e-4` is a number, `on`, `1:30` and `2026-01-01` are text. Pattern, first letters."""
CORE = "tag:yaml.org,2002:"
MERGE = "<<"
MAX_DIGITS = 310
"""Of a whole number: more than any float holds."""
_PATTERNS = {kind: re.compile(pattern) for kind, (pattern, _) in SCHEMA.items()}
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Limits:
    """How large a text may be, its aliases unfolded."""

    characters: int
    nodes: int
    """Scalars, lists and mappings."""
    depth: int = 40


WRITTEN = Limits(characters=4 << 20, nodes=300_000)
"""What people write."""
RESOLVED = Limits(characters=64 << 20, nodes=4_000_000)
"""What is written of it, every default filled in."""


@dataclass(frozen=True)
class _Anchor:
    value: Any
    nodes: int
    characters: int


class YamlReader:
    """Reads one document, event by event."""

    def __init__(self, text: str, source: str, limits: Limits = WRITTEN) -> None:
        """`source` is what messages call the text."""
        self._text, self._source, self._limits = text, source, limits
        self._anchors: dict[str, _Anchor | None] = {}
        """Null: of what is still being read."""
        self._nodes = self._characters = 0

    def value(self) -> Any:
        """The document's value, null when there is none; ConfigError with line and column for what cannot be read.

        Aliases and merge keys (YAML 1.1: a mapping's own keys win, then the earlier of several) are copies of what they name. The
        tags of the core schema may be given; all others, a key that is no text or stands twice, and control characters are refused.
        """
        if len(self._text) > self._limits.characters:
            raise too_long(self._source, self._limits)
        if (found := _UNPRINTABLE.search(self._text)) is not None:
            before = self._text[: found.start()]
            line, column = before.count("\n"), found.start() - (before.rfind("\n") + 1)
            self._refuse_at(line, column, f"character {found.group()!a} is not allowed", "remove it; a file must be UTF-8 text")
        events = yaml.parse(self._text, Loader=_PARSER)
        try:
            return self._document(events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = error.problem or error.context or "it cannot be read"
            line, column = (mark.line, mark.column) if mark else (0, 0)
            self._refuse_at(line, column, problem, "mend that line")
        except yaml.YAMLError as error:
            raise ConfigError(
                f"{self._source} is not valid YAML: {' '.join(str(error).split())}", remedy="write it as UTF-8 YAML text"
            ) from error

    def _document(self, events: Iterator[Any]) -> Any:
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        value = self._node(events, next(events), 0)
        next(events)
        if not isinstance(event := next(events), yaml.StreamEndEvent):
            self._refuse(event, "a second document begins here", "keep one document a file")
        return value

    def _node(self, events: Iterator[Any], event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._copy(event)
        nodes, characters, name = self._nodes, self._characters, event.anchor
        if name is not None:
            self._anchors[name] = None
        self._spend(event, 1, len(event.value) if isinstance(event, yaml.ScalarEvent) else 0)
        if depth > self._limits.depth:
            self._refuse(event, f"it is nested {depth} levels deep", f"nest at most {self._limits.depth} lists and mappings")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(events, event, depth)
        else:
            value = self._mapping(events, event, depth)
        if name is not None:
            self._anchors[name] = _Anchor(value, self._nodes - nodes, self._characters - characters)
        return value

    def _copy(self, event: yaml.AliasEvent) -> Any:
        name = str(event.anchor)
        if name not in self._anchors:
            self._refuse(event, f"alias *{_shown(name)} names nothing above it", f"write &{_shown(name)} where its value stands")
        if (found := self._anchors[name]) is None:
            self._refuse(event, f"alias *{_shown(name)} stands within what it names", "write the value out")
        self._spend(event, found.nodes, found.characters)
        return _copied(found.value)

    def _spend(self, event: Any, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.nodes or self._characters > self._limits.characters:
            most = f"{self._limits.nodes:,} values and {self._limits.characters:,} characters"
            self._refuse(event, f"with its aliases unfolded it is larger than {most}", "write less")

    def _list(self, events: Iterator[Any], start: yaml.SequenceStartEvent, depth: int) -> list[Any]:
        self._check_tag(start, "seq")
        found = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(self._node(events, event, depth + 1))
        return found

    def _mapping(self, events: Iterator[Any], start: yaml.MappingStartEvent, depth: int) -> dict[str, Any]:
        self._check_tag(start, "map")
        own: dict[str, Any] = {}
        merged: dict[str, Any] | None = None
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value == MERGE
            key = self._key(events, event, depth)
            if is_merge:
                if merged is not None:
                    self._refuse(event, f"{MERGE} stands here twice", f"write {MERGE}: [*first, *second]")
                merged = self._merged(event, self._node(events, next(events), depth + 1))
                continue
            if key in own:
                self._refuse(event, f"key {_shown(key)!r} stands here twice", "keep one of them")
            own[key] = self._node(events, next(events), depth + 1)
        return {**merged, **own} if merged else own

    def _merged(self, event: Any, value: Any) -> dict[str, Any]:
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in several):
            self._refuse(event, f"{MERGE} takes a mapping or a list of mappings", "name one by its alias, such as <<: *name")
        return {key: inner for one in reversed(several) for key, inner in one.items()}

    def _key(self, events: Iterator[Any], event: Any, depth: int) -> str:
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse(event, "a key must be one word", "write `key: value`")
        if (
            isinstance(event, yaml.AliasEvent)
            and isinstance(named := self._anchors.get(str(event.anchor)), _Anchor)
            and named.nodes > 1
        ):
            self._refuse(event, "a key must be one word", "write `key: value`")
        key = self._node(events, event, depth + 1)
        if not isinstance(key, str):
            shown = "null" if key is None else str(key).lower() if isinstance(key, bool) else _shown(str(key))
            self._refuse(event, f"a key must be text, got {shown}", "put it in quotes or remove it")
        return key

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if (found := _UNPRINTABLE.search(text)) is not None:
            self._refuse(event, f"text holds the character {found.group()!a}", "remove it")
        if event.tag in (None, "!"):
            kind = next((kind for kind, one in _PATTERNS.items() if one.fullmatch(text)), "str") if event.implicit[0] else "str"
        else:
            kind = event.tag.removeprefix(CORE)
            if event.tag == kind or kind not in (*_PATTERNS, "str"):
                self._refuse_tag(event)
            if kind != "str" and not _PATTERNS[kind].fullmatch(text):
                self._refuse(event, f"{_shown(text)!r} is no {kind}", f"remove the tag !!{kind}")
        return self._converted(event, kind, text)

    def _converted(self, event: yaml.ScalarEvent, kind: str, text: str) -> Any:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                if len(text) > MAX_DIGITS:
                    self._refuse(event, f"a whole number has {len(text)} digits", f"write at most {MAX_DIGITS}")
                return int(text.replace("_", ""))
            case "float":
                plain = text.replace("_", "").lower()
                return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
            case _:
                return text

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", CORE + kind):
            self._refuse_tag(event)

    def _refuse_tag(self, event: Any) -> NoReturn:
        tag = _shown(event.tag.replace(CORE, "!!"))
        self._refuse(event, f"tag {tag} is not read here", "remove it; text that looks like something else goes in quotes")

    def _refuse(self, event: Any, problem: str, remedy: str) -> NoReturn:
        self._refuse_at(event.start_mark.line, event.start_mark.column, problem, remedy)

    def _refuse_at(self, line: int, column: int, problem: str, remedy: str) -> NoReturn:
        lines = self._text.split("\n")
        if line >= len(lines):  # an end that is missed is told as the line after the last
            line, column = len(lines) - 1, len(lines[-1])
        raise ConfigError(f"{self._source} line {line + 1} column {column + 1} is not valid YAML: {problem}", remedy=remedy)


def too_long(source: str, limits: Limits) -> ConfigError:
    """What is said of a text that is longer than `limits`."""
    return ConfigError(f"{source} must have at most {limits.characters:,} characters, and has more", remedy="write less")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."

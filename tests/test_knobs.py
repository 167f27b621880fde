"""docs/knobs.md has every knob of a run, as the configuration says it.

`python tests/test_knobs.py`, or `make map`, writes it anew.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from trm.config.leaves import Leaf, Variant, leaves

PAGE = Path(__file__).parents[1] / "docs" / "knobs.md"
HEAD = """# Every knob of a run

What may stand in a run's configuration, its default, and the first sentence of what it does. Paths are those of `search`, `base`
and `--set` ([a search space](space.md)). `make map` writes this page, a test holds it. More on networks and optimizers:
[models](how/models.md); on losses, depth schedules and several passes: [training](how/training.md).
"""
SENTENCE = re.compile(r"(.*?[.])(?:\s+[A-Z`]|$)", re.DOTALL)


def own(leaf: Leaf) -> tuple[Variant, ...]:
    """Without members of unions that other tests import."""
    return tuple(variant for variant in leaf.variants if not variant.is_imported)


def members(leaf: Leaf) -> Mapping[str, tuple[str, ...]]:
    """Path of a tag -> the tags at which the leaf exists."""
    found: dict[str, list[str]] = {}
    for variant in own(leaf):
        for path, tags in variant.tags.items():
            found.setdefault(path, []).extend(tag for tag in tags if tag not in found.get(path, []))
    return {path: tuple(tags) for path, tags in found.items()}


def choices(annotation: Any) -> tuple[Any, ...]:
    """What a field that takes one of several words takes."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for part in get_args(annotation) for value in choices(part))


def shown(value: Any) -> str:
    """As it is written in YAML."""
    if isinstance(value, str):
        return f"`{value}`"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def default_of(leaf: Leaf) -> str:
    """The default, with the members that have another one, and the other words that may stand there."""
    by_value: dict[str, list[str]] = {}
    for variant in own(leaf):
        by_value.setdefault(shown(variant.info.get_default(call_default_factory=True)), []).extend(
            tag for tags in variant.tags.values() for tag in tags
        )
    first, *rest = by_value
    said = "; ".join([first, *(f"{value} of {', '.join(by_value[value])}" for value in rest)])
    if leaf.union is not None:
        return said
    others = [text for value in choices(leaf.info.annotation) if (text := shown(value)) not in by_value]
    return f"{said} (or {', '.join(others)})" if others else said


def first_sentence(leaf: Leaf) -> str:
    """Of the field's docstring; of members that say it otherwise theirs too."""
    by_text: dict[str, list[str]] = {}
    for variant in own(leaf):
        said = SENTENCE.match(variant.description)
        assert said, "a field's docstring is a sentence with a full stop"
        by_text.setdefault(said[1], []).extend(f"`{tag}`" for tags in variant.tags.values() for tag in tags)
    first, *rest = by_text
    whole = " ".join([first, *(f"Of {', '.join(by_text[text])}: {text}" for text in rest)])
    return " ".join(whole.split()).replace("|", r"\|")


def row(path: str, leaf: Leaf) -> str:
    """A line of a table."""
    about = first_sentence(leaf)
    if leaf.union is not None:
        tags = [tag for tag in get_args(leaf.info.annotation) if any(tag in inner for inner in built_in(path))]
        about = f"{about} One of {', '.join(f'`{tag}`' for tag in tags)}."
    return f"| `{path}` | {default_of(leaf)} | {about} |"


def built_in(at: str) -> list[tuple[str, ...]]:
    """Tags of the union at a path that need no import."""
    return [tags for leaf in leaves().values() for variant in own(leaf) if (tags := variant.tags.get(at))]


def rendered() -> str:
    """What docs/knobs.md should be."""
    everyone = {at: {tag for tags in built_in(at) for tag in tags} for at, leaf in leaves().items() if leaf.union is not None}
    sections: dict[str, dict[str, list[str]]] = {}
    for path, leaf in leaves().items():
        if not own(leaf):
            continue
        of = [tag for at, tags in members(leaf).items() if set(tags) != everyone[at] for tag in tags]
        section = path.split(".")[0] if "." in path else "the rest"
        sections.setdefault(section, {}).setdefault(", ".join(f"`{tag}`" for tag in of), []).append(row(path, leaf))
    parts = [HEAD]
    for section, groups in sorted(sections.items(), key=lambda named: named[0] == "the rest"):
        parts.append(f"## {section[0].upper()}{section[1:]}\n" if section == "the rest" else f"## {section}\n")
        for of, rows in sorted(groups.items(), key=lambda group: bool(group[0])):  # those of all come first
            parts.append(
                (f"Of {of}:\n\n" if of else "") + "\n".join(["| knob | default | what |", "| --- | --- | --- |", *rows]) + "\n"
            )
    return "\n".join(parts)


def test_the_page_has_every_knob() -> None:
    assert PAGE.read_text() == rendered(), "type `make map` (or `python tests/test_knobs.py`) and commit what it writes"


if __name__ == "__main__":
    PAGE.write_text(rendered())

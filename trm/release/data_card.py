"""What is told of a data set besides its numbers: where it comes from, its licence, how to cite it; read from its card."""

import re
from dataclasses import dataclass
from pathlib import Path

from trm.config.data import DataConfig
from trm.config.shipped import HOME, named_file
from trm.data.format.manifest import Manifest
from trm.files.contained import regular

FIELD = re.compile(r"^- \*\*(?P<name>[^*]+)\*\*: ", re.MULTILINE)
MOST_CHARACTERS = 100_000
UNKNOWN = "unknown: no card lies beside its recipe; ask whoever made the data"


@dataclass(frozen=True)
class DataCard:
    """A data set's card."""

    text: str
    """All of it, Markdown; empty where there is none."""
    source: str = UNKNOWN
    licence: str = UNKNOWN
    cite: str = UNKNOWN


def data_card(data: DataConfig, manifest: Manifest) -> DataCard:
    """The card beside the recipe of `data`; else that of the shipped recipe of the manifest's name; else an empty one."""
    for path in _places(data, manifest):
        if path.is_file():
            with open(path, encoding="utf-8", errors="replace", opener=regular) as file:
                return parsed(file.read(MOST_CHARACTERS))
    return DataCard("")


def parsed(text: str) -> DataCard:
    """A card's fields, those lines that begin with `- **Name**:`."""
    found = list(FIELD.finditer(text))
    ends = [match.start() for match in found[1:]] + [_end(text, found[-1].end())] if found else []
    fields = {match["name"]: " ".join(text[match.end() : end].split()) for match, end in zip(found, ends, strict=True)}
    values = [fields.get(name) or UNKNOWN for name in ("Source", "Licence", "How to cite")]
    return DataCard(text, *values)


def _end(text: str, start: int) -> int:
    blank = text.find("\n\n", start)
    return len(text) if blank < 0 else blank


def _places(data: DataConfig, manifest: Manifest) -> list[Path]:
    beside = [named_file(data.recipe, "data set recipe").with_suffix(".md")] if data.recipe is not None else []
    return [*beside, HOME / "datasets" / f"{manifest.name}.md"]

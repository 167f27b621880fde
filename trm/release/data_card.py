"""What is told of a data set besides its numbers: where it comes from, its licence, how to cite it; read from its card."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from trm.config.data import DataConfig
from trm.config.files import load_yaml
from trm.config.shipped import HOME, named_file
from trm.console.redaction import in_addresses
from trm.data.format.manifest import Manifest
from trm.files.contained import regular

FIELD = re.compile(r"^- \*\*(?P<name>[^*]+)\*\*: ", re.MULTILINE)
MOST_CHARACTERS = 100_000
TOLD = ("source", "licence", "cite")
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
    """The card beside the recipe of `data`; else that of the shipped recipe of the manifest's name; else an empty one.

    Where the recipe was given another `path` than stands in it, the card's words are told as the recipe's, not as the data's.
    """
    for path in _places(data, manifest):
        if path.is_file():
            with open(path, encoding="utf-8", errors="replace", opener=regular) as file:
                card = parsed(file.read(MOST_CHARACTERS))
            return _of_given(card, manifest, path.with_suffix(".yaml"))
    return DataCard("")


def _of_given(card: DataCard, manifest: Manifest, recipe: Path) -> DataCard:
    given, own = manifest.recipe.get("path"), load_yaml(recipe).get("path") if recipe.is_file() else None
    if given is None or (own is not None and (given == own or Path(str(given)).name == Path(str(own)).name)):
        return card
    there = f"what lies at {in_addresses(str(given))}, which was given to the recipe"
    told = {
        name: f"unknown: {there}; of the recipe's own data it is: {getattr(card, name)}" for name in ("source", "licence", "cite")
    }
    return replace(card, **told)


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

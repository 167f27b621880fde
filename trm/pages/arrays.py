"""The page of published arrays: what their folders say, and some of their puzzles with forms that are stored beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.pages.page import Page, Section
from trm.pages.puzzles import ShownPuzzle, puzzles_section
from trm.tasks.legend import Legend


@dataclass(frozen=True)
class ShownSplit:
    """A split of arrays, some of it drawn."""

    name: str
    facts: Mapping[str, Any]
    """Of its `dataset.json`."""
    told: Mapping[str, Any]
    """What its arrays are; JSON."""
    chosen: str
    puzzles: Sequence[ShownPuzzle]


def arrays_page(name: str, kind: str, legend: Legend, grid: tuple[int, int], splits: Sequence[ShownSplit], *, builds: str) -> Page:
    """The page; `kind` is what the puzzles seem to be, `builds` the command that makes a data set of them."""
    about = f"{kind}, canvas {grid[0]}x{grid[1]}, {len(legend.tokens)} tokens; " + ", ".join(
        f"{split.told['rows']:,} {split.name} rows" for split in splits
    )
    pairs = [
        ["puzzles", f"{kind}, by canvas and tokens"],
        ["tokens", ", ".join(f"{number} {token.name!r}" for number, token in enumerate(legend.tokens))],
        ["made into a data set by", builds],
    ]
    sections = [
        Section("values", "What they are", {"pairs": pairs}),
        Section("values", "Splits", {"rows": [{"split": split.name, **split.told} for split in splits]}),
        *(Section("values", f"dataset.json of {split.name}", {"pairs": _pairs(split.facts)}) for split in splits),
    ]
    for split in splits:
        title = f"Puzzles of {split.name}"
        sections.append(puzzles_section(title, legend, grid, split.puzzles, chosen=split.chosen, key=split.name))
    return Page(f"Published arrays {name}", "arrays", sections, about=about)


def _pairs(facts: Mapping[str, Any]) -> list[list[Any]]:
    return [[key, value] for key, value in facts.items()]

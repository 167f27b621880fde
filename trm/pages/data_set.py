"""A data set's page: what it is, its splits, what its tokens are, and some of its puzzles with their augmentations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trm.data.format.manifest import Manifest
from trm.pages.chosen import Chosen
from trm.pages.page import Page, Section
from trm.pages.puzzle_facts import puzzle_facts, row_names
from trm.pages.puzzles import Form, ShownPuzzle, puzzles_section
from trm.tasks.legend import Legend


@dataclass(frozen=True, eq=False)
class SampledSplit:
    """Some rows of a split."""

    name: str
    columns: Mapping[str, np.ndarray]
    """Of the chosen rows."""
    chosen: Chosen
    forms: Sequence[Sequence[Form]] = ()
    """Augmentations of each row, or of none."""
    notes: Sequence[str] = ()
    demonstrations: Mapping[int, Sequence[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)
    """Of each group: other pairs of the task that are trained on."""


def data_set_page(
    manifest: Manifest,
    legend: Legend,
    samples: Sequence[SampledSplit],
    *,
    names: Sequence[str] | None,
    card: Sequence[str] = (),
    told: Mapping[str, Any] | None = None,
) -> Page:
    """The page; `names` are the puzzles' by their numbers, `card` what is said of it in paragraphs, `told` more that is known."""
    sections = [
        Section("values", "What it is", {"pairs": [list(pair) for pair in (_pairs(manifest) | dict(told or {})).items()]}),
        Section("values", "Splits", {"rows": split_rows(manifest)}),
    ]
    sections += [Section("values", "Card", {"lines": list(card)})] if card else []
    sections.append(Section("values", "In numbers", {"rows": _numbers(samples, manifest, legend), "lines": [_SAMPLED]}))
    sections += [split_section(sample, manifest, legend, names) for sample in samples]
    return Page(f"Data set {manifest.name}", "data set", sections, about=about(manifest))


_SAMPLED = "Of the puzzles that this page shows: least, median and most."


def about(manifest: Manifest) -> str:
    """The data set in a line."""
    counts = ", ".join(f"{info.rows:,} {name}" for name, info in manifest.splits.items())
    return f"{manifest.task}, canvas {manifest.grid[0]}x{manifest.grid[1]}, {len(manifest.vocabulary)} tokens; rows: {counts}"


def split_section(sample: SampledSplit, manifest: Manifest, legend: Legend, names: Sequence[str] | None) -> Section:
    """The puzzles of one split."""
    columns = sample.columns
    puzzles = [
        ShownPuzzle(
            name,
            columns["inputs"][place],
            columns["labels"][place],
            facts=puzzle_facts(columns, place, manifest, legend),
            forms=sample.forms[place] if sample.forms else (),
            demonstrations=sample.demonstrations.get(int(columns["groups"][place]), ()),
        )
        for place, name in enumerate(row_names(columns, names))
    ]
    title, words = f"Puzzles of {sample.name}", sample.chosen.words
    return puzzles_section(title, legend, manifest.grid, puzzles, chosen=words, notes=sample.notes, key=sample.name)


def split_rows(manifest: Manifest) -> list[dict[str, Any]]:
    """A row a split."""
    return [
        {
            "split": name,
            "rows": info.rows,
            "puzzles": info.groups,
            "rows a puzzle": round(info.mean_examples, 3),
            "files": len(info.shards),
            "bytes": sum(shard.bytes for shard in info.shards),
        }
        for name, info in manifest.splits.items()
    ]


def _pairs(manifest: Manifest) -> dict[str, Any]:
    pairs: dict[str, Any] = {
        "task": manifest.task,
        "canvas": f"{manifest.grid[0]} rows of {manifest.grid[1]} cells",
        "tokens": ", ".join(f"{number} {name!r}" for number, name in enumerate(manifest.vocabulary)),
        "puzzle identifiers": manifest.num_puzzle_identifiers,
        "augmentation": _augmentation(manifest),
        "seed": manifest.seed,
        "content hash": manifest.content_hash,
    }
    pairs |= {f"part {part.name}": _part(part.groups, part.weight) for part in manifest.parts}
    pairs |= {f"left out: {rule}": f"{count:,} rows" for rule, count in manifest.skipped.items()}
    pairs |= {f"twice in {split}": f"{count:,} rows, counted once" for split, count in manifest.doubled.items()}
    return pairs


def _augmentation(manifest: Manifest) -> str:
    kinds = {part.name: part.augmentation for part in manifest.parts} or {"": manifest.augmentation}
    told = []
    for name, kind in kinds.items():
        own = ", ".join(f"{key} {value}" for key, value in kind.model_dump().items() if key != "kind")
        told.append(f"{name + ': ' if name else ''}{kind.kind}{f' ({own})' if own else ''}")
    return "; ".join(told)


def _part(groups: tuple[int, int], weight: float | None) -> str:
    share = "visited in proportion to its puzzles" if weight is None else f"weight {weight:g}"
    return f"{groups[1] - groups[0]:,} puzzles, {share}"


def _numbers(samples: Sequence[SampledSplit], manifest: Manifest, legend: Legend) -> list[dict[str, Any]]:
    """A row a split and number: rating, clues, path, cells asked."""
    rows = []
    for sample in samples:
        facts = [puzzle_facts(sample.columns, place, manifest, legend) for place in range(len(sample.columns["row"]))]
        for name in dict.fromkeys(key for one in facts for key, value in one.items() if not isinstance(value, str)):
            values = np.array([float(one[name]) for one in facts if name in one])
            least, middle, most = (round(float(value), 4) for value in (values.min(), np.median(values), values.max()))
            rows.append({"split": sample.name, "of": name, "least": least, "median": middle, "most": most})
    return rows

"""What is told of a puzzle beside its picture: what its data set says of it, and what its cells say by themselves."""

from collections.abc import Mapping, Sequence

import numpy as np

from trm.data.batches.split import PAIR_ROW, SAME_AS
from trm.data.format.manifest import Manifest
from trm.pages.puzzles import Fact
from trm.tasks.legend import Legend, Role

GRIDS = ("inputs", "labels")
NUMBERING = {"row", "groups", "puzzles", "puzzle_identifiers", "pairs", "source_row", PAIR_ROW, SAME_AS}
"""Columns of a split that say how its rows belong together, nothing of how hard they are."""


def puzzle_facts(columns: Mapping[str, np.ndarray], place: int, manifest: Manifest, legend: Legend) -> dict[str, Fact]:
    """Of the row at `place` of columns of a split: part, rating and so on, clues, length of the path, size."""
    facts: dict[str, Fact] = {}
    for part in manifest.parts:
        if part.groups[0] <= int(columns["groups"][place]) < part.groups[1]:
            facts["part"] = part.name
    for name, column in columns.items():
        if name not in NUMBERING and name not in GRIDS and name != "pair" and column.ndim == 1:
            facts[name.replace("_", " ")] = _plain(column[place])
    return facts | cell_facts(columns["inputs"][place], columns["labels"][place], manifest.grid, legend)


def cell_facts(question: np.ndarray, truth: np.ndarray, grid: tuple[int, int], legend: Legend) -> dict[str, Fact]:
    """What the cells of a question and its answer say."""
    if legend.kind == "board":
        return {"clues": int(_is_role(question, legend, "symbol").sum())}
    if legend.kind == "maze":
        return {"path": int(_is_role(truth, legend, "path").sum()) + 1}
    if legend.kind == "colours":
        sizes = [size_of(cells, grid, legend) for cells in (question, truth)]
        return {"size": " \u2192 ".join(f"{rows}x{columns}" for rows, columns in sizes), "cells asked": sizes[1][0] * sizes[1][1]}
    return {}


def size_of(cells: np.ndarray, grid: tuple[int, int], legend: Legend) -> tuple[int, int]:
    """Rows and columns that are not padding."""
    is_there = ~(_is_role(cells, legend, "pad") | _is_role(cells, legend, "end")).reshape(grid)
    return int(is_there.any(1).sum()), int(is_there.any(0).sum())


def row_names(columns: Mapping[str, np.ndarray], names: Sequence[str] | None) -> list[str]:
    """What rows are called: by their puzzles' names where these have any, with the pair in it; else by number."""
    numbers, groups = columns["row"].tolist(), columns["groups"].tolist()
    if names is None:
        return [f"row {row}" for row in numbers]
    pairs = columns["pair"].tolist() if "pair" in columns else [None] * len(groups)
    return [
        names[group] + ("" if pair is None else f" pair {pair + 1}") if 0 <= group < len(names) else f"row {row}"
        for row, group, pair in zip(numbers, groups, pairs, strict=True)
    ]


def _is_role(cells: np.ndarray, legend: Legend, role: Role) -> np.ndarray:
    return np.isin(cells, [number for number, token in enumerate(legend.tokens) if token.role == role])


def _plain(value: np.generic) -> Fact:
    found = value.item()
    return found if isinstance(found, int) else round(float(found), 4)

"""The page of published arrays, whose grids stay on disk: only those that are shown are read."""

import math
import shlex
from pathlib import Path

import numpy as np

from trm.errors import DatasetError
from trm.pages.arrays import ShownSplit, arrays_page
from trm.pages.chosen import chosen_puzzles, most_shown
from trm.pages.page import Page
from trm.pages.puzzle_facts import cell_facts
from trm.pages.puzzles import Form, ShownPuzzle
from trm.sweeps.commands import job_command
from trm.tasks.choice import TASKS, task_named
from trm.tasks.legend import Legend
from trm.tasks.published.arrays_files import REMEDY, Facts, SourceSplit, read_json, read_source
from trm.tasks.published.arrays_rules import shape_of

SPLITS = ("train", "validation", "test")
FACTS = "dataset.json"
NAMES = "identifiers.json"
MOST_GROUPS = 150
"""Of a split."""
FORMS = 3
"""Other stored forms of a puzzle that are drawn."""


def page_of(folder: Path) -> Page:
    """The page of the arrays in a folder. Raises DatasetError for arrays that are damaged."""
    places = {name: folder / name for name in SPLITS if (folder / name / FACTS).is_file()} or {folder.name: folder}
    sources = {name: read_source(str(place)) for name, place in places.items()}
    first = next(iter(sources.values()))
    kind, grid, vocabulary = kind_of(first.facts, str(folder))
    legend = task_named(kind).legend(grid, vocabulary)
    names = _names(folder, first.facts.num_puzzle_identifiers)
    splits = [_shown(name, source, legend, grid, names) for name, source in sources.items()]
    where = shlex.quote(f"path={folder}")
    builds = f"{job_command('build_dataset.py')} datasets/published_arrays.yaml --set {where} --set puzzle={kind}"
    return arrays_page(folder.resolve().name, kind, legend, grid, splits, builds=builds)


def kind_of(facts: Facts, where: str) -> tuple[str, tuple[int, int], tuple[str, ...]]:
    """What puzzles of so many cells and tokens seem to be, their canvas, and their tokens' names."""
    for kind in ("sudoku", "arc", "maze"):
        try:
            grid, vocabulary = shape_of(kind, facts, None, where)
        except DatasetError:
            continue
        return kind, grid, vocabulary
    side = math.isqrt(facts.seq_len)
    grid = (side, side) if side * side == facts.seq_len else (1, facts.seq_len)
    return "other", grid, TASKS["other"].arrays.vocabulary(side, facts.vocab_size)


def _names(folder: Path, count: int) -> list[str] | None:
    """What identifiers are called, where the folder says it."""
    found = read_json(str(folder), NAMES, list)
    if found is None:
        return None
    names = [str(name) for name in found[0]]
    return names if len(names) == count and count > 1 else None


def _shown(name: str, source: SourceSplit, legend: Legend, grid: tuple[int, int], names: list[str] | None) -> ShownSplit:
    groups, cells = len(source.group_indices) - 1, source.facts.seq_len
    chosen = chosen_puzzles(None, groups, most_shown(cells, 2 + 2 * FORMS, MOST_GROUPS), what=f"groups of {name}")
    puzzles = [_puzzle(source, group, legend, grid, names) for group in chosen.places]
    told = {"rows": len(source), "puzzles": len(source.puzzle_identifiers), "groups": groups}
    kinds = {f"type of {array}": kind for array, kind in source.kinds.items() if array in ("inputs", "labels")}
    return ShownSplit(name, source.facts.model_dump(), told | kinds, f"{chosen.words} Of each the first row.", puzzles)


def _puzzle(source: SourceSplit, group: int, legend: Legend, grid: tuple[int, int], names: list[str] | None) -> ShownPuzzle:
    """The first row of a group's first puzzle, and of the next puzzles, which are its other forms."""
    first, end = int(source.group_indices[group]), int(source.group_indices[group + 1])
    rows = [int(source.puzzle_indices[puzzle]) for puzzle in range(first, min(end, first + 1 + FORMS))]
    pairs = [tuple(_cells(source, array, row, len(legend.tokens)) for array in ("inputs", "labels")) for row in rows]
    (question, truth), *others = pairs
    forms = [Form(f"stored form {number}", *other) for number, other in enumerate(others, 1)]
    identifier = int(source.puzzle_identifiers[first])
    name = f"group {group}" if names is None else names[identifier]
    facts = {"row": rows[0], "stored forms": end - first} | cell_facts(question, truth, grid, legend)
    return ShownPuzzle(name, question, truth, facts=facts, forms=forms)


def _cells(source: SourceSplit, array: str, row: int, tokens: int) -> np.ndarray:
    """A grid of the arrays; DatasetError for one with a token that there is not. What the loss ignores is padding."""
    cells = np.asarray(getattr(source, array)[row]).astype(np.int64)
    if array == "labels":
        cells = np.where(cells < 0, 0, cells)
    if cells.min(initial=0) < 0 or cells.max(initial=0) >= tokens:
        wrong = cells[(cells < 0) | (cells >= tokens)][0]
        raise DatasetError(
            f"tokens must be below vocab_size {tokens}: {source.folder}/all__{array}.npy row {row} has {wrong}", remedy=REMEDY
        )
    return cells.astype(np.uint8)

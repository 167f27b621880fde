"""Data sets of one's own puzzles: questions and answers from tables, each puzzle once, dealt into splits that share none."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trm.console.long_work import Report, silent
from trm.data.batches.keyed_random import shuffled
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import IDENTIFIER_NAMES, SplitName
from trm.errors import DatasetError
from trm.tasks.making.bad_rows import Faults
from trm.tasks.making.equal_rows import first_equal
from trm.tasks.making.large_arrays import room
from trm.tasks.making.published_csv import DOUBLED
from trm.tasks.making.puzzle_files import ALL, puzzle_files
from trm.tasks.table.cells import CellReader, Cells, Unreadable
from trm.tasks.table.files import ENDINGS, REMEDY, Row, read_rows
from trm.tasks.table.recipe import TableRecipe

SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
MOST_HELD_OUT = 1000
"""Puzzles that are held out, a tenth at most, where the recipe does not say."""
REPORT_ROWS = 10_000
_TEST, _VALIDATION = 0x74, 0x76


@dataclass(eq=False, slots=True)
class Puzzle:
    """One row, read."""

    file: str
    number: int
    question: Cells
    answer: Cells
    split: SplitName | None
    identifier: str | None
    group: str | None

    @property
    def where(self) -> str:
        """Where it stands."""
        return f"{self.file} row {self.number}"


def build_table(recipe: TableRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`. Raises DatasetError naming file and row of what it cannot take."""
    faults, reader = Faults(skip_bad=recipe.skip_bad), CellReader(recipe)
    puzzles = _read(recipe, reader, faults, report)
    _require_alike(puzzles)
    grid = _canvas(recipe, puzzles, faults)
    names, final = reader.names()
    inputs, labels = (_filled(puzzles, side, grid, final) for side in ("question", "answer"))
    of_identifier = _numbered([puzzle.identifier for puzzle in puzzles])
    identifiers = np.array([of_identifier.get(str(puzzle.identifier), 0) for puzzle in puzzles], dtype=np.int32)
    kept = _each_once(puzzles, inputs, labels, identifiers, faults)
    groups = _groups(puzzles)
    dealt = _dealt(recipe, puzzles, groups, kept)
    dealt = _apart(dealt, puzzles, groups, _beside(inputs, identifiers), faults)
    has_forms = bool(of_identifier) or len(np.unique(groups[kept])) < len(kept)
    splits: dict[SplitName, BuiltSplit] = {}
    for name in SPLITS:
        rows = dealt[name][np.argsort(groups[dealt[name]], kind="stable")]
        if len(rows):
            forms = (np.arange(len(rows), dtype=np.int32), identifiers[rows]) if has_forms else (None, None)
            splits[name] = BuiltSplit(inputs[rows], labels[rows], groups[rows].astype(np.int32), {}, *forms)
        elif name != "validation" or recipe.validation != 0:
            raise DatasetError(
                f"every split must have puzzles: {name} of {recipe.name} has none", remedy=f"set {name}, or give more"
            )
    listed = ["<blank>", *of_identifier]
    return BuiltDataset(
        task="other",
        grid=grid,
        vocabulary=("pad", *names),
        splits=splits,
        skipped=faults.skipped,
        num_puzzle_identifiers=len(listed),
        attachments={IDENTIFIER_NAMES: json.dumps(listed).encode()} if of_identifier else {},
    )


def _read(recipe: TableRecipe, reader: CellReader, faults: Faults, report: Report) -> list[Puzzle]:
    """Every row of every file that can be read."""
    files = puzzle_files(recipe.path, SPLITS, ENDINGS)
    if "train" not in files and ALL not in files:
        raise DatasetError(f"a folder of tables must have a train file: {recipe.path} has {', '.join(files)}", remedy=REMEDY)
    puzzles = []
    for done, (name, file) in enumerate(files.items()):
        for row in read_rows(file, recipe.named_columns):
            puzzle = _puzzle(row, file, None if name == ALL else SPLIT_NAMES[name], reader, faults)
            puzzles += [] if puzzle is None else [puzzle]
            if row.number % REPORT_ROWS == 0:
                report("rows", len(puzzles), len(puzzles))
        report("files read", done + 1, len(files))
    if not puzzles:
        raise DatasetError(f"a table must hold puzzles: {', '.join(files.values())} has none that fit", remedy=REMEDY)
    return puzzles


def _puzzle(row: Row, file: str, split: SplitName | None, reader: CellReader, faults: Faults) -> Puzzle | None:
    where = f"{file} row {row.number}"
    sides = []
    for side in ("question", "answer"):
        try:
            sides.append(reader.cells(row.values.get(side)))
        except Unreadable as error:
            faults.found(error.rule, f"{where}, {side} {error.value}", remedy="mend or remove the row")
            return None
    if not any(sides[1].tokens):
        faults.found("an answer must have a cell that is no padding", f"{where} has none", remedy="mend or remove the row")
        return None
    said = row.values.get("split")
    if said not in (None, ""):
        named = SPLIT_NAMES.get(str(said).strip().casefold())
        if named is None:
            faults.found("a split must be train, validation or test", f"{where} has {str(said)[:20]!r}", remedy="mend the row")
            return None
        if split is not None and named != split:
            value = f"{where} says {named} and stands in the file of {split}"
            faults.found("a row must be in one split", value, remedy="move the row, or remove the column")
            return None
        split = named
    identifier, group = (_text(row.values.get(name)) for name in ("identifier", "group"))
    return Puzzle(file, row.number, sides[0], sides[1], split, identifier, group)


def _text(value: object) -> str | None:
    return None if value is None or str(value) == "" else str(value)


def _require_alike(puzzles: list[Puzzle]) -> None:
    """DatasetError when some rows have an identifier, a group or a split and some have none."""
    for name in ("identifier", "group", "split"):
        have = [getattr(puzzle, name) is not None for puzzle in puzzles]
        if any(have) and not all(have):
            raise DatasetError(
                f"all rows have a {name} or none has: {puzzles[have.index(True)].where} has one, "
                f"{puzzles[have.index(False)].where} none",
                remedy=f"fill the column in, or take it out (columns: {{{name}: NAME}} names it)",
            )


def _canvas(recipe: TableRecipe, puzzles: list[Puzzle], faults: Faults) -> tuple[int, int]:
    """Height and width that every question and answer fits into; those that do not are taken out."""
    sides = [(puzzle, cells) for puzzle in puzzles for cells in (puzzle.question, puzzle.answer)]
    if recipe.grid is None:
        return max(cells.height for _, cells in sides), max(cells.width for _, cells in sides)
    height, width = recipe.grid
    misfits = {id(puzzle) for puzzle, cells in sides if not _fits(cells, height, width)}
    for puzzle, cells in sides:
        if not _fits(cells, height, width):
            value = f"{puzzle.where} has {cells.height} times {cells.width}"
            faults.found(
                f"a question and an answer must fit into {height} times {width}", value, remedy="raise grid", count=len(misfits)
            )
            break
    puzzles[:] = [puzzle for puzzle in puzzles if id(puzzle) not in misfits]
    return recipe.grid


def _fits(cells: Cells, height: int, width: int) -> bool:
    """Whether the cells fit as a grid, or as a sequence that is laid out row by row."""
    return (cells.height <= height and cells.width <= width) or (cells.height == 1 and cells.width <= height * width)


def _filled(puzzles: list[Puzzle], side: str, grid: tuple[int, int], final: np.ndarray) -> np.ndarray:
    """Questions or answers on the canvas, in its corner, the rest padding."""
    height, width = grid
    whole = room((len(puzzles), height * width))
    whole[:] = 0
    for row, puzzle in enumerate(puzzles):
        cells: Cells = getattr(puzzle, side)
        tokens = final[np.frombuffer(cells.tokens, dtype=np.uint8)]
        if cells.height == 1 or cells.width == width:
            whole[row, : len(tokens)] = tokens
        else:
            whole[row].reshape(height, width)[: cells.height, : cells.width] = tokens.reshape(cells.height, cells.width)
    return whole


def _numbered(names: list[str | None]) -> dict[str, int]:
    """Numbers from 1 in order of first use; none where there are no names."""
    return {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name is not None), 1)}


def _groups(puzzles: list[Puzzle]) -> np.ndarray:
    """The number of each row's group: by name, or of its own."""
    numbers = _numbered([puzzle.group for puzzle in puzzles])
    if not numbers:
        return np.arange(len(puzzles))
    return np.array([numbers[str(puzzle.group)] - 1 for puzzle in puzzles])


def _beside(inputs: np.ndarray, identifiers: np.ndarray) -> np.ndarray:
    return np.concatenate([inputs, identifiers.astype("<i4").view(np.uint8).reshape(-1, 4)], axis=1)


def _each_once(
    puzzles: list[Puzzle], inputs: np.ndarray, labels: np.ndarray, identifiers: np.ndarray, faults: Faults
) -> np.ndarray:
    """The rows whose question no row of their split has before them; one question with two answers is refused, anywhere."""
    splits = np.array([0 if puzzle.split is None else 1 + SPLITS.index(puzzle.split) for puzzle in puzzles], dtype=np.int32)
    named = _beside(inputs, identifiers)
    first = first_equal(named)
    is_contested = np.zeros(len(puzzles), dtype=bool)
    if (is_other := (labels != labels[first]).any(axis=1)).any():
        row = int(np.argmax(is_other))
        is_contested = np.isin(first, first[is_other])
        value = f"{puzzles[first[row]].where} and {puzzles[row].where} have one question and two answers"
        faults.found("a question must have one answer", value, remedy="remove the wrong row", count=int(is_contested.sum()))
    is_doubled = (first_equal(_beside(named, splits)) != np.arange(len(puzzles))) & ~is_contested
    if is_doubled.any():
        faults.skipped[DOUBLED] += int(is_doubled.sum())
    return np.flatnonzero(~is_doubled & ~is_contested)


def _dealt(recipe: TableRecipe, puzzles: list[Puzzle], groups: np.ndarray, kept: np.ndarray) -> dict[SplitName, np.ndarray]:
    """The rows of each split: as files and columns say, and what the recipe holds out of training, whole groups."""
    said = np.array([puzzle.split or "train" for puzzle in puzzles])[kept]
    dealt: dict[SplitName, np.ndarray] = {name: kept[said == name] for name in SPLITS}
    wanted: tuple[tuple[SplitName, float | None, int], ...] = (
        ("test", recipe.test, _TEST),
        ("validation", recipe.validation, _VALIDATION),
    )
    for name, share, stream in wanted:
        if len(dealt[name]):
            if share is not None:
                raise DatasetError(
                    f"{name} puzzles come from files or from the recipe: there are {len(dealt[name])}, and {name} is {share}",
                    remedy=f"leave {name} out of the recipe, or its rows out of the files",
                )
            continue
        numbers = np.unique(groups[dealt["train"]])
        count = _count(share, len(numbers))
        if count >= len(numbers):
            raise DatasetError(
                f"{name} is held out of {len(numbers)} training puzzles: {count} leave nothing to train on", remedy=f"lower {name}"
            )
        held = numbers[shuffled(len(numbers), recipe.seed, stream)[:count]]
        is_held = np.isin(groups[dealt["train"]], held)
        dealt[name], dealt["train"] = dealt["train"][is_held], dealt["train"][~is_held]
    return dealt


def _count(share: float | None, puzzles: int) -> int:
    if share is None:
        return min(MOST_HELD_OUT, max(1, puzzles // 10))
    return share if isinstance(share, int) else max(1, round(share * puzzles)) if share else 0


def _apart(
    dealt: dict[SplitName, np.ndarray], puzzles: list[Puzzle], groups: np.ndarray, named: np.ndarray, faults: Faults
) -> dict[SplitName, np.ndarray]:
    """The splits without rows whose question or group a later split has; such a row is named with its twin."""
    questions = first_equal(named)
    rules: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("a puzzle must be in one split", lambda rows: questions[rows]),
        ("a group must be in one split", lambda rows: groups[rows]),
    )
    for rule, key in rules:
        for name, later in (("validation", ["test"]), ("train", ["validation", "test"])):
            rows, others = dealt[name], np.concatenate([dealt[other] for other in later])  # type: ignore[index]
            is_shared = np.isin(key(rows), key(others))
            if is_shared.any():
                row = rows[np.argmax(is_shared)]
                other = others[np.argmax(key(others) == key(np.array([row]))[0])]
                value = f"{puzzles[row].where} ({name}) and {puzzles[other].where} share one"
                faults.found(rule, value, remedy="remove either row", count=int(is_shared.sum()))
                dealt[name] = rows[~is_shared]  # type: ignore[index]
    return dealt

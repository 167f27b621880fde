"""Import of the published Sudoku files: CSV with the columns source, question, answer, rating."""

from collections.abc import Iterator, Mapping

import numpy as np

from trm.data import storage
from trm.data.builders.built import BuiltSplit, Report
from trm.data.builders.cores import by_parts
from trm.data.builders.faults import Faults
from trm.data.builders.pieces import as_split
from trm.data.builders.published_csv import CellText, PublishedRows, concatenated, joined, not_in_both, read_published
from trm.data.builders.sudoku import as_columns
from trm.data.builders.sudoku_search import count_solutions
from trm.data.builders.sudoku_seen import SeenPuzzles
from trm.data.draws import shuffled
from trm.data.manifest import SplitName
from trm.data.recipes import SudokuRecipe
from trm.errors import DatasetError

SIZE, CELLS = 9, 81
TEXT = CellText(CELLS, {".": 0, **{str(digit): digit for digit in range(SIZE + 1)}}, "digits and dots")
LEAKED = "a symmetric form of a test puzzle"
HELD_OUT = "a symmetric form of a validation puzzle"
_TEST, _TRAIN = 0x74, 0x54
CHUNK_ROWS = 1 << 15


def import_splits(recipe: SudokuRecipe, folder: str, report: Report) -> tuple[dict[SplitName, BuiltSplit], Mapping[str, int]]:
    """Train and validation puzzles from train.csv, test puzzles from test.csv; and rows left out, by the reason.

    Rows of train.csv that are symmetric forms of chosen test puzzles are left out of training. Raises DatasetError.
    """
    faults = Faults(skip_bad=recipe.skip_bad)
    tests = _read(storage.join(folder, "test.csv"), recipe, faults)
    report("files read", 1, 2)
    rows = _read(storage.join(folder, "train.csv"), recipe, faults)
    report("files read", 2, 2)
    rows = rows.take(not_in_both(rows, tests, faults))
    order = np.arange(len(tests)) if recipe.test is None else shuffled(len(tests), recipe.seed, _TEST)
    test = _Drawing(tests, order, faults).take(recipe.test, "test puzzles", report, {})
    drawing = _Drawing(rows, shuffled(len(rows), recipe.seed, _TRAIN), faults)
    excluded = {LEAKED: _seen(test)}
    validation = drawing.take(recipe.validation, "validation puzzles", report, excluded)
    train = drawing.take(recipe.train, "training puzzles", report, excluded | {HELD_OUT: _seen(validation)})
    _refuse_too_few(recipe, folder, train=len(train), validation=len(validation), test=len(test))
    splits: dict[SplitName, BuiltSplit] = {}
    start = 0
    named: tuple[tuple[SplitName, PublishedRows], ...] = (("train", train), ("validation", validation), ("test", test))
    for name, part in named:
        if len(part):
            splits[name] = as_split(as_columns(part.questions, part.answers, part.ratings), start)
        start += len(part)
    return splits, faults.skipped


class _Drawing:
    """Takes puzzles from the rows of a file, in an order, each once."""

    def __init__(self, rows: PublishedRows, order: np.ndarray, faults: Faults) -> None:
        self._rows, self._order, self._faults = rows, order, faults

    def take(self, count: int | None, stage: str, report: Report, excluded: Mapping[str, SeenPuzzles]) -> PublishedRows:
        """The next `count` rows, or all, that have one solution and are no forms of excluded puzzles; fewer when they run out."""
        kept = [self._rows.take(np.zeros(0, dtype=np.int64))]
        found, total = 0, len(self._order) if count is None else count
        while len(self._order) and found < total:
            size = min(CHUNK_ROWS, len(self._order) if count is None else count - found)
            chosen, self._order = self._order[:size], self._order[size:]
            rows = _solved(self._rows.take(chosen), self._faults)
            for reason, seen in excluded.items():
                is_known = seen.is_known(rows.questions, rows.answers)
                if is_known.any():
                    self._faults.skipped[reason] += int(is_known.sum())
                rows = rows.take(~is_known)
            kept.append(rows)
            found += len(rows)
            report(stage, found, total)
        return concatenated(kept)


def _solved(rows: PublishedRows, faults: Faults) -> PublishedRows:
    """The rows whose answer is their one solution."""
    solutions = np.concatenate(by_parts(_solutions, rows.questions))
    rows_and_rules = ((solutions == 0, "a board must have a solution"), (solutions > 1, "a board must have only one solution"))
    is_good = np.ones(len(rows), dtype=bool)
    for is_bad, rule in rows_and_rules:
        is_good &= faults.good(rule, is_bad, rows.path, rows.numbers)
    rows = rows.take(is_good)
    is_wrong = np.concatenate(by_parts(_solutions, rows.answers)) != 1
    return rows.take(faults.good("an answer must solve its board", is_wrong, rows.path, rows.numbers))


def _solutions(boards: np.ndarray) -> np.ndarray:
    return count_solutions(boards, SIZE)[0]


def _seen(rows: PublishedRows) -> SeenPuzzles:
    seen = SeenPuzzles(SIZE)
    seen.is_new(rows.questions, rows.answers)
    return seen


def _read(path: str, recipe: SudokuRecipe, faults: Faults) -> PublishedRows:
    """Rows of a file that are hard enough."""

    def checked() -> Iterator[PublishedRows]:
        for rows in read_published(path, TEXT, faults):
            contradicts = ((rows.questions != 0) & (rows.questions != rows.answers)).any(axis=1)
            is_good = faults.good("an answer must have no blanks", (rows.answers == 0).any(axis=1), path, rows.numbers)
            is_good &= faults.good("a question must agree with its answer", contradicts & is_good, path, rows.numbers)
            yield rows.take(is_good & (rows.ratings >= (recipe.min_difficulty or 0)))

    return joined(checked(), path)


def _refuse_too_few(recipe: SudokuRecipe, folder: str, *, train: int, validation: int, test: int) -> None:
    remedy = f"lower {'min_difficulty or ' if recipe.min_difficulty else ''}the number"
    if recipe.test is not None and test < recipe.test:
        raise DatasetError(f"test.csv must hold {recipe.test} test puzzles: {folder} has {test} that fit", remedy=remedy)
    wanted = (recipe.train or 1) + recipe.validation
    if train + validation < wanted:
        raise DatasetError(
            f"train.csv must hold {wanted} puzzles for train and validation: {folder} has {train + validation} that fit",
            remedy=remedy,
        )

"""Import of Sudoku files: CSV with a question and an answer a line, and in some how hard it is."""

from collections.abc import Iterator, Mapping

import numpy as np

from trm.console.long_work import Report
from trm.data.batches.keyed_random import shuffled
from trm.data.format.built import BuiltSplit
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError
from trm.tasks.making.bad_rows import Faults
from trm.tasks.making.parallel import by_parts
from trm.tasks.making.published_csv import CellText, PublishedRows, concatenated, each_once, joined, not_in_both, read_published
from trm.tasks.making.puzzle_files import ALL, puzzle_files
from trm.tasks.making.ratings import rating_columns
from trm.tasks.sudoku.augment import BLANK, BOXES
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.seen import SeenPuzzles, symmetry_groups
from trm.tasks.sudoku.solver import count_solutions

LEAKED = "a symmetric form of a test puzzle"
HELD_OUT = "a symmetric form of a validation puzzle"
_TEST, _TRAIN = 0x74, 0x54
CHUNK_ROWS = 1 << 15


def text_of(size: int) -> CellText:
    """How files write boards of this size: blanks are dots or zeros."""
    codes = {".": 0, **{str(digit): digit for digit in range(size + 1)}}
    sizes = {other * other: f"size: {other}" for other in BOXES if other != size}
    return CellText(size * size, codes, f"digits 1 to {size}, and dots or zeros for blanks", sizes)


def import_splits(recipe: SudokuRecipe, folder: str, report: Report) -> tuple[dict[SplitName, BuiltSplit], Mapping[str, int]]:
    """Train and validation puzzles from train.csv, test puzzles from test.csv, or all of them from one file; and rows left out,
    by the reason.

    Rows of train.csv that are symmetric forms of chosen test puzzles are left out of training. Symmetric forms within a split are
    one group. Raises DatasetError.
    """
    faults = Faults(skip_bad=recipe.skip_bad)
    files = puzzle_files(folder, ("train", "test"))
    if ALL in files and recipe.test is None:
        raise DatasetError(f"test must be a number when one file holds all puzzles, as {files[ALL]} does", remedy="set test: 500")
    for name in ("train", "test"):
        if ALL not in files and name not in files:
            raise DatasetError(f"a file of puzzles must be within reach: {folder} has no {name}.csv", remedy="put it there")
    if ALL in files:
        rows = _read(files[ALL], recipe, faults)
        report("files read", 2, 2)
        drawing = tests = _Drawing(rows, shuffled(len(rows), recipe.seed, _TRAIN), recipe.size, faults)
    else:
        test_rows = _read(files["test"], recipe, faults)
        report("files read", 1, 2)
        rows = _read(files["train"], recipe, faults)
        report("files read", 2, 2)
        rows = rows.take(not_in_both(rows, test_rows, faults))
        order = np.arange(len(test_rows)) if recipe.test is None else shuffled(len(test_rows), recipe.seed, _TEST)
        tests = _Drawing(test_rows, order, recipe.size, faults)
        drawing = _Drawing(rows, shuffled(len(rows), recipe.seed, _TRAIN), recipe.size, faults)
    test = tests.take(recipe.test, "test puzzles", report, {})
    excluded = {LEAKED: _seen(test, recipe.size)}
    validation = drawing.take(recipe.validation, "validation puzzles", report, excluded)
    train = drawing.take(recipe.train, "training puzzles", report, excluded | {HELD_OUT: _seen(validation, recipe.size)})
    _refuse_too_few(recipe, files, train=len(train), validation=len(validation), test=len(test))
    named: dict[SplitName, PublishedRows] = {"train": train, "validation": validation, "test": test}
    return _splits({name: part for name, part in named.items() if len(part)}, recipe.size), faults.skipped


def _splits(parts: Mapping[SplitName, PublishedRows], size: int) -> dict[SplitName, BuiltSplit]:
    """The parts as splits, symmetric forms beside each other as one group."""
    ratings = rating_columns(list(parts.values()))
    splits: dict[SplitName, BuiltSplit] = {}
    start = 0
    for (name, part), rating in zip(parts.items(), ratings, strict=True):
        groups = symmetry_groups(part.questions, part.answers, size)
        order = np.argsort(groups, kind="stable")
        columns = {key: column[order] for key, column in rating.items()}
        inputs, labels = (cells[order] + np.uint8(BLANK) for cells in (part.questions, part.answers))
        splits[name] = BuiltSplit(inputs, labels, (groups[order] + start).astype(np.int32), columns)
        start += int(groups.max()) + 1
    return splits


class _Drawing:
    """Takes puzzles from the rows of a file, in an order, each once."""

    def __init__(self, rows: PublishedRows, order: np.ndarray, size: int, faults: Faults) -> None:
        self._rows, self._order, self._size, self._faults = rows, order, size, faults

    def take(self, count: int | None, stage: str, report: Report, excluded: Mapping[str, SeenPuzzles]) -> PublishedRows:
        """The next `count` rows, or all, that have one solution and are no forms of excluded puzzles; fewer when they run out."""
        kept = [self._rows.take(np.zeros(0, dtype=np.int64))]
        found, total = 0, len(self._order) if count is None else count
        while len(self._order) and found < total:
            size = min(CHUNK_ROWS, len(self._order) if count is None else count - found)
            chosen, self._order = self._order[:size], self._order[size:]
            rows = _solved(self._rows.take(chosen), self._size, self._faults)
            for reason, seen in excluded.items():
                is_known = seen.is_known(rows.questions, rows.answers)
                if is_known.any():
                    self._faults.skipped[reason] += int(is_known.sum())
                rows = rows.take(~is_known)
            kept.append(rows)
            found += len(rows)
            report(stage, found, total)
        return concatenated(kept)


def _solved(rows: PublishedRows, size: int, faults: Faults) -> PublishedRows:
    """The rows whose answer is their one solution."""

    def solutions(boards: np.ndarray) -> np.ndarray:
        return count_solutions(boards, size)[0]

    found = np.concatenate(by_parts(solutions, rows.questions))
    rows_and_rules = ((found == 0, "a board must have a solution"), (found > 1, "a board must have only one solution"))
    is_good = np.ones(len(rows), dtype=bool)
    for is_bad, rule in rows_and_rules:
        is_good &= faults.good(rule, is_bad, rows.path, rows.numbers)
    rows = rows.take(is_good)
    is_wrong = np.concatenate(by_parts(solutions, rows.answers)) != 1
    return rows.take(faults.good("an answer must solve its board", is_wrong, rows.path, rows.numbers))


def _seen(rows: PublishedRows, size: int) -> SeenPuzzles:
    seen = SeenPuzzles(size)
    seen.is_new(rows.questions, rows.answers)
    return seen


def _read(path: str, recipe: SudokuRecipe, faults: Faults) -> PublishedRows:
    """Rows of a file that are hard enough, each puzzle once."""

    def checked() -> Iterator[PublishedRows]:
        for rows in read_published(path, text_of(recipe.size), faults, recipe.named_columns):
            if recipe.min_difficulty and not rows.is_rated:
                raise DatasetError(
                    f"min_difficulty needs a rating: no column of {path} is known as one",
                    remedy="say which with columns: {rating: NAME}, or leave min_difficulty out",
                )
            contradicts = ((rows.questions != 0) & (rows.questions != rows.answers)).any(axis=1)
            is_good = faults.good("an answer must have no blanks", (rows.answers == 0).any(axis=1), path, rows.numbers)
            is_good &= faults.good("a question must agree with its answer", contradicts & is_good, path, rows.numbers)
            yield rows.take(is_good & ~(rows.ratings < (recipe.min_difficulty or 0)))

    return each_once(joined(checked(), path), faults)


def _refuse_too_few(recipe: SudokuRecipe, files: Mapping[str, str], *, train: int, validation: int, test: int) -> None:
    remedy = f"lower {'min_difficulty or ' if recipe.min_difficulty else ''}the number"
    train_file, test_file = (files.get(name, files.get(ALL)) for name in ("train", "test"))
    if recipe.test is not None and test < recipe.test:
        raise DatasetError(f"test.csv must hold {recipe.test} test puzzles: {test_file} has {test} that fit", remedy=remedy)
    wanted = (recipe.train or 1) + recipe.validation
    if train + validation < wanted:
        raise DatasetError(
            f"train.csv must hold {wanted} puzzles for train and validation: {train_file} has {train + validation} that fit",
            remedy=remedy,
        )

"""Import of the published mazes, arrays or CSV: the published test set whole, validation held out of the training set."""

from collections.abc import Mapping

import numpy as np

from trm.console.long_work import Report
from trm.data.batches.keyed_random import shuffled
from trm.data.format import storage
from trm.data.format.built import BuiltSplit
from trm.data.format.manifest import SplitName
from trm.errors import DatasetError
from trm.tasks.making.bad_rows import Faults
from trm.tasks.making.published_csv import CellText, PublishedRows, each_once, joined, not_in_both, read_published
from trm.tasks.making.puzzle_files import puzzle_files
from trm.tasks.making.ratings import rating_columns
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.solver import UNREACHABLE, draws_shortest_path, shortest_paths
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, VOCABULARY, WALL
from trm.tasks.published.arrays_files import read_array

LEAKED = "a symmetric form of a test maze"
INPUTS, LABELS = "all__inputs.npy", "all__labels.npy"
REMEDY = "give the folder of the published arrays or CSV files as path"
_TEST, _TRAIN = 0x74, 0x54


def import_splits(recipe: MazeRecipe, folder: str, report: Report) -> tuple[dict[SplitName, BuiltSplit], Mapping[str, int]]:
    """The splits, and how many rows were left out, by the reason.

    Mazes that are symmetric forms of each other are one group; training mazes that are forms of test mazes are left out.
    Raises DatasetError.
    """
    faults = Faults(skip_bad=recipe.skip_bad)
    rows = _read(recipe, folder, "train", faults)
    report("published splits", 1, 2)
    tests = _read(recipe, folder, "test", faults)
    report("published splits", 2, 2)
    rows = rows.take(not_in_both(rows, tests, faults))
    numbers: dict[bytes, int] = {}
    of_rows, of_tests = (
        np.array([numbers.setdefault(key, len(numbers)) for key in symmetry_classes(part.questions, recipe.size)], dtype=np.int32)
        for part in (rows, tests)
    )
    if (is_leaked := np.isin(of_rows, of_tests)).any():
        faults.skipped[LEAKED] += int(is_leaked.sum())
    trainable, testable = np.setdiff1d(of_rows, of_tests), np.unique(of_tests)
    _refuse_too_few(recipe, folder, len(trainable), len(testable))
    trainable = trainable[shuffled(len(trainable), recipe.seed, _TRAIN)]
    testable = testable[shuffled(len(testable), recipe.seed, _TEST)]
    chosen: dict[SplitName, tuple[PublishedRows, np.ndarray, np.ndarray]] = {
        "train": (rows, of_rows, trainable[recipe.validation :][: recipe.train]),
        "validation": (rows, of_rows, trainable[: recipe.validation]),
        "test": (tests, of_tests, testable[: recipe.test]),
    }
    ratings = rating_columns([tests, rows])
    rating_of = {"train": ratings[1], "validation": ratings[1], "test": ratings[0]}
    return {name: _taken(*parts, rating_of[name]) for name, parts in chosen.items() if len(parts[2])}, faults.skipped


def _refuse_too_few(recipe: MazeRecipe, folder: str, trainable: int, testable: int) -> None:
    for split, has, wants in (("train", trainable, (recipe.train or 1) + recipe.validation), ("test", testable, recipe.test or 1)):
        if has < wants:
            also = " for train and validation" if split == "train" else ""
            raise DatasetError(
                f"the published {split} split must hold {wants} different mazes{also}: {folder} has {has} that fit",
                remedy="lower the number, or set it to null for all",
            )


def _taken(rows: PublishedRows, groups: np.ndarray, wanted: np.ndarray, columns: Mapping[str, np.ndarray]) -> BuiltSplit:
    """The rows of the `wanted` groups, sorted by group."""
    chosen = np.flatnonzero(np.isin(groups, wanted))
    chosen = chosen[np.argsort(groups[chosen], kind="stable")]
    extras = {name: column[chosen] for name, column in columns.items()}
    return BuiltSplit(rows.questions[chosen], rows.answers[chosen], groups[chosen], extras)


def _read(recipe: MazeRecipe, folder: str, split: str, faults: Faults) -> PublishedRows:
    """One published split, each maze once: arrays or CSV, and where both are there they must hold the same mazes."""
    file = puzzle_files(folder, ("train", "test")).get(split, "")
    has_arrays, has_csv = storage.exists(storage.join(folder, split, INPUTS)), bool(file) and storage.exists(file)
    if not has_arrays and not has_csv:
        raise DatasetError(
            f"a folder of published mazes holds {split}/{INPUTS} or {split}.csv: {folder} holds neither", remedy=REMEDY
        )
    arrays = _read_arrays(folder, split, recipe.size, faults) if has_arrays else None
    csv = _read_csv(recipe, file, faults) if has_csv else None
    if arrays is not None and csv is not None and not _are_same(arrays, csv):
        raise DatasetError(
            f"two sources of one split must agree: {arrays.path} and {csv.path} hold other mazes", remedy="remove one of the two"
        )
    rows = csv if arrays is None else arrays
    assert rows is not None
    return each_once(rows, faults)


def _are_same(rows: PublishedRows, others: PublishedRows) -> bool:
    return np.array_equal(rows.questions, others.questions) and np.array_equal(rows.answers, others.answers)


def _read_csv(recipe: MazeRecipe, path: str, faults: Faults) -> PublishedRows:
    side = recipe.size
    sizes = {other * other: f"size: {other}" for other in range(5, 31) if other != side}
    text = CellText(side * side, {name: token for token, name in enumerate(VOCABULARY) if token}, "#, space, S, G and o", sizes)
    parts = read_published(path, text, faults, recipe.named_columns)
    return joined((_checked(rows, path, side, faults) for rows in parts), path)


def _read_arrays(folder: str, split: str, side: int, faults: Faults) -> PublishedRows:
    """One published split. Raises DatasetError when the arrays are not of mazes."""
    paths = [storage.join(folder, split, name) for name in (INPUTS, LABELS)]
    questions, answers = (_read_array(path, side) for path in paths)
    if len(questions) != len(answers):
        raise DatasetError(
            f"there must be a label for every maze: {paths[0]} holds {len(questions)}, {paths[1]} {len(answers)}", remedy=REMEDY
        )
    ratings, numbers = np.full(len(questions), np.nan), np.arange(len(questions))
    return joined([_checked(PublishedRows(paths[0], questions, answers, ratings, numbers), paths[1], side, faults)], paths[0])


def _read_array(path: str, side: int) -> np.ndarray:
    """Tokens of mazes; numbers that are no bytes become 255."""
    array = read_array(path)
    if array.ndim != 2 or array.shape[1] != side * side or array.dtype.kind not in "iu":
        raise DatasetError(
            f"{path} must hold whole numbers (mazes, {side * side}), it holds {array.dtype} {array.shape}",
            remedy="set the recipe's size to the mazes' side, or give the folder of the published mazes",
        )
    return np.where((array < 0) | (array > 255), 255, array).astype(np.uint8)


def _checked(rows: PublishedRows, answers_path: str, side: int, faults: Faults) -> PublishedRows:
    """The rows that are mazes with a shortest path as label."""
    is_foreign = np.any((rows.questions < WALL) | (rows.questions > GOAL), axis=1)
    rows = rows.take(faults.good("a maze must hold #, space, S and G", is_foreign, rows.path, rows.numbers))
    lacks_ends = ((rows.questions == START).sum(axis=1) != 1) | ((rows.questions == GOAL).sum(axis=1) != 1)
    rows = rows.take(faults.good("a maze must have one S and one G", lacks_ends, rows.path, rows.numbers))
    is_closed = shortest_paths(rows.questions, (side, side)).lengths == UNREACHABLE
    rows = rows.take(faults.good("a maze must have a path from S to G", is_closed, rows.path, rows.numbers))
    drawn = rows.answers == PATH
    is_changed = np.any(np.where(drawn, np.uint8(SPACE), rows.answers) != rows.questions, axis=1)
    is_wrong = np.asarray(is_changed | ~draws_shortest_path(rows.questions, drawn, (side, side)))
    return rows.take(faults.good("a label must be the maze with a shortest path", is_wrong, answers_path, rows.numbers))

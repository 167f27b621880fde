"""Import of the published Sudoku files: CSV with the columns source, question, answer, rating."""

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.csv

from trm.data import storage
from trm.data.builders.built import BuiltSplit, Report
from trm.data.builders.sudoku import as_split
from trm.data.builders.sudoku_symmetry import are_among
from trm.data.draws import shuffled
from trm.data.manifest import SplitName
from trm.data.recipes import SudokuRecipe
from trm.errors import DatasetError

SIZE, CELLS = 9, 81
SPARE = 1.1
"""Rows drawn for each one wanted, since some may be symmetric forms of test puzzles."""
_TEST, _TRAIN = 0x74, 0x54

Rows = dict[str, np.ndarray]


def import_splits(recipe: SudokuRecipe, folder: str, report: Report) -> dict[SplitName, BuiltSplit]:
    """Train and validation puzzles from train.csv, test puzzles from test.csv; a leak into training is left out."""
    test = _sample(_read(storage.join(folder, "test.csv"), recipe), recipe.test, recipe.seed, _TEST)
    report("test puzzles", len(test["rating"]), len(test["rating"]))
    rows = _read(storage.join(folder, "train.csv"), recipe)
    wanted = None if recipe.train is None else recipe.train + recipe.validation
    rows = _sample(rows, None if wanted is None else int(wanted * SPARE) + 100, recipe.seed, _TRAIN)
    rows = _without(rows, test)
    validation = {name: column[: recipe.validation] for name, column in rows.items()}
    train = _without({name: column[recipe.validation :] for name, column in rows.items()}, validation)
    if recipe.train is not None and len(train["rating"]) < recipe.train:
        raise DatasetError(
            f"train.csv must hold {wanted} puzzles for train and validation: {folder} has "
            f"{len(train['rating']) + len(validation['rating'])} that fit",
            remedy="lower train, validation or min_difficulty",
        )
    train = {name: column[: recipe.train] for name, column in train.items()}
    report("training puzzles", len(train["rating"]), len(train["rating"]))
    splits: dict[SplitName, BuiltSplit] = {}
    start = 0
    named: tuple[tuple[SplitName, Rows], ...] = (("train", train), ("validation", validation), ("test", test))
    for name, part in named:
        if len(part["rating"]):
            splits[name] = as_split(part["questions"], part["answers"], start, rating=part["rating"])
        start += len(part["rating"])
    return splits


def _sample(rows: Rows, count: int | None, seed: int, stream: int) -> Rows:
    """Rows in random order, at most `count`; all of the test file keep their order."""
    total = len(rows["rating"])
    if count is None and stream == _TEST:
        return rows
    chosen = shuffled(total, seed, stream)[: total if count is None else count]
    return {name: column[chosen] for name, column in rows.items()}


def _without(rows: Rows, others: Rows) -> Rows:
    is_leak = are_among(rows["questions"], rows["answers"], others["questions"], others["answers"], SIZE)
    return {name: column[~is_leak] for name, column in rows.items()}


def _read(path: str, recipe: SudokuRecipe) -> Rows:
    """Rows of a file that are hard enough, as digits with 0 for blank."""
    remedy = "give the folder of the published train.csv and test.csv as path"
    try:
        with fsspec.open(path, "rb") as file:
            texts = pa.csv.ConvertOptions(column_types={"question": pa.string(), "answer": pa.string(), "rating": pa.int32()})
            table = pa.csv.read_csv(file, convert_options=texts)
    except (OSError, pa.ArrowException, ValueError, ImportError) as error:
        raise DatasetError(f"a Sudoku file must be readable CSV: {path} ({error})", remedy=remedy) from error
    missing = {"question", "answer", "rating"} - set(table.column_names)
    if missing:
        raise DatasetError(f"a Sudoku file has the columns question, answer, rating: {path} lacks {sorted(missing)}", remedy=remedy)
    questions, answers = _digits(table, "question", path), _digits(table, "answer", path)
    _refuse(path, ((questions != 0) & (questions != answers)).any(axis=1), "a question must agree with its answer")
    _refuse(path, (answers == 0).any(axis=1), "an answer must have no blanks")
    rows = {"questions": questions, "answers": answers, "rating": table.column("rating").to_numpy()}
    if recipe.min_difficulty is None:
        return rows
    is_hard = rows["rating"] >= recipe.min_difficulty
    return {name: column[is_hard] for name, column in rows.items()}


def _digits(table: pa.Table, name: str, path: str) -> np.ndarray:
    texts = table.column(name).to_pylist()
    _refuse(path, np.array([len(text) != CELLS for text in texts], dtype=bool), f"a {name} must have {CELLS} characters")
    text = "".join(texts).encode(errors="replace")
    cells = np.frombuffer(text, dtype=np.uint8).reshape(-1, CELLS)
    digits = np.where(cells == ord("."), ord("0"), cells) - np.uint8(ord("0"))
    _refuse(path, digits.max(axis=1, initial=0) > SIZE, f"a {name} must hold digits and dots")
    return digits.astype(np.uint8)


def _refuse(path: str, is_bad: np.ndarray, rule: str) -> None:
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise DatasetError(f"{rule}: {path} row {row + 1} breaks that", remedy="mend or remove the row")

"""The published Sudoku files: imported without a leak, and every bad row named, or left out and counted."""

from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pytest

from trm.data.batches.keyed_random import hashed
from trm.errors import DatasetError
from trm.tasks.making.equal_rows import equal_row
from trm.tasks.sudoku.augment import BLANK, apply, draw_forms
from trm.tasks.sudoku.build import build_sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.solver import count_solutions, generate
from trm.tasks.sudoku.symmetry import canonical_forms

HEADER = "source,question,answer,rating"


@pytest.fixture(scope="module")
def found() -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers of 40 different puzzles."""
    puzzles = generate(hashed(8, np.arange(40)), 9, is_minimal=True, max_clues=None)
    return puzzles.questions, puzzles.answers


def lines(questions: np.ndarray, answers: np.ndarray) -> list[str]:
    return [
        f"case,{''.join(map(str, question)).replace('0', '.')},{''.join(map(str, answer))},{row}"
        for row, (question, answer) in enumerate(zip(questions, answers, strict=True))
    ]


def publish(folder: Path, train: Sequence[str], test: Sequence[str]) -> SudokuRecipe:
    """The files, and a recipe of all their rows but five training rows that validate."""
    for name, rows in (("train", train), ("test", test)):
        (folder / f"{name}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return SudokuRecipe(name="case", size=9, train=None, validation=5, test=None, path=str(folder))


def test_the_published_file_is_imported_without_a_leak(tmp_path: Path, found: tuple[np.ndarray, np.ndarray]) -> None:
    questions, answers = found
    forms = draw_forms(hashed(9, np.arange(10)), 9)
    leaks = [apply(boards[30:] + np.uint8(BLANK), forms) - np.uint8(BLANK) for boards in found]
    train = lines(*(np.concatenate([boards[:30], leak]) for boards, leak in zip(found, leaks, strict=True)))
    recipe = publish(tmp_path, train, lines(questions[30:], answers[30:]))
    built = build_sudoku(recipe)
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 25, "validation": 5, "test": 10}
    assert built.skipped == {"a symmetric form of a test puzzle": 10}
    assert (built.splits["test"].inputs == questions[30:] + 1).all()
    assert (built.splits["test"].labels == answers[30:] + 1).all()
    whole = [np.concatenate([getattr(split, name) for split in built.splits.values()]) - 1 for name in ("inputs", "labels")]
    assert len(np.unique(canonical_forms(*whole, 9), axis=0)) == 40
    hard = build_sudoku(recipe.model_copy(update={"min_difficulty": 4, "train": 20}))
    assert all(split.extras["rating"].min() >= 4 for split in hard.splits.values())
    assert len(hard.splits["train"].groups) == 20
    with pytest.raises(DatasetError, match=r"train.csv must hold 105 puzzles for train and validation: .* has 30 that fit"):
        build_sudoku(recipe.model_copy(update={"train": 100}))
    with pytest.raises(DatasetError, match=r"test.csv must hold 11 test puzzles: .* has 10 that fit"):
        build_sudoku(recipe.model_copy(update={"test": 11}))


def test_a_symmetric_form_of_a_validation_puzzle_is_not_trained_on(tmp_path: Path, found: tuple[np.ndarray, np.ndarray]) -> None:
    forms = draw_forms(hashed(9, np.arange(30)), 9)
    doubled = [np.concatenate([boards[:30], apply(boards[:30] + np.uint8(BLANK), forms) - np.uint8(BLANK)]) for boards in found]
    built = build_sudoku(publish(tmp_path, lines(*doubled), lines(*(boards[30:] for boards in found))))
    exact = {name: canonical_forms(split.inputs - 1, split.labels - 1, 9) for name, split in built.splits.items()}
    keys = {name: {form.tobytes() for form in forms} for name, forms in exact.items()}
    assert not keys["train"] & keys["validation"]
    skipped = built.skipped["a symmetric form of a validation puzzle"]
    assert 0 < skipped <= 5
    assert len(built.splits["train"].groups) == 55 - skipped


def test_a_url_is_read_as_a_folder_is(tmp_path: Path, found: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = publish(tmp_path, lines(*(boards[:30] for boards in found)), lines(*(boards[30:] for boards in found)))
    memory = fsspec.filesystem("memory")
    for name in ("train.csv", "test.csv"):
        memory.pipe_file(f"/sudoku/{name}", (tmp_path / name).read_bytes())
    there = build_sudoku(recipe.model_copy(update={"path": "memory://sudoku"}))
    here = build_sudoku(recipe)
    for name, split in here.splits.items():
        assert all((column == there.splits[name].columns()[key]).all() for key, column in split.columns().items())


SOLVED = "123456789456789123789123456231674895875912364694538217317265948542897631968341572"
BAD = [
    (f"s,12,{SOLVED},1", "a question must have 81 characters"),
    (f"s,{SOLVED},34,1", "an? answer must have 81 characters"),
    (f"s,{'x' * 81},{SOLVED},1", "a question must hold digits 1 to 9, and dots or zeros"),
    (f"s,{SOLVED},{SOLVED[:-1]}\N{LATIN SMALL LETTER E WITH ACUTE},1", "an? answer must"),
    (f"s,{'2' * 81},{SOLVED},1", "a question must agree with its answer"),
    (f"s,{'.' * 81},{'.' * 81},1", "an answer must have no blanks"),
    (f"s,{SOLVED},{SOLVED},hard", "a rating must be a number from 0 on"),
    ("s,1", "a row must have as many columns as the header"),
    (f's,"{SOLVED},{SOLVED},1', "a question must have 81 characters"),
    (f"s,{SOLVED},{SOLVED},1,more", "a row must have as many columns as the header"),
    (f"s,{'.' * 81},{SOLVED},1", "a board must have only one solution"),
    (f"s,11{'.' * 79},11{'2' * 79},1", "a board must have a solution"),
]


def test_the_solved_board_of_these_tests_is_one() -> None:
    board = np.array([[int(digit) for digit in SOLVED]], dtype=np.uint8)
    assert count_solutions(board, 9)[0].tolist() == [1]


@pytest.mark.parametrize(("line", "rule"), BAD)
def test_a_bad_row_is_named_or_left_out_and_counted(
    tmp_path: Path, found: tuple[np.ndarray, np.ndarray], line: str, rule: str
) -> None:
    train = lines(*(boards[:30] for boards in found))
    train.insert(7, line)
    recipe = publish(tmp_path, train, lines(*(boards[30:] for boards in found)))
    with pytest.raises(
        DatasetError,
        match=rf"^{rule}.*: .*train.csv row 8 breaks that; mend or remove the row, or leave it out with skip_bad: true",
    ):
        build_sudoku(recipe)
    built = build_sudoku(recipe.model_copy(update={"skip_bad": True}))
    assert list(built.skipped.values()) == [1]
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 25, "validation": 5, "test": 10}


def test_a_row_of_a_later_block_is_named_and_every_rule_is_counted(
    tmp_path: Path, found: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.tasks.making.published_csv.BLOCK_BYTES", 700)
    train, test = lines(*(boards[:30] for boards in found)), lines(*(boards[30:] for boards in found))
    train[26] = train[26].rsplit(",", 1)[0] + ",?"
    recipe = publish(tmp_path, train, test)
    with pytest.raises(DatasetError, match=r"a rating must be a number from 0 on: .*train.csv row 27 breaks"):
        build_sudoku(recipe)
    for place, line in ((2, "s,1"), (9, f"s,12,{SOLVED},1"), (20, "s,1"), (25, f"s,{'.' * 81},{SOLVED},1")):
        train.insert(place, line)
    built = build_sudoku(publish(tmp_path, train, test).model_copy(update={"skip_bad": True}))
    skipped = {"a row must have as many columns as the header": 2, "a question must have 81 characters": 1}
    skipped |= {"a rating must be a number from 0 on": 1, "a board must have only one solution": 1}
    assert built.skipped == skipped
    assert len(built.splits["train"].groups) == 24


def test_a_wrong_answer_is_named(tmp_path: Path, found: tuple[np.ndarray, np.ndarray]) -> None:
    questions, answers = found
    wrong = answers[:30].copy()
    blanks = np.flatnonzero(questions[4] == 0)[:2]
    wrong[4, blanks] = wrong[4, blanks[::-1]]
    recipe = publish(tmp_path, lines(questions[:30], wrong), lines(questions[30:], answers[30:]))
    with pytest.raises(DatasetError, match=r"an answer must solve its board: .*train.csv row 5 breaks"):
        build_sudoku(recipe)


def test_a_puzzle_in_both_files_is_refused_and_both_rows_are_named(tmp_path: Path, found: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = publish(tmp_path, lines(*(boards[:33] for boards in found)), lines(*(boards[30:] for boards in found)))
    rule = "a puzzle must not be in both train and test"
    with pytest.raises(DatasetError, match=rf"{rule}: .*train.csv row 31, which is .*test.csv row 1, breaks that"):
        build_sudoku(recipe)
    built = build_sudoku(recipe.model_copy(update={"skip_bad": True}))
    assert built.skipped == {rule: 3}
    assert len(built.splits["train"].groups) == 25
    assert len(built.splits["test"].groups) == 10


def test_twins_are_the_equal_rows() -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.integers(0, 2, (60, 5)).astype(np.uint8), rng.integers(0, 2, (20, 5)).astype(np.uint8)
    found = equal_row(rows, others)
    for row, twin in zip(rows, found, strict=True):
        is_equal = (others == row).all(axis=1)
        assert is_equal[twin] if twin >= 0 else not is_equal.any()
    assert (equal_row(rows, others[:0]) == -1).all()


def test_a_file_that_is_missing_or_no_such_csv_is_named(tmp_path: Path) -> None:
    recipe = SudokuRecipe(name="case", size=9, path=str(tmp_path))
    with pytest.raises(DatasetError, match=r"a file of puzzles must be within reach: .*test.csv"):
        build_sudoku(recipe)
    (tmp_path / "train.csv").write_text("question,answer\n1,2\n")
    with pytest.raises(DatasetError, match=r"a file of puzzles must be within reach: .* has no test.csv"):
        build_sudoku(recipe)
    (tmp_path / "test.csv").write_text("question,answer\n1,2\n")
    with pytest.raises(DatasetError, match=r"a question must have 81 characters: .*test.csv row 1 breaks"):
        build_sudoku(recipe)
    (tmp_path / "test.csv").write_text(HEADER + "\n")
    with pytest.raises(DatasetError, match=r"a file of puzzles must hold some that fit: .*test.csv has none"):
        build_sudoku(recipe)

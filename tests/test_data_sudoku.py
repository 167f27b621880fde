"""Sudoku: one solution each, the counts that are known, and no leak between splits under any symmetry."""

from pathlib import Path

import numpy as np
import pytest

from trm.data.augmentation.sudoku import BLANK, apply, draw_forms
from trm.data.builders.built import BuiltDataset
from trm.data.builders.sudoku import build_sudoku
from trm.data.builders.sudoku_search import count_solutions, generate
from trm.data.builders.sudoku_small import essential_puzzles
from trm.data.builders.sudoku_symmetry import are_among, canonical_forms, invariants, symmetry_classes
from trm.data.draws import hashed
from trm.data.recipes import SudokuRecipe
from trm.errors import DatasetError


def digits(built: BuiltDataset) -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers of all splits, 0 for blank."""
    splits = built.splits.values()
    return tuple(np.concatenate([getattr(split, name) for split in splits]) - np.uint8(BLANK) for name in ("inputs", "labels"))


def check(built: BuiltDataset, size: int) -> None:
    """Every puzzle has its answer as its one solution, and all puzzles of all splits are essentially different."""
    questions, answers = digits(built)
    assert (count_solutions(questions, size)[0] == 1).all()
    assert (count_solutions(answers, size)[0] == 1).all()
    assert ((questions == 0) | (questions == answers)).all()
    forms = canonical_forms(questions, answers, size)
    assert len(np.unique(forms, axis=0)) == len(forms)
    groups = np.concatenate([split.groups for split in built.splits.values()])
    assert (np.sort(groups) == np.arange(len(groups))).all()


def test_the_4x4_puzzles_are_counted_right() -> None:
    puzzles = essential_puzzles()
    questions = puzzles.answers * puzzles.is_clue
    assert len(questions) == 4710
    assert (puzzles.is_clue.sum(axis=1) <= 8).sum() == 2236
    assert puzzles.is_minimal.sum() == 36
    assert (count_solutions(questions, 4)[0] == 1).all()
    assert len(np.unique(canonical_forms(questions, puzzles.answers, 4), axis=0)) == 4710


def test_4x4_splits_are_essentially_different_and_seeded() -> None:
    recipe = SudokuRecipe(name="case", size=4, train=3700, validation=500, test=510)
    built = build_sudoku(recipe)
    check(built, 4)
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 3700, "validation": 500, "test": 510}
    assert built.vocabulary == ("pad", ".", "1", "2", "3", "4")
    assert (digits(build_sudoku(recipe))[0] == digits(built)[0]).all()
    assert len(np.unique(digits(built)[1], axis=0)) > 250  # not only the two boards that the list is made of
    other = build_sudoku(recipe.model_copy(update={"seed": 1}))
    assert (digits(other)[0] != digits(built)[0]).any()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "only 4710 essentially different 4x4 puzzles with one solution: 4700 train \\+ 10 validation \\+ 1 test = 4711"),
        ({"max_clues": 8}, "only 2236 essentially different 4x4 puzzles with one solution and at most 8 clues"),
        ({"minimal": True}, "only 36 essentially different 4x4 minimal puzzles"),
    ],
)
def test_more_4x4_puzzles_than_there_are_is_refused_with_the_number(limits: dict[str, object], message: str) -> None:
    recipe = SudokuRecipe(name="case", size=4, train=4700, validation=10, test=1, **limits)
    with pytest.raises(DatasetError, match=message):
        build_sudoku(recipe)


@pytest.mark.parametrize("size", [6, 9])
def test_generated_puzzles_have_one_solution_and_no_spare_clue(size: int) -> None:
    built = build_sudoku(SudokuRecipe(name="case", size=size, minimal=True, train=40, validation=10, test=10))
    check(built, size)
    questions, _ = digits(built)
    spared = np.repeat(questions, size * size, axis=0)
    spared[np.arange(len(spared)), np.tile(np.arange(size * size), len(questions))] = 0
    has_less = (spared != np.repeat(questions, size * size, axis=0)).any(axis=1)
    assert (count_solutions(spared[has_less], size)[0] == 2).all()
    rating = np.concatenate([split.extras["rating"] for split in built.splits.values()])
    assert rating.min() == 0
    assert rating.max() > 0


def test_generated_puzzles_keep_the_clues_asked_for() -> None:
    built = build_sudoku(SudokuRecipe(name="case", size=9, max_clues=30, train=20, validation=0, test=5))
    check(built, 9)
    assert set(built.splits) == {"train", "test"}
    assert ((digits(built)[0] > 0).sum(axis=1) == 30).all()


def test_clues_that_cannot_be_reached_are_refused() -> None:
    with pytest.raises(
        DatasetError, match=r"60 puzzles of at most 6 clues were asked for: \d+ were found in \d+ tries; raise max_clues"
    ):
        build_sudoku(SudokuRecipe(name="case", size=6, minimal=True, max_clues=6, train=50, validation=5, test=5))


@pytest.mark.parametrize("size", [4, 6, 9])
def test_symmetric_forms_are_one_class(size: int) -> None:
    found = generate(hashed(4, np.arange(12)), size, is_minimal=True, max_clues=None)
    forms = draw_forms(hashed(5, np.arange(12)), size)
    questions, answers = (
        np.concatenate([boards, apply(boards + np.uint8(BLANK), forms) - np.uint8(BLANK)])
        for boards in (found.questions, found.answers)
    )
    assert (invariants(questions, answers, size)[:12] == invariants(questions, answers, size)[12:]).all()
    classes = symmetry_classes(questions, answers, size)
    assert (classes[:12] == classes[12:]).all()
    assert are_among(questions[12:], answers[12:], questions[:6], answers[:6], size)[:6].all()
    if size == 9:
        assert len(np.unique(classes)) == 12
        assert not are_among(questions[18:], answers[18:], questions[:6], answers[:6], size).any()


def write_csv(folder: Path, train: np.ndarray, test: np.ndarray, answers: dict[str, np.ndarray]) -> None:
    for name, questions in (("train", train), ("test", test)):
        lines = [
            f"case,{''.join(map(str, question)).replace('0', '.')},{''.join(map(str, answer))},{row}"
            for row, (question, answer) in enumerate(zip(questions, answers[name], strict=True))
        ]
        (folder / f"{name}.csv").write_text("\n".join(["source,question,answer,rating", *lines]) + "\n")


def test_the_published_file_is_imported_without_a_leak(tmp_path: Path) -> None:
    found = generate(hashed(8, np.arange(40)), 9, is_minimal=True, max_clues=None)
    forms = draw_forms(hashed(9, np.arange(10)), 9)
    leaks = [apply(boards[30:] + np.uint8(BLANK), forms) - np.uint8(BLANK) for boards in (found.questions, found.answers)]
    train, train_answers = (np.concatenate([boards[:30], leak]) for boards, leak in zip(found[:2], leaks, strict=True))
    write_csv(tmp_path, train, found.questions[30:], {"train": train_answers, "test": found.answers[30:]})
    recipe = SudokuRecipe(name="case", size=9, train=None, validation=5, test=None, path=str(tmp_path))
    built = build_sudoku(recipe)
    check(built, 9)
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 25, "validation": 5, "test": 10}
    assert (built.splits["test"].inputs == found.questions[30:] + 1).all()
    hard = build_sudoku(recipe.model_copy(update={"min_difficulty": 4, "train": 20}))
    assert all(split.extras["rating"].min() >= 4 for split in hard.splits.values())
    assert len(hard.splits["train"].groups) == 20
    with pytest.raises(DatasetError, match=r"train.csv must hold 105 puzzles for train and validation: .* has 30 that fit"):
        build_sudoku(recipe.model_copy(update={"train": 100}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s,12,34,1", "a question must have 81 characters: .*train.csv row 2"),
        (f"s,{'x' * 81},{'1' * 81},1", "a question must hold digits and dots: .*train.csv row 2"),
        (f"s,{'2' * 81},{'1' * 81},1", "a question must agree with its answer: .*train.csv row 2"),
        (f"s,{'.' * 81},{'.' * 81},1", "an answer must have no blanks: .*train.csv row 2"),
        ("s,1", "a Sudoku file must be readable CSV: .*train.csv"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    found = generate(hashed(8, np.arange(1)), 9, is_minimal=True, max_clues=None)
    write_csv(tmp_path, found.questions, found.questions, {"train": found.answers, "test": found.answers})
    with open(tmp_path / "train.csv", "a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError, match=message):
        build_sudoku(SudokuRecipe(name="case", size=9, train=1, validation=0, test=None, path=str(tmp_path)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a Sudoku file must be readable CSV: .*test.csv"):
        build_sudoku(SudokuRecipe(name="case", size=9, path=str(tmp_path)))

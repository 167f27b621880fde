"""Sudoku: one solution each, the counts that are known, and no leak between splits under any symmetry."""

import numpy as np
import pytest
from data_cases import HalfStore
from hypothesis import given, settings
from hypothesis import strategies as st

from trm.data.batches.keyed_random import hashed
from trm.data.format.built import BuiltDataset
from trm.errors import DatasetError
from trm.tasks.making.chunks import remade
from trm.tasks.sudoku.augment import BLANK, apply, draw_forms
from trm.tasks.sudoku.build import build_sudoku, maker
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.seen import SeenPuzzles
from trm.tasks.sudoku.small import essential_puzzles
from trm.tasks.sudoku.solver import count_solutions, generate
from trm.tasks.sudoku.symmetry import canonical_forms, invariants


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
        ({"max_clues": 3}, "only 0 essentially different 4x4 puzzles with one solution and at most 3 clues"),
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
def test_symmetric_forms_are_one_puzzle(size: int) -> None:
    found = generate(hashed(4, np.arange(12)), size, is_minimal=True, max_clues=None)
    forms = draw_forms(hashed(5, np.arange(12)), size)
    questions, answers = (
        np.concatenate([boards, apply(boards + np.uint8(BLANK), forms) - np.uint8(BLANK)])
        for boards in (found.questions, found.answers)
    )
    keys = invariants(questions, answers, size)
    assert (keys[:12] == keys[12:]).all()
    exact = canonical_forms(questions, answers, size)
    assert (exact[:12] == exact[12:]).all()
    is_first = np.zeros(24, dtype=bool)
    is_first[np.unique(exact, axis=0, return_index=True)[1]] = True
    assert is_first.sum() == 12 or size == 4
    assert (SeenPuzzles(size).is_new(questions, answers) == is_first).all()
    seen = SeenPuzzles(size)
    assert (np.concatenate([seen.is_new(questions[k : k + 1], answers[k : k + 1]) for k in range(24)]) == is_first).all()
    half = SeenPuzzles(size)
    half.is_new(questions[:6], answers[:6])
    is_form = (exact[:, None] == exact[None, :6]).all(axis=2).any(axis=1)
    assert (half.is_known(questions, answers) == is_form).all()


def test_puzzles_are_told_apart_where_their_invariants_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.sudoku.seen.invariants", lambda questions, answers, size: np.zeros(len(questions), np.uint64))
    puzzles = essential_puzzles()
    questions, answers = puzzles.answers * puzzles.is_clue, puzzles.answers
    seen = SeenPuzzles(4)
    assert seen.is_new(questions[:40], answers[:40]).all()
    assert seen.is_known(questions[30:50], answers[30:50]).tolist() == [True] * 10 + [False] * 10
    assert seen.is_new(questions[30:50], answers[30:50]).tolist() == [False] * 10 + [True] * 10


def same(one: BuiltDataset, other: BuiltDataset) -> bool:
    """Whether two data sets are equal, byte by byte."""
    assert one.duplicates == other.duplicates
    for name, split in one.splits.items():
        pairs = zip(split.columns().values(), other.splits[name].columns().values(), strict=True)
        assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)
        assert (split.draws == other.splits[name].draws).all()
    return one.splits.keys() == other.splits.keys()


@pytest.mark.parametrize("size", [6, 9])
def test_a_build_through_a_store_of_half_the_pieces_is_the_same_build(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.sudoku.build.PIECE_PUZZLES", 16)
    recipe = SudokuRecipe(name="case", size=size, minimal=True, min_difficulty=1, train=20, validation=5, test=5)
    store = HalfStore()
    first = build_sudoku(recipe, store=store)
    assert not store.loads
    assert same(first, build_sudoku(recipe, store=store))
    assert store.loads
    assert same(first, build_sudoku(recipe))
    pieces = maker(recipe)
    assert pieces is not None
    for name, split in first.splits.items():
        made = remade(pieces, int(split.draws[0]), int(split.draws[-1]), first.duplicates)
        assert all((made[key] == column).all() for key, column in split.columns().items() if key != "groups"), name


def test_only_generated_puzzles_come_in_pieces() -> None:
    assert maker(SudokuRecipe(name="case", size=4)) is None
    assert maker(SudokuRecipe(name="case", path="somewhere")) is None


@pytest.mark.parametrize(("size", "min_difficulty"), [(4, 0), (6, 1), (9, 1)])
def test_a_rating_is_the_guesses_a_solver_needs(size: int, min_difficulty: int) -> None:
    limits = {"minimal": size > 4, "min_difficulty": min_difficulty, "train": 9, "validation": 3, "test": 3}
    built = build_sudoku(SudokuRecipe(name="case", size=size, **limits))
    for split in built.splits.values():
        _, guesses = count_solutions(split.inputs - np.uint8(BLANK), size)
        assert (split.extras["rating"] == guesses).all()
        assert guesses.min() >= min_difficulty


def test_no_4x4_puzzle_needs_a_guess() -> None:
    built = build_sudoku(SudokuRecipe(name="case", size=4, train=3700, validation=500, test=510))
    assert all((split.extras["rating"] == 0).all() for split in built.splits.values())


def test_ratings_that_no_puzzle_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.sudoku.build.PIECE_PUZZLES", 64)
    limits = {"minimal": True, "min_difficulty": 1000, "train": 5, "validation": 0, "test": 5}
    with pytest.raises(
        DatasetError, match=r"10 puzzles of a rating of at least 1000 were asked for: 0 were found in 1280 tries; lower"
    ):
        build_sudoku(SudokuRecipe(name="case", size=6, **limits))
    with pytest.raises(
        DatasetError, match=r"there are only 0 essentially different 4x4 minimal puzzles .* and a rating of at least 1000"
    ):
        build_sudoku(SudokuRecipe(name="case", size=4, **limits))


@settings(max_examples=12)
@given(st.sampled_from([4, 6]), st.booleans(), st.integers(0, 1 << 40), st.lists(st.integers(1, 12), min_size=3, max_size=3))
def test_no_symmetry_takes_a_puzzle_of_one_split_to_one_of_another(size: int, minimal: bool, seed: int, counts: list[int]) -> None:
    train, validation, test = counts
    limits = {"minimal": minimal, "max_clues": 24, "train": train, "validation": validation, "test": test}
    built = build_sudoku(SudokuRecipe(name="case", size=size, seed=seed, **limits))
    assert [len(built.splits[name].groups) for name in ("train", "validation", "test")] == counts
    forms = [
        canonical_forms(
            *(apply(column, draw_forms(hashed(seed, 1, split.groups.astype(np.int64)), size)) - 1 for column in columns), size
        )
        for split in built.splits.values()
        for columns in [(split.inputs, split.labels)]
    ]
    assert len(np.unique(np.concatenate(forms), axis=0)) == sum(counts)

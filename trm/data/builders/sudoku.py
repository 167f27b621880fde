"""Sudoku data sets: every 4x4 puzzle there is, generated 6x6 and 9x9 puzzles, or the published file.

No puzzle of one split is a symmetric form of a puzzle of another.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from trm.data.augmentation.sudoku import BLANK, apply, draw_forms
from trm.data.builders.built import BuiltDataset, BuiltSplit, Report, silent
from trm.data.builders.sudoku_small import essential_puzzles
from trm.data.draws import hashed, shuffled
from trm.data.manifest import NoAugmentation, SplitName, SudokuAugmentation
from trm.data.recipes import SudokuRecipe
from trm.errors import DatasetError

_CHOICE, _FORM, _PUZZLE = 0x43, 0x46, 0x50
ROUND_PUZZLES = 512
FRUITLESS_ROUNDS = 20
"""Rounds in which fewer than one puzzle in a hundred is kept, before generation gives up."""


def build_sudoku(recipe: SudokuRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`. Raises DatasetError when it asks for more puzzles than there are or were found."""
    if recipe.path is not None:
        from trm.data.builders.sudoku_csv import import_splits

        splits = import_splits(recipe, recipe.path, report)
    else:
        splits = _generated_splits(recipe, report)
    return BuiltDataset(
        task="sudoku",
        grid=(recipe.size, recipe.size),
        vocabulary=("pad", ".", *map(str, range(1, recipe.size + 1))),
        splits=splits,
        augmentation=SudokuAugmentation(num_aug=recipe.num_aug) if recipe.augment else NoAugmentation(),
    )


def as_split(
    questions: UInt8[np.ndarray, "puzzles cells"],
    answers: UInt8[np.ndarray, "puzzles cells"],
    first_group: int,
    **extras: np.ndarray,
) -> BuiltSplit:
    """Digits (0 blank) as tokens, each puzzle a group."""
    groups = np.arange(first_group, first_group + len(questions), dtype=np.int32)
    return BuiltSplit(questions + np.uint8(BLANK), answers + np.uint8(BLANK), groups, extras)


def _generated_splits(recipe: SudokuRecipe, report: Report) -> dict[SplitName, BuiltSplit]:
    assert recipe.train is not None
    assert recipe.test is not None
    wanted: dict[SplitName, int] = {"train": recipe.train, "validation": recipe.validation, "test": recipe.test}
    make = _small_puzzles if recipe.size == 4 else _large_puzzles
    columns = make(recipe, wanted, report)
    splits: dict[SplitName, BuiltSplit] = {}
    start = 0
    for name, count in wanted.items():
        part = {key: column[start : start + count] for key, column in columns.items()}
        if count:
            splits[name] = as_split(part.pop("questions"), part.pop("answers"), start, **part)
        start += count
    return splits


def _small_puzzles(recipe: SudokuRecipe, wanted: Mapping[SplitName, int], report: Report) -> dict[str, np.ndarray]:
    """Puzzles drawn from the list of all, each in a random form."""
    puzzles = essential_puzzles()
    is_allowed = puzzles.is_minimal | (not recipe.minimal)
    if recipe.max_clues is not None:
        is_allowed = is_allowed & (puzzles.is_clue.sum(axis=1) <= recipe.max_clues)
    allowed, count = np.flatnonzero(is_allowed), sum(wanted.values())
    if count > len(allowed):
        kind = ("minimal " if recipe.minimal else "") + "puzzles with one solution"
        kind += "" if recipe.max_clues is None else f" and at most {recipe.max_clues} clues"
        asked = " + ".join(f"{number} {name}" for name, number in wanted.items())
        raise DatasetError(
            f"there are only {len(allowed)} essentially different 4x4 {kind}: {asked} = {count} were asked for",
            remedy=f"ask for at most {len(allowed)} in all",
        )
    chosen = allowed[shuffled(len(allowed), recipe.seed, _CHOICE)[:count]]
    forms = draw_forms(hashed(recipe.seed, _FORM, chosen), 4)
    answers = apply(puzzles.answers[chosen] + np.uint8(BLANK), forms) - np.uint8(BLANK)
    is_clue = np.take_along_axis(puzzles.is_clue[chosen], forms.cells, axis=1)
    report("puzzles", count, count)
    return {"questions": answers * is_clue, "answers": answers}


def _large_puzzles(recipe: SudokuRecipe, wanted: Mapping[SplitName, int], report: Report) -> dict[str, np.ndarray]:
    """New puzzles, no two of them symmetric forms of each other; `rating` is the guesses that a solver needs."""
    from trm.data.builders.sudoku_search import count_solutions, generate
    from trm.data.builders.sudoku_symmetry import symmetry_classes

    count = sum(wanted.values())
    questions = answers = np.zeros((0, recipe.size**2), dtype=np.uint8)
    drawn = fruitless = 0
    while len(questions) < count:
        before = len(questions)
        seeds = hashed(recipe.seed, _PUZZLE, np.arange(drawn, drawn + ROUND_PUZZLES))
        found = generate(seeds, recipe.size, is_minimal=recipe.minimal, max_clues=recipe.max_clues)
        drawn += ROUND_PUZZLES
        questions = np.concatenate([questions, found.questions[found.is_kept]])
        answers = np.concatenate([answers, found.answers[found.is_kept]])
        _, first = np.unique(symmetry_classes(questions, answers, recipe.size), return_index=True)
        first = np.sort(first)[:count]
        questions, answers = questions[first], answers[first]
        report("puzzles", len(questions), count)
        fruitless = fruitless + 1 if len(questions) - before < ROUND_PUZZLES // 100 else 0
        if fruitless == FRUITLESS_ROUNDS and len(questions) < count:
            raise DatasetError(
                f"{count} puzzles of at most {recipe.max_clues} clues were asked for: {len(questions)} were found in {drawn} tries",
                remedy="raise max_clues or ask for fewer",
            )
    ratings = count_solutions(questions, recipe.size)[1]
    return {"questions": questions, "answers": answers, "rating": ratings.astype(np.int32)}

"""Sudoku data sets: every 4x4 puzzle there is, generated 6x6 and 9x9 puzzles, or the published file.

No puzzle of one split is a symmetric form of a puzzle of another. `rating` is the guesses that a backtracking solver with
singles needs, in the published file its own.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from trm.console.long_work import Report, silent
from trm.data.batches.keyed_random import hashed, shuffled
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import NoAugmentation, SplitName, SudokuAugmentation
from trm.errors import DatasetError
from trm.tasks.making.chunks import ChunkMaker, ChunkStore, Columns, Generated, generate
from trm.tasks.sudoku.augment import BLANK, apply, draw_forms
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.small import essential_puzzles

_CHOICE, _FORM, _PUZZLE = 0x43, 0x46, 0x50
PIECE_PUZZLES = 512
FRUITLESS_PIECES = 20
"""Pieces that together bring less than one new puzzle in a thousand tries, before generation gives up."""


def build_sudoku(recipe: SudokuRecipe, report: Report = silent, store: ChunkStore | None = None) -> BuiltDataset:
    """The data set of `recipe`. Raises DatasetError when it asks for more puzzles than there are or were found."""
    splits: Mapping[SplitName, BuiltSplit]
    duplicates: tuple[int, ...] = ()
    skipped: Mapping[str, int] = {}
    if recipe.path is not None:
        from trm.tasks.sudoku.published import import_splits

        splits, skipped = import_splits(recipe, recipe.path, report)
    elif (pieces := maker(recipe)) is not None:
        wanted = recipe.wanted()
        generated = generate(pieces, sum(wanted.values()), report, store)
        splits, duplicates = generated.splits(wanted, recipe.train), generated.duplicates
    else:
        splits = _small_splits(recipe, report)
    return BuiltDataset(
        task="sudoku",
        grid=(recipe.size, recipe.size),
        vocabulary=("pad", ".", *map(str, range(1, recipe.size + 1))),
        splits=splits,
        augmentation=SudokuAugmentation(num_aug=recipe.num_aug) if recipe.augment else NoAugmentation(),
        skipped=skipped,
        duplicates=duplicates,
    )


def maker(recipe: SudokuRecipe) -> ChunkMaker | None:
    """What generates the recipe's puzzles in pieces; None where they are imported or taken from the list of all (4x4)."""
    return None if recipe.path is not None or recipe.size == 4 else SudokuPieces(recipe)


def as_columns(questions: np.ndarray, answers: np.ndarray, rating: np.ndarray) -> Columns:
    """Digits (0 blank) as tokens, with the rating."""
    return {"inputs": questions + np.uint8(BLANK), "labels": answers + np.uint8(BLANK), "rating": rating.astype(np.int32)}


class SudokuPieces:
    """Generated 6x6 or 9x9 puzzles: random solved boards whose clues are taken away while the solution stays unique."""

    def __init__(self, recipe: SudokuRecipe) -> None:
        from trm.tasks.sudoku.seen import SeenPuzzles

        self._recipe = recipe
        self._seen = SeenPuzzles(recipe.size)
        self._found: list[int] = []

    def piece(self, number: int) -> Columns:
        """The puzzles of `PIECE_PUZZLES` tries that have no more clues, and no lower a rating, than asked for."""
        from trm.tasks.sudoku.solver import count_solutions
        from trm.tasks.sudoku.solver import generate as search

        recipe = self._recipe
        tries = np.arange(number * PIECE_PUZZLES, (number + 1) * PIECE_PUZZLES)
        seeds = hashed(recipe.seed, _PUZZLE, tries)
        questions, answers, is_kept = search(seeds, recipe.size, is_minimal=recipe.minimal, max_clues=recipe.max_clues)
        questions, answers = questions[is_kept], answers[is_kept]
        rating = count_solutions(questions, recipe.size)[1]
        is_hard = rating >= (recipe.min_difficulty or 0)
        return as_columns(questions[is_hard], answers[is_hard], rating[is_hard])

    def is_new(self, columns: Columns) -> Bool[np.ndarray, "rows"]:
        """Which rows are symmetric forms of no row before them, in this call or an earlier one."""
        return self._seen.is_new(columns["inputs"] - np.uint8(BLANK), columns["labels"] - np.uint8(BLANK))

    def exhausted(self, found: int, wanted: int, pieces: int) -> DatasetError | None:
        """The error when the last pieces brought next to nothing."""
        self._found.append(found)
        before = self._found[-FRUITLESS_PIECES - 1] if pieces > FRUITLESS_PIECES else 0
        if pieces < FRUITLESS_PIECES or (found - before) * 1000 >= FRUITLESS_PIECES * PIECE_PUZZLES:
            return None
        return DatasetError(
            f"{wanted} puzzles{_limits(self._recipe)} were asked for: {found} were found in {pieces * PIECE_PUZZLES} tries",
            remedy=f"{'lower min_difficulty' if self._recipe.min_difficulty else 'raise max_clues'} or ask for fewer",
        )


def require_enough(recipe: SudokuRecipe) -> None:
    """DatasetError where a 4x4 recipe asks for more puzzles than there are; what others can bring shows when they are made."""
    if recipe.path is None and recipe.size == 4:
        existing = len(_small_columns(recipe)["rating"]) if recipe.min_difficulty else len(_allowed(recipe))
        _refuse_more(recipe, existing, recipe.wanted())


def _small_splits(recipe: SudokuRecipe, report: Report) -> dict[SplitName, BuiltSplit]:
    """Puzzles drawn from the list of all 4x4 ones, each in a random form."""
    require_enough(recipe)
    wanted = recipe.wanted()
    report("puzzles", sum(wanted.values()), sum(wanted.values()))
    return Generated(_small_columns(recipe)).splits(wanted, recipe.train)


def _allowed(recipe: SudokuRecipe) -> np.ndarray:
    """Numbers of the 4x4 puzzles whose clues are as the recipe wants them."""
    puzzles = essential_puzzles()
    is_allowed = puzzles.is_minimal | (not recipe.minimal)
    if recipe.max_clues is not None:
        is_allowed = is_allowed & (puzzles.is_clue.sum(axis=1) <= recipe.max_clues)
    return np.flatnonzero(is_allowed)


def _small_columns(recipe: SudokuRecipe) -> Columns:
    """All 4x4 puzzles that the recipe allows, in its order and forms."""
    from trm.tasks.sudoku.solver import count_solutions

    puzzles, allowed = essential_puzzles(), _allowed(recipe)
    chosen = allowed[shuffled(len(allowed), recipe.seed, _CHOICE)]
    forms = draw_forms(hashed(recipe.seed, _FORM, chosen), 4)
    answers = apply(puzzles.answers[chosen] + np.uint8(BLANK), forms) - np.uint8(BLANK)
    questions = answers * np.take_along_axis(puzzles.is_clue[chosen], forms.cells, axis=1)
    rating = count_solutions(questions, 4)[1]
    is_hard = rating >= (recipe.min_difficulty or 0)
    return as_columns(questions[is_hard], answers[is_hard], rating[is_hard])


def _refuse_more(recipe: SudokuRecipe, existing: int, wanted: Mapping[SplitName, int]) -> None:
    count = sum(wanted.values())
    if count > existing:
        kind = f"{'minimal ' if recipe.minimal else ''}puzzles with one solution{_limits(recipe, ' and')}"
        asked = " + ".join(f"{number} {name}" for name, number in wanted.items())
        raise DatasetError(
            f"there are only {existing} essentially different 4x4 {kind}: {asked} = {count} were asked for",
            remedy=f"ask for at most {existing} in all" if existing else "ask less of each puzzle",
        )


def _limits(recipe: SudokuRecipe, first: str = " of") -> str:
    """What the recipe asks of each puzzle, in words."""
    limits = [] if recipe.max_clues is None else [f"at most {recipe.max_clues} clues"]
    limits += [f"a rating of at least {recipe.min_difficulty}"] if recipe.min_difficulty else []
    return f"{first} {' and '.join(limits)}" if limits else ""

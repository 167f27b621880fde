"""Sudoku."""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int64, Integer
from rich.text import Text

from trm.config.networks import DataShape
from trm.config.training import MOST_FORMS
from trm.console.long_work import Report
from trm.data.batches.augmenter import Augmenter, PlainRows
from trm.data.batches.split import Split
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import Augmentation, Manifest, SudokuAugmentation
from trm.tasks.grid_text import Grid
from trm.tasks.legend import Legend
from trm.tasks.making.chunks import ChunkMaker, ChunkStore
from trm.tasks.sudoku.arrays import SudokuArrays
from trm.tasks.sudoku.augment import BLANK, SudokuEvaluationForms, SudokuRows
from trm.tasks.sudoku.draw import board_legend, board_text
from trm.tasks.sudoku.play import SudokuPlay
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.sudoku.score import METRICS
from trm.tasks.task import Cells, KnownCounts, OtherPairs, Pairs, Task


class Sudoku(Task[SudokuRecipe]):
    """Boards of 4, 6 or 9 digits; one puzzle under every symmetry of theirs."""

    name = "sudoku"
    recipe = SudokuRecipe
    metrics = METRICS
    has_symmetries: ClassVar[bool] = True
    most_forms: ClassVar[int] = MOST_FORMS
    arrays = SudokuArrays()
    play = SudokuPlay()

    def build(self, recipe: SudokuRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        """Generated, listed (4x4) or imported boards."""
        from trm.tasks.sudoku.build import build_sudoku

        return build_sudoku(recipe, report, store)

    def maker(self, recipe: SudokuRecipe) -> ChunkMaker | None:
        """Makes 6x6 and 9x9 boards."""
        from trm.tasks.sudoku.build import maker

        return maker(recipe)

    def counted(self, recipe: SudokuRecipe) -> KnownCounts | None:
        """Known, unless a file is taken whole. DatasetError for more 4x4 boards than there are."""
        from trm.tasks.sudoku.build import require_enough

        if recipe.train is None:
            return None
        require_enough(recipe)
        return KnownCounts(DataShape(recipe.size**2, recipe.size + 2, 1), recipe.train, recipe.validation)

    def augmenter(self, augmentation: Augmentation, split: Split, manifest: Manifest) -> Augmenter:
        """Random symmetric forms."""
        plain = PlainRows(split.inputs, split.labels)
        if not isinstance(augmentation, SudokuAugmentation):
            return plain
        return SudokuRows(plain, split.groups, size=manifest.grid[0], num_aug=augmentation.num_aug, seed=manifest.seed)

    def forms(self, manifest: Manifest) -> SudokuEvaluationForms:
        """Random symmetries, the same for every network."""
        return SudokuEvaluationForms(manifest.grid[0])

    def text(self, grid: Grid, vocabulary: tuple[str, ...]) -> Text:
        """Digits with rules between the boxes."""
        return board_text(grid, vocabulary)

    def legend(self, grid: tuple[int, int], vocabulary: tuple[str, ...]) -> Legend:
        """Digits and boxes."""
        return board_legend(grid[0], vocabulary)

    def same(
        self,
        inputs: Cells,
        labels: Cells,
        groups: Int64[np.ndarray, "rows"],
        identifiers: Integer[np.ndarray, "rows"],
        grid: tuple[int, int],
    ) -> Integer[np.ndarray, "rows"]:
        """Equal for symmetric forms of one board."""
        from trm.tasks.sudoku.seen import symmetry_groups

        return symmetry_groups(inputs - np.uint8(BLANK), labels - np.uint8(BLANK), grid[0])

    def is_scored(self, trained: Pairs, scored: OtherPairs, grid: tuple[int, int]) -> Bool[np.ndarray, "rows"]:
        """Which boards are symmetric forms of scored ones."""
        from trm.tasks.sudoku.seen import SeenPuzzles

        digits = [cells - np.uint8(BLANK) for cells in (*trained, *scored)]
        seen = SeenPuzzles(grid[0])
        seen.is_new(digits[2], digits[3])
        return seen.is_known(digits[0], digits[1])

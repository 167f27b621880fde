"""The recipe of data sets in the published code's array format."""

from typing import Literal

from pydantic import Field

from trm.data.format.manifest import TaskName
from trm.tasks.making.recipe import RecipeBase


class ArraysRecipe(RecipeBase):
    """A folder of arrays as the published builders write it, its rows kept as they are stored there."""

    task: Literal["arrays"] = "arrays"
    path: str
    """Folder or URL with `train/` and `test/`, each with `all__inputs.npy` and so on."""
    puzzle: Literal["sudoku", "maze", "arc", "other"]
    """What the puzzles are: sudoku, maze or arc, or other, of which only exactness and cells are scored."""
    validation: int | None = Field(None, ge=0)
    """Training groups held out, chosen by the seed; of ARC tasks the last example; null: a tenth, at most 1,000."""
    grid: tuple[int, int] | None = None
    """Height and width of the canvas of other puzzles; null: square."""
    skip_bad: bool = False
    """Leave out rows that break a rule, and training puzzles that are tested (ARC: as another task), and count them."""

    @property
    def puzzle_task(self) -> TaskName:
        """What the data set's puzzles are."""
        return self.puzzle

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation != 0

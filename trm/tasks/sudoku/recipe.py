"""The recipe of Sudoku data sets."""

from typing import Literal

from pydantic import Field, model_validator

from trm.tasks.making.recipe import CountedRecipe


class SudokuRecipe(CountedRecipe):
    """Sudoku boards with one solution: generated, or imported from the published CSV when `path` is given."""

    task: Literal["sudoku"] = "sudoku"
    size: Literal[4, 6, 9] = 9
    """Digits; boxes are 2x2, 2x3 and 3x3."""
    train: int | None = Field(1000, ge=1)
    """Training puzzles; null (import only): all that `validation` leaves."""
    validation: int = Field(500, ge=0)
    """Validation puzzles, never equal to a training puzzle under any symmetry."""
    test: int | None = Field(500, ge=1)
    """Test puzzles; null (import only): the whole published test file."""
    minimal: bool = False
    """Generate puzzles of which no clue can be spared."""
    max_clues: int | None = Field(None, ge=1, le=81)
    """Most clues of a generated puzzle; null: no limit (4x4), or none but that of `minimal`."""
    min_difficulty: int | float | None = Field(None, ge=0)
    """Least rating: guesses that a backtracking solver needs, on import the file's own measure."""
    augment: bool = True
    """Vary training puzzles by the symmetries of Sudoku when they are needed."""
    num_aug: int | None = Field(None, ge=1)
    """Forms a puzzle is seen in besides its own; null: a new one at every visit."""
    path: str | None = None
    """Folder or URL with train.csv and test.csv, or one CSV file for all splits; null: generate."""

    @model_validator(mode="after")
    def _check(self) -> "SudokuRecipe":
        if self.path is None and self.columns:
            raise ValueError(f"columns are those of files, and path is null; give path, or leave out columns {self.columns}")
        if self.path is None:
            if self.train is None or self.test is None:
                raise ValueError("train and test must be numbers when puzzles are generated, one is null; give a number, or path")
            if self.size > 4 and not self.minimal and self.max_clues is None:
                raise ValueError(f"size {self.size} needs minimal: true or max_clues, it has neither; set minimal: true")
        return self

"""The recipe of maze data sets."""

from typing import Literal

from pydantic import Field, model_validator

from trm.tasks.making.recipe import CountedRecipe


class MazeRecipe(CountedRecipe):
    """Square mazes with one labelled shortest path: generated, or imported from the published arrays when `path` is given."""

    task: Literal["maze"] = "maze"
    size: int = Field(30, ge=5, le=30)
    """Cells of a side, outer cells included."""
    train: int | None = Field(1000, ge=1)
    """Training mazes; null (import only): all that `validation` leaves."""
    validation: int = Field(100, ge=0)
    """Validation mazes; on import they are taken from the published training set."""
    test: int | None = Field(1000, ge=1)
    """Test mazes; null (import only): the whole published test set."""
    wall_fraction: float = Field(0.37, ge=0, lt=0.9)
    """Share of walls in a generated maze."""
    min_path: int = Field(108, ge=1)
    """Least number of path cells (`o`) of a generated maze."""
    augment: bool = False
    """Train on the eight symmetries, each solved anew."""
    path: str | None = None
    """Folder or URL with the published arrays (`train/`, `test/`) or train.csv and test.csv; null: generate."""

    @model_validator(mode="after")
    def _check(self) -> "MazeRecipe":
        if self.path is None and (self.train is None or self.test is None):
            raise ValueError("train and test must be numbers when mazes are generated, one is null; give a number, or path")
        return self

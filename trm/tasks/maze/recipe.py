"""The recipe of maze data sets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trm.config.base import Later
from trm.tasks.making.recipe import CountedRecipe

WALL_FRACTION = 0.37


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
    style: Annotated[Literal["random", "perfect"], Later] = "random"
    """How mazes are generated: random walls, as in Maze-Hard; or carved depth first, with one path between any two cells, as in
    Maze-Unique (EqR), which takes an odd `size`."""
    wall_fraction: float = Field(WALL_FRACTION, ge=0, lt=0.9)
    """Share of walls in a generated maze of random walls."""
    min_path: int = Field(108, ge=1)
    """Least number of path cells (`o`) of a generated maze."""
    max_path: Annotated[int | None, Later] = Field(None, ge=1)
    """Greatest number of path cells of a generated maze; null: any."""
    augment: bool = False
    """Train on the eight symmetries: each solved anew, or where there is one path turned with it."""
    path: str | None = None
    """Folder or URL with the published arrays (`train/`, `test/`) or train.csv and test.csv; null: generate."""

    @model_validator(mode="after")
    def _check(self) -> "MazeRecipe":
        if self.path is None and (self.train is None or self.test is None):
            raise ValueError("train and test must be numbers when mazes are generated, one is null; give a number, or path")
        if self.max_path is not None and self.max_path < self.min_path:
            raise ValueError(f"max_path must be at least min_path, got {self.max_path} and {self.min_path}; swap them")
        if self.style == "perfect":
            self._check_perfect()
        return self

    def _check_perfect(self) -> None:
        if self.path is not None:
            raise ValueError(f"style perfect is how mazes are generated, and path {self.path!r} imports some; drop one")
        if self.size % 2 == 0:
            raise ValueError(f"mazes of style perfect have an odd size, got {self.size}; try {self.size - 1} or {self.size + 1}")
        if self.wall_fraction != WALL_FRACTION:
            raise ValueError(
                f"wall_fraction is of mazes of random walls, got {self.wall_fraction:g} with style perfect, whose walls follow "
                f"from the carving; drop it"
            )
        if self.max_path == self.min_path and self.min_path % 2 == 0:
            raise ValueError(
                f"paths of mazes of style perfect have an odd number of cells, got {self.min_path} as min_path and max_path; "
                f"widen them"
            )

    @property
    def has_one_path(self) -> bool:
        """Whether every maze has one path between its ends, so that a label stays right however the maze is turned."""
        return self.style == "perfect"

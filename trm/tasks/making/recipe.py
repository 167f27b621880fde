"""What every recipe has, and how two recipes are known to be one."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from trm.config.base import Later, Written, without_later
from trm.data.format.manifest import SplitName, TaskName

BUILDS = 2
"""Raised when a builder makes another data set of the same recipe, so that an old folder is not taken for the new set."""


class RecipeBase(Written):
    """What every recipe has."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the data set and its folder."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Seeds generation, subsampling and the choice of splits."""

    @classmethod
    def kind(cls) -> str:
        """What `task` of such a recipe is."""
        return str(cls.model_fields["task"].default)

    @property
    def puzzle_task(self) -> TaskName:
        """What the data set's puzzles are, which decides scoring."""
        raise NotImplementedError

    @property
    def split_names(self) -> tuple[SplitName, ...]:
        """The splits that the data set will have."""
        return ("train", "validation", "test") if self.has_validation else ("train", "test")

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        raise NotImplementedError

    def digest(self) -> str:
        """Digest of the complete recipe; equal digests are the same data set."""
        values = without_later(self, self.model_dump(mode="json")) | {"builds": BUILDS}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


class CountedRecipe(RecipeBase):
    """Puzzles that are generated, or imported when `path` is given: so many in each split."""

    task: Literal["sudoku", "maze"]
    train: int | None
    validation: int
    test: int | None
    path: str | None
    skip_bad: bool = False
    """Leave bad rows of the published files out and count them, by rule, in the manifest; false: refuse the first."""
    columns: Annotated[dict[Literal["question", "answer", "rating"], str], Later] = Field(default_factory=dict)
    """What the files call question, answer and rating, where the usual names (`quizzes`, `solution` ...) do not say."""
    train_pool: Annotated[int | None, Later] = Field(None, ge=1)
    """Generated training puzzles of which the first `train` are the training split, so that sets of several sizes have the same
    validation and test puzzles; null: `train`. An import has them anyway."""

    @field_validator("train_pool")
    @classmethod
    def _more_than_train(cls, value: int | None, info: Any) -> int | None:
        """None where it changes nothing, so that the set is the one without it."""
        train = info.data.get("train")
        if value is None or train is None or info.data.get("path") is not None or value == train:
            return None
        if value < train:
            raise ValueError(f"train_pool must be at least train, got {value} and {train}; raise it or drop it")
        return value

    @property
    def puzzle_task(self) -> TaskName:
        """What the data set's puzzles are."""
        return self.task

    @property
    def named_columns(self) -> dict[str, str]:
        """Meaning -> what the files call that column."""
        return {str(meaning): name for meaning, name in self.columns.items()}

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return self.validation > 0

    def wanted(self) -> dict[SplitName, int]:
        """Puzzles that are generated for each split."""
        assert self.train is not None
        assert self.test is not None
        return {"train": self.train_pool or self.train, "validation": self.validation, "test": self.test}

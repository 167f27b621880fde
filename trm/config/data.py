"""Which data set a run trains on."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from trm.config.base import Later, Written, unless

RECIPE_FIELDS = ("num_aug", "train")
"""Fields of a recipe that stand in `data` too, where they can be knobs."""
SET_KNOBS = tuple(f"data.{name}" for name in ("recipe", *RECIPE_FIELDS))
"""Paths of the configuration that decide which data set it is."""


class Difficulty(Written):
    """How much more often training visits puzzles that it answers wrongly.

    The weight of a base puzzle is floor + (1 - right / (seen + 1)) ** strength, over its answers when slots halted.
    """

    strength: float = Field(0.0, ge=0, le=100)
    """Steepness of the weights; 0: each puzzle is visited once an epoch."""
    floor: Annotated[float, unless("data.difficulty.strength", 0)] = Field(0.1, gt=0, le=100)
    """Weight of a puzzle that is always answered rightly."""


class DataConfig(Written):
    """Which data set: a recipe, built when it is missing, or the folder of a built one."""

    recipe: str | None = None
    """Path of a recipe YAML (`datasets/NAME.yaml`)."""
    folder: str | None = None
    """Folder of a built data set (holds manifest.json)."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields to replace, for instance `path`."""
    num_aug: Annotated[int | None, Later] = Field(None, le=100_000)
    """Augmentations a puzzle, where the recipe has `num_aug`; null: the recipe's."""
    train: Annotated[int | None, Later] = Field(None, ge=1)
    """Training puzzles, where the recipe has `train`; null: the recipe's. Fewer of them leave validation and test as they are."""
    train_pool: Annotated[int | None, Later] = Field(None, ge=1)
    """Training puzzles of the largest set with which this one shares validation and test puzzles: a sweep of `train` writes it."""
    difficulty: Annotated[Difficulty, Later] = Difficulty()
    """Which puzzles are visited more often; needs rows in memory."""
    mode: Literal["auto", "resident", "stream"] = "auto"
    """Where training rows wait: in memory, or on storage until they are needed; auto: by size, and written down for a resume."""
    shuffle_window_rows: int = Field(65536, ge=1)
    """Rows that `stream` shuffles among each other, in whole row groups; two windows are held in memory."""

    @property
    def is_streamed(self) -> bool:
        """Whether training rows come in the order of a stream."""
        return self.mode == "stream"

    def built(self, folder: str) -> "DataConfig":
        """These data, named by the folder in which they were built."""
        open_ones = dict.fromkeys(("recipe", "train_pool", *RECIPE_FIELDS))
        return self.model_copy(update={**open_ones, "folder": folder, "overrides": {}})

    @property
    def chosen_fields(self) -> Mapping[str, Any]:
        """Fields of the recipe that stand here, and have a value."""
        return {name: value for name in RECIPE_FIELDS if (value := getattr(self, name)) is not None}

    @property
    def source(self) -> str:
        """What names the data set, as text: equal for equal words, whatever the rows wait in."""
        named = self.model_dump(mode="json", exclude={"mode", "shuffle_window_rows", "difficulty"})
        return json.dumps(named, sort_keys=True)

    @property
    def words(self) -> str:
        """The data set for a reader: its recipe or folder, and what is chosen of the recipe."""
        fields = ", ".join(f"{name} {value}" for name, value in self.chosen_fields.items())
        return f"{self.recipe or self.folder}, {fields}" if fields else str(self.recipe or self.folder)

    def order(self) -> dict[str, Any]:
        """What decides the order of training rows; `auto` that nothing resolved is resident."""
        weighed = {"difficulty": self.difficulty.model_dump()} if self.is_weighed else {}
        if self.is_streamed:
            return {"mode": "stream", "shuffle_window_rows": self.shuffle_window_rows, **weighed}
        return {"mode": "resident", **weighed}

    @property
    def is_weighed(self) -> bool:
        """Whether puzzles are visited by their difficulty."""
        return self.difficulty.strength > 0

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if (self.recipe is None) == (self.folder is None):
            given = "neither was given" if self.recipe is None else f"got recipe {self.recipe!r} and folder {self.folder!r}"
            raise ValueError(f"data needs one of recipe and folder, {given}; give one of them")
        if self.folder is not None and self.overrides:
            raise ValueError(f"data.overrides change a recipe, but folder {self.folder!r} is built already; drop one")
        if self.folder is not None and (chosen := {**self.chosen_fields, **({"train_pool": 1} if self.train_pool else {})}):
            raise ValueError(f"data.{next(iter(chosen))} changes a recipe, but folder {self.folder!r} is built already; drop one")
        return self

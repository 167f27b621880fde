"""The recipe of mixtures: several data sets as one."""

import hashlib
from typing import Any, Literal

from pydantic import Field, model_validator

from trm.config.base import Written
from trm.data.batches.mixing import BLOCK_VISITS
from trm.data.format.manifest import Manifest, SplitName, TaskName, read_manifest
from trm.errors import DatasetError
from trm.tasks.choice import puzzle_recipes
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.recipe_files import read_recipe


class MixedPart(Written):
    """One data set of a mixture: a recipe, or the folder of a built one."""

    recipe: str | None = None
    """Path of the YAML recipe."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of that recipe to replace."""
    folder: str | None = None
    """Folder or URL of a built data set."""
    weight: float | None = Field(None, gt=0)
    """Share of the visits, against the other parts' weights; null, then for all parts: in proportion to its puzzles."""

    @model_validator(mode="after")
    def _check(self) -> "MixedPart":
        if (self.recipe is None) == (self.folder is None):
            raise ValueError("a part is a recipe or a folder, give one of the two")
        if self.folder is not None and self.overrides:
            raise ValueError("overrides go with a recipe, folder is given; remove them")
        return self

    def source(self) -> RecipeBase | Manifest:
        """The recipe or the manifest of the part. Raises DatasetError when it cannot be read, or is a mixture itself."""
        if self.recipe is None:
            return read_manifest(str(self.folder))
        recipe = read_recipe(self.recipe, lambda: {**puzzle_recipes(), MixtureRecipe.kind(): MixtureRecipe}, self.overrides)
        if isinstance(recipe, MixtureRecipe):
            raise DatasetError(f"a part must be no mixture: {self.recipe} is one", remedy="name its parts in this recipe")
        return recipe


class MixtureRecipe(RecipeBase):
    """Several data sets of one kind as one: identifiers kept apart, each with its own augmentation, mixed by weight."""

    task: Literal["mixture"] = "mixture"
    parts: tuple[MixedPart, ...] = Field(min_length=2, max_length=100)
    """The data sets."""
    allow_overlap: bool = False
    """Take ARC subsets that share tasks with another part's test set; these are kept as test tasks only."""
    skip_bad: bool = False
    """Leave out bad rows of the parts' sources, and puzzles that a part uses and another one scores, and count them."""

    @property
    def puzzle_task(self) -> TaskName:
        """What the puzzles of all parts are."""
        source = self.parts[0].source()
        return source.task if isinstance(source, Manifest) else source.puzzle_task

    @property
    def split_names(self) -> tuple[SplitName, ...]:
        """Every split that a part has."""
        names: set[str] = set()
        for part in self.parts:
            source = part.source()
            names |= set(source.splits if isinstance(source, Manifest) else source.split_names)
        every: tuple[SplitName, ...] = ("train", "validation", "test")
        return tuple(name for name in every if name in names)

    @property
    def parts_splits(self) -> dict[str, tuple[SplitName, ...]]:
        """Name of each part -> the splits that it has."""
        sources = [part.source() for part in self.parts]
        return {one.name: tuple(one.splits) if isinstance(one, Manifest) else tuple(one.split_names) for one in sources}

    @property
    def has_validation(self) -> bool:
        """Whether some puzzles validate."""
        return "validation" in self.split_names

    def digest(self) -> str:
        """Digest of this recipe and of what its parts are."""
        sources = [part.source() for part in self.parts]
        parts = [source.content_hash if isinstance(source, Manifest) else source.digest() for source in sources]
        return hashlib.sha256(" ".join([super().digest(), *parts]).encode()).hexdigest()

    @model_validator(mode="after")
    def _check(self) -> "MixtureRecipe":
        weights = [part.weight for part in self.parts if part.weight is not None]
        if weights and len(weights) < len(self.parts):
            raise ValueError(f"all parts have a weight or none has, {len(weights)} of {len(self.parts)} have one; give all one")
        if weights and min(weights) < sum(weights) / BLOCK_VISITS:
            raise ValueError(f"a weight is at least a thousandth of all, the least is {min(weights)} of {sum(weights)}; raise it")
        return self

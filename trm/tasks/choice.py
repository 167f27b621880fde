"""Recipes: which data set to make, as a tagged union on `task`; a recipe is a YAML file in `datasets/`."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from trm.config.base import Written
from trm.config.files import apply_overrides, load_yaml, require_kind, validated
from trm.config.messages import nearest
from trm.config.paths import with_data_beside, with_sources_beside
from trm.data.batches.mixing import BLOCK_VISITS
from trm.data.format.manifest import Manifest, SplitName, Task, read_manifest
from trm.errors import ConfigError, DatasetError
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.table.recipe import TableRecipe


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

    def source(self) -> "Recipe | Manifest":
        """The recipe or the manifest of the part. Raises DatasetError when it cannot be read, or is a mixture itself."""
        if self.recipe is None:
            return read_manifest(str(self.folder))
        recipe = load_recipe(self.recipe, self.overrides)
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
    def puzzle_task(self) -> Task:
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


Recipe = SudokuRecipe | MazeRecipe | ArcRecipe | ArraysRecipe | TableRecipe | MixtureRecipe
RECIPES: dict[str, type[Recipe]] = {
    "sudoku": SudokuRecipe,
    "maze": MazeRecipe,
    "arc": ArcRecipe,
    "arrays": ArraysRecipe,
    "table": TableRecipe,
    "mixture": MixtureRecipe,
}


def _part_beside(part: Any, folder: Path) -> Any:
    return with_data_beside({"data": part}, folder)["data"]


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, with fields replaced: a mapping of them, or texts `field=value`.

    Raises DatasetError that names file, field, rule, value and remedy.
    """
    try:
        mapping = with_sources_beside(load_yaml(path), Path(path).parent)
        if isinstance(parts := mapping.get("parts"), list):
            mapping["parts"] = [_part_beside(part, Path(path).parent) for part in parts]
        if isinstance(overrides, Mapping):
            mapping |= overrides
        else:
            mapping = apply_overrides(mapping, overrides)
        return recipe_of(mapping, str(path))
    except ConfigError as error:
        raise DatasetError(error.problem, remedy=error.remedy) from error


def recipe_of(mapping: Mapping[str, Any], source: str) -> Recipe:
    """A mapping as the recipe of its task. Raises ConfigError."""
    require_kind(mapping, "data set recipe", source)
    task = mapping.get("task")
    if task not in RECIPES:
        near = nearest(str(task), list(RECIPES))
        given = "it has none" if task is None else f"got {task!r}"
        raise ConfigError(
            f"{source}: task must be one of {', '.join(RECIPES)}, {given}",
            remedy=f"did you mean {near}?" if near else "choose one of them",
        )
    return validated(RECIPES[task], mapping, source)


def dataset_folder(recipe: Recipe, root: str) -> str:
    """Where a recipe's data set belongs below `root`: other recipes have other folders."""
    return f"{root.rstrip('/')}/{recipe.name}-{recipe.digest()[:8]}"

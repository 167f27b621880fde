"""All recipes: which data set to make, as a tagged union on `task`; a recipe is a YAML file in `datasets/`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.config.data import DataConfig
from trm.errors import DatasetError
from trm.tasks.choice import puzzle_recipes
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.recipe_files import read_recipe, recipe_from


def recipes() -> dict[str, type[RecipeBase]]:
    """`task` of a recipe -> what it means."""
    return {**puzzle_recipes(), MixtureRecipe.kind(): MixtureRecipe}


def load_recipe(path: str | Path, overrides: Mapping[str, Any] | Sequence[str] = (), *, is_own: bool = False) -> RecipeBase:
    """The recipe in a YAML file, with fields replaced: a mapping of them, or texts `field=value`.

    Its `imports` are imported where a person named the file on the command line (`is_own`), or said them by an override. Raises
    DatasetError that names file, field, rule, value and remedy.
    """
    return read_recipe(path, recipes, overrides, is_own=is_own)


def recipe_of_data(data: DataConfig) -> RecipeBase:
    """The recipe of the configured data set, with what the configuration chooses of it.

    With fewer training puzzles it has the validation and test puzzles of the recipe as its file says it. Raises DatasetError, also
    where the recipe has no such field.
    """
    assert data.recipe is not None, "what is built already has no recipe to read"
    recipe = load_recipe(data.recipe, data.overrides)
    if not data.chosen_fields and data.train_pool is None:
        return recipe
    known = type(recipe).model_fields
    for name in data.chosen_fields:
        if name not in known:
            where = [kind for kind, one in recipes().items() if name in one.model_fields]
            raise DatasetError(
                f"data.{name} means nothing for {data.recipe}, whose recipe of task {recipe.kind()} has no {name}",
                remedy=f"drop it, or take a recipe of task {' or '.join(where)}",
            )
    fields = {**data.overrides, **data.chosen_fields}
    if "train_pool" in known and (own := getattr(recipe, "train", None)) is not None:
        fields["train_pool"] = max(data.train_pool or 0, data.train or 0, own)
    return load_recipe(data.recipe, fields)


def recipe_of(mapping: Mapping[str, Any], source: str) -> RecipeBase:
    """A mapping as the recipe of its task. Raises ConfigError."""
    return recipe_from(mapping, recipes, source)


def dataset_folder(recipe: RecipeBase, root: str) -> str:
    """Where a recipe's data set belongs below `root`: other recipes have other folders."""
    return f"{root.rstrip('/')}/{recipe.name}-{recipe.digest()[:8]}"

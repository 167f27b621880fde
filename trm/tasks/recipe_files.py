"""Reading recipes: YAML files in which `task` says what the rest means."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.config.files import apply_overrides, load_yaml, require_kind, validated
from trm.config.messages import nearest
from trm.config.paths import with_data_beside, with_sources_beside
from trm.errors import ConfigError, DatasetError
from trm.tasks.making.recipe import RecipeBase

Kinds = Mapping[str, type[RecipeBase]]
"""What `task` may be, and the recipe that it means."""


def _part_beside(part: Any, folder: Path) -> Any:
    return with_data_beside({"data": part}, folder)["data"]


def read_recipe(path: str | Path, kinds: Kinds, overrides: Mapping[str, Any] | Sequence[str] = ()) -> RecipeBase:
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
        return recipe_from(mapping, kinds, str(path))
    except ConfigError as error:
        raise DatasetError(error.problem, remedy=error.remedy) from error


def recipe_from(mapping: Mapping[str, Any], kinds: Kinds, source: str) -> RecipeBase:
    """A mapping as the recipe of its task. Raises ConfigError."""
    require_kind(mapping, "data set recipe", source)
    task = mapping.get("task")
    if not isinstance(task, str) or task not in kinds:
        near = nearest(str(task), list(kinds))
        given = "it has none" if task is None else f"got {task!r}"
        raise ConfigError(
            f"{source}: task must be one of {', '.join(kinds)}, {given}",
            remedy=f"did you mean {near}?" if near else "choose one of them",
        )
    return validated(kinds[task], mapping, source)

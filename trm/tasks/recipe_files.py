"""Reading recipes: YAML files in which `task` says what the rest means."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.config.files import apply_overrides, honour_in, load_yaml, require_kind, validated
from trm.config.imports import require_asked
from trm.config.messages import nearest
from trm.config.paths import with_data_beside, with_sources_beside
from trm.config.shipped import named_file
from trm.errors import ConfigError, DatasetError
from trm.tasks.making.recipe import RecipeBase

Kinds = Callable[[], Mapping[str, type[RecipeBase]]]
"""What `task` may be, and the recipe that it means, once all is imported that was asked for."""


def _part_beside(part: Any, folder: Path) -> Any:
    return with_data_beside({"data": part}, folder)["data"]


def read_recipe(
    path: str | Path, kinds: Kinds, overrides: Mapping[str, Any] | Sequence[str] = (), *, is_own: bool = False
) -> RecipeBase:
    """The recipe in a YAML file, with fields replaced: a mapping of them, or texts `field=value`.

    Its `imports` are imported where a person named the file (`is_own`), or said them by a text. Raises DatasetError that names
    file, field, rule, value and remedy.
    """
    path = named_file(path, "data set recipe")
    try:
        mapping = with_sources_beside(load_yaml(path), path.parent)
        if isinstance(parts := mapping.get("parts"), list):
            mapping["parts"] = [_part_beside(part, path.parent) for part in parts]
        said = () if isinstance(overrides, Mapping) else overrides
        mapping = {**mapping, **overrides} if isinstance(overrides, Mapping) else apply_overrides(mapping, overrides)
        honour_in(mapping, said, is_own=is_own)
        return recipe_from(mapping, kinds, str(path))
    except ConfigError as error:
        raise DatasetError(error.problem, remedy=error.remedy) from error


def recipe_from(mapping: Mapping[str, Any], kinds: Kinds, source: str) -> RecipeBase:
    """A mapping as the recipe of its task. Raises ConfigError.

    `imports` in it are no part of the recipe: they say where the task comes from, and must have been asked for.
    """
    require_kind(mapping, "data set recipe", source)
    imports = mapping.get("imports", [])
    if not isinstance(imports, list) or not all(isinstance(name, str) for name in imports):
        raise ConfigError(
            f"{source}: imports must be a list of modules, got {imports!r:.80}", remedy="write imports: [my_lab.puzzles]"
        )
    require_asked(imports, source, "name it in imports of the run or the space, or ")
    mapping = {key: value for key, value in mapping.items() if key != "imports"}
    task, known = mapping.get("task"), kinds()
    if not isinstance(task, str) or task not in known:
        near = nearest(str(task), list(known))
        given = "it has none" if task is None else f"got {task!r}"
        raise ConfigError(
            f"{source}: task must be one of {', '.join(known)}, {given}",
            remedy=f"did you mean {near}?" if near else "choose one of them, or name the module that adds it in imports",
        )
    return validated(known[task], mapping, source)

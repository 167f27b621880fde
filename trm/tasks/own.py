"""Puzzles of one's own: what an imported module's `Task` must be, and by which import a data set's puzzle is known."""

import re
from collections.abc import Sequence
from typing import Any

from trm.config.imports import VARIABLE
from trm.config.unions import added_to, module_adding, tags_of
from trm.data.format.manifest import Manifest
from trm.errors import ConfigError, DatasetError
from trm.evaluation.metrics import Metric, Metrics, require_declared
from trm.tasks.choice import TASKS, every_task
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.task import Task

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def require_task(member: type[Task[Any]], where: str) -> None:
    """ConfigError for an imported puzzle without a name, a recipe or metrics of its own, or that cannot be made."""
    name: object = getattr(member, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{where} must have a name of a-z, 0-9 and _, at most 64, got {name!r}", remedy='write name = "..."')
    _require_recipe(getattr(member, "recipe", None), where)
    others = [*TASKS.values(), *(one() for one in added_to(Task) if one is not member)]
    if any(name == other.name for other in others):
        raise ConfigError(f"{where} has the name {name}, which another puzzle has too", remedy="choose another")
    kinds = {MixtureRecipe.kind(), ArraysRecipe.kind(), *(other.recipe.kind() for other in others)}
    if member.recipe.kind() in kinds:
        raise ConfigError(f"{where} has recipes of task {member.recipe.kind()}, which others have too", remedy="choose another")
    try:
        task = member()
    except Exception as error:  # whatever a person's code does
        raise ConfigError(f"{where} must be made without arguments, got {error}", remedy="give it no __init__") from error
    _require_metrics(task, [metric for other in others for metric in other.metrics], where)


def _require_recipe(recipe: Any, where: str) -> None:
    if not (isinstance(recipe, type) and issubclass(recipe, RecipeBase)):
        raise ConfigError(f"{where} must have a recipe derived from RecipeBase, got {recipe!r}", remedy="write recipe = ...")
    tags = tags_of(recipe, "task")
    if len(tags) != 1 or recipe.model_fields["task"].default != tags[0]:
        raise ConfigError(f'{where} must have recipes with a field `task: Literal["..."] = "..."`', remedy="write it so")


def _require_metrics(task: Task[Any], others: Sequence[Metric], where: str) -> None:
    known = {metric.name: (metric.kind, metric.direction, metric.least, metric.most) for metric in others}
    for metric in task.metrics:
        told = f"{where}.metrics: {metric.name}"
        require_declared(metric, told)
        declared = metric.kind, metric.direction, metric.least, metric.most
        if known.get(metric.name, declared) != declared:
            raise ConfigError(f"{told} is another thing in another puzzle", remedy="choose another name")
        if (metric.column is None or metric.kind == "count") and type(task).scorer is Task.scorer:
            raise ConfigError(f"{told} must be a mean or a share with a column", remedy="give it one, or the puzzle a scorer")
    require_apart(task)


def require_apart(task: Task[Any]) -> None:
    """ConfigError where a metric of a puzzle has the name of one of all puzzles, which another module may add at any time."""
    Metrics(task.metrics)


def import_of(task: str) -> list[str]:
    """The name in `imports` that the puzzle came with; empty for one of this project."""
    found = every_task().get(task)
    module = None if found is None else module_adding(type(found))
    return [] if module is None else [module]


def require_known(manifest: Manifest, source: str) -> None:
    """DatasetError for a data set of a puzzle that nobody imported, with the name that imports it where the manifest has it."""
    if manifest.task in every_task():
        return
    named = manifest.recipe.get("imports")
    names = ",".join(str(name) for name in named) if isinstance(named, list) else "MODULE"
    raise DatasetError(
        f"a data set must be of a known task: {source} is of {manifest.task!r}, which is none of {', '.join(every_task())}",
        remedy=f"if you trust the module that adds it, say imports: [{names}] in the run or the space, or set {VARIABLE}={names}",
    )

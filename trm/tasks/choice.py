"""Which puzzles there are: the one file that names them all; imported modules add theirs."""

import functools
from typing import Any

from trm.config.imports import members_of_door
from trm.data.format.manifest import TaskName
from trm.errors import DatasetError
from trm.tasks.arc.task import Arc
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.maze.task import Maze
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku.task import Sudoku
from trm.tasks.table.task import Table
from trm.tasks.task import Task

TASKS: dict[TaskName, Task[Any]] = {task.name: task for task in (Sudoku(), Maze(), Arc(), Table())}
"""This project's, by the names that manifests have."""


def every_task() -> dict[TaskName, Task[Any]]:
    """All puzzles by name, those of imported modules last."""
    return {**TASKS, **{task.name: task for task in map(_made, members_of_door(Task))}}


@functools.cache
def _made(kind: type[Task[Any]]) -> Task[Any]:
    return kind()


def puzzle_recipes() -> dict[str, type[RecipeBase]]:
    """Recipes of single data sets, by their `task`: one a puzzle, and published arrays of any of them."""
    recipes: dict[str, type[RecipeBase]] = {task.recipe.kind(): task.recipe for task in every_task().values()}
    return {**recipes, ArraysRecipe.kind(): ArraysRecipe}


def task_named(name: TaskName) -> Task[Any]:
    """The puzzle of that name; DatasetError for one that this version does not know."""
    tasks = every_task()
    if name not in tasks:
        raise DatasetError(
            f"a data set must be of a known task: {name!r} is none of {', '.join(tasks)}",
            remedy="update trm-search, or name the module that adds it in imports",
        )
    return tasks[name]


def task_of(recipe: RecipeBase) -> Task[Any] | None:
    """The puzzle whose own recipe this is; None for published arrays and mixtures, which may be of any."""
    return next((task for task in every_task().values() if isinstance(recipe, task.recipe)), None)

"""Which puzzles there are: the one file that names them all."""

from typing import Any

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
"""By the names that manifests have."""


def puzzle_recipes() -> dict[str, type[RecipeBase]]:
    """Recipes of single data sets, by their `task`: one a puzzle, and published arrays of any of them."""
    recipes: dict[str, type[RecipeBase]] = {task.recipe.kind(): task.recipe for task in TASKS.values()}
    return {**recipes, ArraysRecipe.kind(): ArraysRecipe}


def task_named(name: TaskName) -> Task[Any]:
    """The puzzle of that name; DatasetError for one that this version does not know."""
    if name not in TASKS:
        raise DatasetError(
            f"a data set must be of a known task: {name!r} is none of {', '.join(TASKS)}",
            remedy="update trm-search, or name the module that adds it in imports",
        )
    return TASKS[name]


def task_of(recipe: RecipeBase) -> Task[Any] | None:
    """The puzzle whose own recipe this is; None for published arrays and mixtures, which may be of any."""
    return next((task for task in TASKS.values() if isinstance(recipe, task.recipe)), None)

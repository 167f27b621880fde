"""The builder of a recipe, imported only when it is used."""

from trm.console.long_work import Report
from trm.data.format.built import BuiltDataset
from trm.tasks.choice import task_of
from trm.tasks.making.chunks import ChunkMaker, ChunkStore, NoStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.published.recipe import ArraysRecipe


def build(recipe: RecipeBase, report: Report, store: ChunkStore) -> BuiltDataset:
    """The recipe's data set in memory; `store` keeps the chunks of a generated one."""
    if isinstance(recipe, ArraysRecipe):
        from trm.tasks.published.arrays import build_arrays

        return build_arrays(recipe, report)
    if isinstance(recipe, MixtureRecipe):
        from trm.tasks.mixture.build import build_mixture

        return build_mixture(recipe, lambda part, tell: build(part, tell, NoStore()), report)
    task = task_of(recipe)
    assert task is not None, "every other recipe is of a puzzle"
    return task.build(recipe, report, store)


def maker_of(recipe: RecipeBase) -> ChunkMaker | None:
    """What generates the recipe's puzzles in chunks; None when they come from elsewhere."""
    task = task_of(recipe)
    return None if task is None else task.maker(recipe)

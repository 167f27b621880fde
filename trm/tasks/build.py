"""The builder of a recipe, imported only when it is used."""

from trm.console.long_work import Report
from trm.data.format.built import BuiltDataset
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.choice import MixtureRecipe, Recipe
from trm.tasks.making.chunks import NoStore, PieceMaker, PieceStore
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.tasks.table.recipe import TableRecipe


def build(recipe: Recipe, report: Report, store: PieceStore) -> BuiltDataset:
    """The recipe's data set in memory; `store` keeps the pieces of a generated one."""
    match recipe:
        case SudokuRecipe():
            from trm.tasks.sudoku.build import build_sudoku

            return build_sudoku(recipe, report, store)
        case MazeRecipe():
            from trm.tasks.maze.build import build_maze

            return build_maze(recipe, report, store)
        case ArcRecipe():
            from trm.tasks.arc.build import build_arc

            return build_arc(recipe, report)
        case ArraysRecipe():
            from trm.tasks.published.arrays import build_arrays

            return build_arrays(recipe, report)
        case TableRecipe():
            from trm.tasks.table.build import build_table

            return build_table(recipe, report)
        case MixtureRecipe():
            from trm.tasks.mixture.build import build_mixture

            return build_mixture(recipe, lambda part, tell: build(part, tell, NoStore()), report)


def maker_of(recipe: Recipe) -> PieceMaker | None:
    """What generates the recipe's puzzles in pieces; None when they come from elsewhere."""
    match recipe:
        case SudokuRecipe():
            from trm.tasks.sudoku import build as sudoku

            return sudoku.maker(recipe)
        case MazeRecipe():
            from trm.tasks.maze import build as maze

            return maze.maker(recipe)
    return None

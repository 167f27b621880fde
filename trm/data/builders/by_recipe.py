"""The builder of a recipe, imported only when it is used."""

from trm.data.builders.built import BuiltDataset
from trm.data.builders.pieces import NoStore, PieceMaker, PieceStore
from trm.data.recipes import ArcRecipe, ArraysRecipe, MazeRecipe, MixtureRecipe, Recipe, SudokuRecipe
from trm.data.table_recipe import TableRecipe
from trm.long_work import Report


def build(recipe: Recipe, report: Report, store: PieceStore) -> BuiltDataset:
    """The recipe's data set in memory; `store` keeps the pieces of a generated one."""
    match recipe:
        case SudokuRecipe():
            from trm.data.builders.sudoku import build_sudoku

            return build_sudoku(recipe, report, store)
        case MazeRecipe():
            from trm.data.builders.maze import build_maze

            return build_maze(recipe, report, store)
        case ArcRecipe():
            from trm.data.builders.arc import build_arc

            return build_arc(recipe, report)
        case ArraysRecipe():
            from trm.data.builders.arrays import build_arrays

            return build_arrays(recipe, report)
        case TableRecipe():
            from trm.data.builders.table import build_table

            return build_table(recipe, report)
        case MixtureRecipe():
            from trm.data.builders.mixture import build_mixture

            return build_mixture(recipe, lambda part, tell: build(part, tell, NoStore()), report)


def maker_of(recipe: Recipe) -> PieceMaker | None:
    """What generates the recipe's puzzles in pieces; None when they come from elsewhere."""
    match recipe:
        case SudokuRecipe():
            from trm.data.builders import sudoku

            return sudoku.maker(recipe)
        case MazeRecipe():
            from trm.data.builders import maze

            return maze.maker(recipe)
    return None

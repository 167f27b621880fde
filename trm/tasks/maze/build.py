"""Mazes: a generator in the manner of the published Maze-Hard set, and an importer of its files.

The splits are disjoint up to the eight symmetries of the square.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from trm.console.long_work import Report, silent
from trm.data.batches.keyed_random import hashed
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import DihedralAugmentation, NoAugmentation, SplitName
from trm.errors import DatasetError
from trm.tasks.making.chunks import ChunkMaker, ChunkStore, Columns, generate
from trm.tasks.maze.generator import draw_mazes
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.solver import solve
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import VOCABULARY

_MAZE = 0x4D
DENSITY_SPREAD = 0.12
"""A maze's wall density is uniform within this of `wall_fraction`; the published ones vary more than a coin per cell would."""
PIECE_TRIES = 1 << 18
PIECE_MAZES = 256
FRUITLESS_PIECES = 8
"""Pieces without one new maze after which generation gives up."""


def build_maze(recipe: MazeRecipe, report: Report = silent, store: ChunkStore | None = None) -> BuiltDataset:
    """The data set of `recipe`: imported when it has a path, else generated. Raises DatasetError."""
    splits: Mapping[SplitName, BuiltSplit]
    duplicates: tuple[int, ...] = ()
    skipped: Mapping[str, int] = {}
    if (pieces := maker(recipe)) is not None:
        wanted = recipe.wanted()
        generated = generate(pieces, sum(wanted.values()), report, store)
        splits, duplicates = generated.splits(wanted), generated.duplicates
    else:
        from trm.tasks.maze.published import import_splits

        assert recipe.path is not None
        splits, skipped = import_splits(recipe, recipe.path, report)
    return BuiltDataset(
        task="maze",
        grid=(recipe.size, recipe.size),
        vocabulary=VOCABULARY,
        splits=splits,
        augmentation=DihedralAugmentation() if recipe.augment else NoAugmentation(),
        skipped=skipped,
        duplicates=duplicates,
    )


def maker(recipe: MazeRecipe) -> ChunkMaker | None:
    """What generates the recipe's mazes in pieces; None where they are imported. Raises DatasetError when there can be none."""
    return None if recipe.path is not None else MazePieces(recipe)


class MazePieces:
    """Random mazes whose shortest path is long enough, labelled by the published rule."""

    def __init__(self, recipe: MazeRecipe) -> None:
        if recipe.min_path > recipe.size**2 - 2:
            raise DatasetError(
                f"min_path must leave room for S and G: {recipe.min_path} path cells in {recipe.size**2}",
                remedy=f"use at most {recipe.size**2 // 2}",
            )
        margin = min(DENSITY_SPREAD, recipe.wall_fraction)
        self._densities = (recipe.wall_fraction - margin, recipe.wall_fraction + margin)
        self._recipe = recipe
        self._seen: set[bytes] = set()
        self._found = self._fruitless = 0

    def piece(self, number: int) -> Columns:
        """At most `PIECE_MAZES` mazes, of at most `PIECE_TRIES` tries."""
        recipe = self._recipe
        seed = int(hashed(recipe.seed, _MAZE, number)[0])
        inputs = draw_mazes(seed, recipe.size, self._densities, recipe.min_path, tries=PIECE_TRIES, most=PIECE_MAZES)
        return {"inputs": inputs, "labels": solve(inputs, (recipe.size, recipe.size))}

    def is_new(self, columns: Columns) -> Bool[np.ndarray, "rows"]:
        """Which rows are symmetric forms of no row before them, in this call or an earlier one."""
        is_new = []
        for key in symmetry_classes(columns["inputs"], self._recipe.size):
            is_new.append(key not in self._seen)
            self._seen.add(key)
        return np.array(is_new, dtype=bool)

    def exhausted(self, found: int, wanted: int, pieces: int) -> DatasetError | None:
        """The error when the last pieces brought nothing."""
        self._fruitless = 0 if found > self._found else self._fruitless + 1
        self._found = found
        if self._fruitless < FRUITLESS_PIECES:
            return None
        recipe = self._recipe
        return DatasetError(
            f"mazes of size {recipe.size} with wall_fraction {recipe.wall_fraction} and min_path {recipe.min_path} ran out: "
            f"{found} of {wanted} different ones after {PIECE_TRIES * FRUITLESS_PIECES} tries without another",
            remedy="lower min_path, bring wall_fraction nearer 0.37, or ask for fewer",
        )

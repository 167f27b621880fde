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
from trm.tasks.maze.carving import carve_mazes
from trm.tasks.maze.generator import draw_mazes
from trm.tasks.maze.recipe import WALL_FRACTION, MazeRecipe
from trm.tasks.maze.solver import shortest_paths
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import VOCABULARY

_MAZE = 0x4D
DENSITY_SPREAD = 0.12
"""A maze's wall density is uniform within this of `wall_fraction`; the published ones vary more than a coin per cell would."""
PIECE_TRIES = 1 << 18
CARVED_TRIES = 1 << 14
"""Carving a maze takes as long as looking at a dozen of random walls."""
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
        splits, duplicates = generated.splits(wanted, recipe.train), generated.duplicates
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
    """Random or carved mazes whose shortest path is long enough and not too long, labelled by the published rule."""

    def __init__(self, recipe: MazeRecipe) -> None:
        room = 2 * ((recipe.size + 1) // 2) ** 2 - 3 if recipe.has_one_path else recipe.size**2 - 2
        if recipe.min_path > room:
            raise DatasetError(
                f"min_path must leave room for S and G: {recipe.min_path} path cells in {recipe.size**2}, of {recipe.style} style",
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
        if recipe.style == "perfect":
            paths = recipe.min_path, recipe.size**2 if recipe.max_path is None else recipe.max_path
            inputs = carve_mazes(seed, recipe.size, paths, tries=CARVED_TRIES, most=PIECE_MAZES)
        else:
            inputs = draw_mazes(seed, recipe.size, self._densities, recipe.min_path, tries=PIECE_TRIES, most=PIECE_MAZES)
        labels, lengths = shortest_paths(inputs, (recipe.size, recipe.size))
        if recipe.max_path is None:
            return {"inputs": inputs, "labels": labels}
        return {"inputs": inputs[lengths <= recipe.max_path], "labels": labels[lengths <= recipe.max_path]}

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
        walls = "one path each" if recipe.has_one_path else f"wall_fraction {recipe.wall_fraction}"
        paths = f"min_path {recipe.min_path}" + ("" if recipe.max_path is None else f" and max_path {recipe.max_path}")
        tries = CARVED_TRIES if recipe.has_one_path else PIECE_TRIES
        nearer = "" if recipe.has_one_path else f" bring wall_fraction nearer {WALL_FRACTION},"
        return DatasetError(
            f"mazes of size {recipe.size} with {walls} and {paths} ran out: "
            f"{found} of {wanted} different ones after {tries * FRUITLESS_PIECES} tries without another",
            remedy=f"lower min_path,{nearer} or ask for fewer",
        )

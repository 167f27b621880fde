"""Mazes."""

from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Int64, Integer
from rich.text import Text

from trm.config.networks import DataShape
from trm.console.long_work import Report
from trm.data.batches.augmenter import Augmenter, PlainRows
from trm.data.batches.split import Split
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import Augmentation, DihedralAugmentation, Manifest
from trm.tasks.grid_text import Grid
from trm.tasks.legend import Legend
from trm.tasks.making.chunks import ChunkMaker, ChunkStore
from trm.tasks.making.dihedral import SYMMETRIES
from trm.tasks.maze.arrays import MazeArrays
from trm.tasks.maze.augment import MazeForms, MazeRows
from trm.tasks.maze.draw import maze_legend, maze_text
from trm.tasks.maze.play import MazePlay
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.score import METRICS
from trm.tasks.maze.tokens import VOCABULARY
from trm.tasks.task import Cells, KnownCounts, OtherPairs, Pairs, Task


class Maze(Task[MazeRecipe]):
    """Square mazes with one labelled shortest path; one puzzle however turned or mirrored."""

    name = "maze"
    recipe = MazeRecipe
    metrics = METRICS
    has_symmetries: ClassVar[bool] = True
    most_forms: ClassVar[int] = SYMMETRIES
    arrays = MazeArrays()
    play = MazePlay()

    def build(self, recipe: MazeRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        """Generated or imported mazes."""
        from trm.tasks.maze.build import build_maze

        return build_maze(recipe, report, store)

    def maker(self, recipe: MazeRecipe) -> ChunkMaker | None:
        """Makes mazes."""
        from trm.tasks.maze.build import maker

        return maker(recipe)

    def counted(self, recipe: MazeRecipe) -> KnownCounts | None:
        """Known, unless a file is taken whole."""
        if recipe.train is None:
            return None
        return KnownCounts(DataShape(recipe.size**2, len(VOCABULARY), 1), recipe.train, recipe.validation)

    def augmenter(self, augmentation: Augmentation, split: Split, manifest: Manifest) -> Augmenter:
        """The eight symmetries."""
        plain = PlainRows(split.inputs, split.labels)
        if not isinstance(augmentation, DihedralAugmentation):
            return plain
        return MazeRows(plain, have_one_path=manifest.recipe.get("style") == "perfect")

    def forms(self, manifest: Manifest) -> MazeForms:
        """The eight symmetries. A turned maze's label is turned, not searched anew, so what counts is the maze's own path."""
        return MazeForms()

    def text(self, grid: Grid, vocabulary: tuple[str, ...]) -> Text:
        """Walls as blocks, the path as dots."""
        return maze_text(grid, vocabulary)

    def legend(self, grid: tuple[int, int], vocabulary: tuple[str, ...]) -> Legend:
        """Walls, ways and ends."""
        return maze_legend()

    def same(
        self,
        inputs: Cells,
        labels: Cells,
        groups: Int64[np.ndarray, "rows"],
        identifiers: Integer[np.ndarray, "rows"],
        grid: tuple[int, int],
    ) -> Integer[np.ndarray, "rows"]:
        """Equal for one maze turned or mirrored."""
        from trm.tasks.maze.symmetry import symmetry_classes

        numbers: dict[bytes, int] = {}
        return np.array([numbers.setdefault(key, len(numbers)) for key in symmetry_classes(inputs, grid[0])])

    def is_scored(self, trained: Pairs, scored: OtherPairs, grid: tuple[int, int]) -> Bool[np.ndarray, "rows"]:
        """Which mazes are scored ones turned or mirrored."""
        from trm.tasks.maze.symmetry import symmetry_classes

        known = set(symmetry_classes(scored[0], grid[0]))
        return np.array([form in known for form in symmetry_classes(trained[0], grid[0])])

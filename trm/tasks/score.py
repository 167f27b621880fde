"""What each kind of puzzle is scored by besides exactness: cells to fill, path cells and shortest paths, ARC's votes.

A scorer turns a batch of predictions into columns, one value a row, and columns of all rows into metrics.
"""

from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.evaluation.scores import PlainScorer, TaskScorer
from trm.tasks.arc.score import ArcScorer
from trm.tasks.sudoku.score import SudokuScorer


def scorer_for(manifest: Manifest, split: Split) -> TaskScorer:
    """The scorer of the data set's task."""
    match manifest.task:
        case "sudoku":
            return SudokuScorer()
        case "maze":
            from trm.tasks.maze.score import MazeScorer  # brings numba, which costs the other tasks' trials half a second

            return MazeScorer(manifest.grid)
        case "arc":
            return ArcScorer(split)
        case "other":
            return PlainScorer()

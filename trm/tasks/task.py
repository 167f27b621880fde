"""What a puzzle is to the rest: one file `NAME/task.py`, named in `choice.py`. Everything but recipe and building has a default."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt8
from rich.text import Text

from trm.config.networks import DataShape
from trm.config.unions import Added
from trm.console.long_work import Report
from trm.data.batches.augmenter import Augmenter, PlainRows
from trm.data.batches.plan import Position
from trm.data.batches.split import Split
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import Augmentation, Manifest, TaskName
from trm.evaluation.answers_file import AnsweredBatch, AnswerKey
from trm.evaluation.forms import Forms
from trm.evaluation.metrics import Metric
from trm.evaluation.scores import Columns, ColumnScorer, TaskScorer
from trm.tasks.grid_text import Grid, tokens_text
from trm.tasks.legend import Legend, table_legend
from trm.tasks.making.chunks import ChunkMaker, ChunkStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.play import Play
from trm.tasks.voted import Votes

Cells = UInt8[np.ndarray, "rows cells"]
Pairs = tuple[Cells, Cells]
"""Questions and answers."""
Others = UInt8[np.ndarray, "others cells"]
OtherPairs = tuple[Others, Others]
"""Questions and answers of other rows."""
RecipeT = TypeVar("RecipeT", bound=RecipeBase)


@dataclass(frozen=True)
class KnownCounts:
    """What a recipe says of its data set before anything is built."""

    shape: DataShape
    train: int
    validation: int


@dataclass(frozen=True)
class FeedRequest:
    """Whose share of what is asked for."""

    manifest: Manifest
    split: Split
    batch_size: int
    """Items a step, over all workers."""
    seed: int
    rank: int
    world_size: int


@runtime_checkable
class Episodes(Protocol):
    """What a world feeds a training run with, a function of the step, as batches are: the same after a resume."""

    def batch(self, step: int) -> Any:
        """What `step` (from 0) takes; only the loss looks into it."""

    def position(self) -> Position:
        """Where the next step begins: after the one asked for last. It goes to the checkpoint."""

    def restore(self, position: Position) -> None:
        """Makes what comes from `position` on cheap to reach."""


CellsOf = Callable[[Sequence[AnswerKey]], Mapping[AnswerKey, np.ndarray]]
"""Predicted cells of answers of an evaluation."""


@runtime_checkable
class Ballot(Protocol):
    """The votes of an evaluation: several rows for one question, and what they come to together."""

    def figures(self) -> dict[str, Any]:
        """JSON: what was counted, and shares with their intervals, each by its own number."""

    def by_pair(self) -> Columns:
        """A row a question: who voted for what."""

    def submission(self, names: Sequence[str], cells_of: CellsOf) -> dict[str, Any]:
        """JSON: the answers that would be handed in; `names` are the puzzles' by their numbers."""


class ArrayFormat:
    """How a puzzle stands in the published code's arrays; by default any tokens on any canvas, each question with one answer."""

    answers_by_task: ClassVar[bool] = False
    """Whether a question may have several answers, in tasks that ask different things of it."""

    def vocabulary(self, side: int, tokens: int) -> tuple[str, ...]:
        """The tokens' names, on a canvas of `side` by `side` cells, where arrays say that there are `tokens`."""
        return ("pad", *map(str, range(1, tokens)))

    def fits(self, height: int, width: int) -> bool:
        """Whether the puzzle has such a canvas."""
        return True

    def broken(
        self, inputs: Integer[np.ndarray, "rows cells"], labels: Integer[np.ndarray, "rows cells"], side: int, *, is_test: bool
    ) -> Iterator[tuple[str, Bool[np.ndarray, "rows"]]]:
        """Rules, and which rows break them."""
        yield from ()

    def added_forms(self, augmentation: Augmentation, num_aug: int | None) -> int:
        """Forms that an export writes of a training puzzle besides its own, where they are made at every visit.

        `num_aug`: as asked; None: as many as the data set has. DatasetError when nobody says how many.
        """
        return 0

    def in_forms(
        self, inputs: Cells, labels: Cells, groups: Int64[np.ndarray, "rows"], forms: Int64[np.ndarray, "rows"], manifest: Manifest
    ) -> tuple[Cells, Cells]:
        """Rows in their numbered forms, 0 as they are; a function of seed, group and form."""
        return inputs, labels


class Task(Added, ABC, Generic[RecipeT]):
    """A puzzle: which recipes make it, how its rows vary, what it is scored by, how it is drawn, and when two are one."""

    name: ClassVar[TaskName]
    """As manifests say it."""
    recipe: type[RecipeT]
    """What its data sets are made from; its `task` names it in YAML."""
    metrics: Sequence[Metric] = ()
    """What it is scored by besides what every puzzle is."""
    numbered: Sequence[Metric] = ()
    """Metrics with a number in them (`Metric.numbers`), which its scorer computes where they are asked for."""
    has_symmetries: ClassVar[bool] = False
    """Whether the stored forms of a group are one puzzle, so that the first stands for all."""
    has_votes: ClassVar[bool] = False
    """Whether several rows answer one question, so that they vote (`ballot`)."""
    most_forms: ClassVar[int] = 1
    """Symmetric forms in which an evaluation may ask a puzzle (`forms`); 1: as it is."""
    arrays: ArrayFormat = ArrayFormat()
    """How it stands in the published code's arrays."""
    play: Play = Play()
    """How it is posed by a person, judged and solved by its own rules."""

    @classmethod
    def require_usable(cls, member: Any, where: str) -> None:
        """ConfigError for an imported module's puzzle that cannot be told from others, made or scored."""
        from trm.tasks.own import require_task  # which knows all puzzles, and they know this

        require_task(member, where)

    @abstractmethod
    def build(self, recipe: RecipeT, report: Report, store: ChunkStore) -> BuiltDataset:
        """The recipe's data set in memory; `store` keeps the chunks of a generated one. Raises DatasetError."""

    def example(self) -> RecipeT | None:
        """A recipe of a few puzzles, which `python -m trm.contract` builds; a puzzle of one's own gives one."""
        return None

    def maker(self, recipe: RecipeT) -> ChunkMaker | None:
        """What generates the recipe's puzzles in chunks; None when they come from elsewhere."""
        return None

    def counted(self, recipe: RecipeT) -> KnownCounts | None:
        """What the recipe alone tells of its data set; None: it must be built to be counted.

        DatasetError for one that cannot be built, where the recipe tells that too.
        """
        return None

    def to_hold_out(self, recipe: RecipeT) -> str:
        """How a person gets validation puzzles from a recipe without any."""
        return "hold some out: --set data.overrides.validation=N"

    def augmenter(self, augmentation: Augmentation, split: Split, manifest: Manifest) -> Augmenter:
        """How the rows of one split vary, as `augmentation` of the data set or of one of its parts says."""
        return PlainRows(split.inputs, split.labels)

    def scorer(self, manifest: Manifest, split: Split) -> TaskScorer:
        """Scores answers to the split by `metrics`."""
        return ColumnScorer(self.metrics, manifest.grid)

    def ballot(self, split: Split, rows: Columns, examples: Int64[np.ndarray, "examples"]) -> Ballot | None:
        """The votes of scored `rows` (`Evaluation.rows`) for the `examples` that were asked; None unless the puzzle `has_votes`."""
        return None

    def shown_votes(self, answers: Mapping[str, np.ndarray], truths: Mapping[int, np.ndarray]) -> dict[int, Votes]:
        """The ballots of the rows in `truths`, right cells by row, from recorded answers; none unless the puzzle `has_votes`.

        `answers`: `row`, `augmentation`, `cells` and `halting_probability` of every vote.
        """
        return {}

    def claimed_votes(self, split: Split, answered: AnsweredBatch, claimed: Integer[np.ndarray, "batch"]) -> Columns | None:
        """The votes of a batch if its rows were of the `claimed` identifiers, as `ballot` takes them: those that name a question.

        None unless the puzzle `has_votes`.
        """
        return None

    def forms(self, manifest: Manifest) -> Forms | None:
        """The symmetric forms of the data set's puzzles, in which an evaluation may ask them; None where `most_forms` is 1."""
        return None

    def text(self, grid: Grid, vocabulary: tuple[str, ...]) -> Text:
        """A question or an answer as people write it."""
        return tokens_text(grid, vocabulary)

    def legend(self, grid: tuple[int, int], vocabulary: tuple[str, ...]) -> Legend:
        """What its tokens are on a canvas of so many rows and columns, to whoever draws them."""
        return table_legend(vocabulary)

    def same(
        self,
        inputs: Cells,
        labels: Cells,
        groups: Int64[np.ndarray, "rows"],
        identifiers: Integer[np.ndarray, "rows"],
        grid: tuple[int, int],
    ) -> Integer[np.ndarray, "rows"]:
        """A number for each row, equal for rows of one puzzle: here for equal questions under one identifier."""
        from trm.tasks.making.equal_rows import beside, first_equal  # brings numba, which costs a trial half a second

        return first_equal(beside(inputs, identifiers))

    def is_scored(self, trained: Pairs, scored: OtherPairs, grid: tuple[int, int]) -> Bool[np.ndarray, "rows"]:
        """Which of the questions and answers `trained` are among those `scored`, the same up to symmetry: here equal questions.

        Neither is empty.
        """
        from trm.tasks.making.equal_rows import is_among

        return is_among(trained[0], scored[0])

    def episodes(self, request: FeedRequest) -> Episodes | None:
        """What training is fed with where the puzzle is a world to act in; None: batches of the split's rows."""
        return None

"""Columns of one value a row, and the metrics they become."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Integer, UInt8

from trm.data.batches.plan import EvaluationBatch
from trm.evaluation.metrics import Answered, Metric, imported_metrics, named
from trm.stats.intervals import mean_of, standard_error, wilson

Columns = dict[str, np.ndarray]
"""Arrays of equal length by name: what is known of every scored row."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and the standard errors of those that have one."""

    metrics: dict[str, float] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    puzzles: Columns = field(default_factory=dict, compare=False)
    """One value a puzzle (a cluster of rows, in order) of the metrics that are means over puzzles; `puzzle` is its number."""
    puzzle_rows: Integer[np.ndarray, " puzzles"] | None = field(default=None, compare=False)
    """How many scored rows each of those puzzles has, of an evaluation as a whole."""
    rows: Columns | None = field(default=None, compare=False)
    """What is known of each scored row, in the order of the split, where its answers were recorded."""
    breadth: tuple["BreadthPoint", ...] = field(default=(), compare=False)
    """Every depth, breadth and selector; empty where nobody asked."""
    curve: tuple["CurvePoint", ...] = field(default=(), compare=False)
    """What an evaluation of fewer steps gives, for each number of them; empty where nobody asked."""
    measured: "Measured | None" = field(default=None, compare=False)
    """The figure that was asked for, puzzle by puzzle; None of answers at the halts alone."""

    def __or__(self, other: "Evaluation") -> "Evaluation":
        return Evaluation(self.metrics | other.metrics, self.standard_errors | other.standard_errors, self.puzzles | other.puzzles)

    def renamed(self, rename: Callable[[str], str]) -> "Evaluation":
        """The same under other names."""
        metrics = {rename(name): value for name, value in self.metrics.items()}
        errors = {rename(name): value for name, value in self.standard_errors.items()}
        return Evaluation(metrics, errors, {rename(name): column for name, column in self.puzzles.items()})


@dataclass(frozen=True, eq=False)
class Measured:
    """One figure, and what it is a mean of."""

    value: float
    low: float
    high: float
    """Its 95 % interval over puzzles."""
    puzzles: Float64[np.ndarray, " puzzles"]
    """Each puzzle's own."""
    weights: Float64[np.ndarray, " puzzles"]
    """What each weighs in it."""


@dataclass(frozen=True)
class CurvePoint:
    """What so many supervision steps come to."""

    step: int
    evaluation: Evaluation
    """As of an evaluation of so many steps, and at each row's halt."""
    halted_share: float
    """Share of the predictions whose network has wanted to halt by then."""
    measured: Measured = field(compare=False)
    """The figure that was asked for."""


@dataclass(frozen=True, eq=False)
class BreadthPoint:
    """What so many rollouts of so many supervision steps in so many forms come to, of which one counts."""

    steps: int
    forms: int
    rollouts: int
    """In each form."""
    select: str
    """By whom one is chosen; empty: there is one."""
    puzzles: Float64[np.ndarray, " puzzles"]
    """Share of each puzzle's rows that are exact."""
    measured: Measured
    """The figure that was asked for."""


def means(columns: Columns, names: Iterable[str], clusters: np.ndarray) -> Evaluation:
    """The means of columns over rows; rows of one cluster are not independent. One cluster alone has no standard errors."""
    values = {name: columns[name].astype(np.float64) for name in names}
    errors = {name: standard_error(value, clusters) for name, value in values.items()}
    return Evaluation(
        {name: mean_of(value) for name, value in values.items()},
        {name: error for name, error in errors.items() if math.isfinite(error)},
        {name: of_puzzles(value, clusters) for name, value in values.items()},
    )


def of_puzzles(values: Float64[np.ndarray, " rows"], clusters: Integer[np.ndarray, " rows"]) -> Float64[np.ndarray, " puzzles"]:
    """The mean over the rows of each cluster, in order of the clusters' numbers."""
    _, of_row, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    found: np.ndarray = np.bincount(of_row, weights=values) / counts
    return found


def proportion(name: str, share: float, count: int) -> Evaluation:
    """A share of `count` independent puzzles, with its 95 % Wilson interval as `NAME_low` and `NAME_high`."""
    interval = wilson(share, count)
    return Evaluation({name: share, f"{name}_low": interval.low, f"{name}_high": interval.high}, {name: interval.standard_error})


def share(part: Bool[np.ndarray, "batch cells"], whole: Bool[np.ndarray, "batch cells"]) -> Float64[np.ndarray, " batch"]:
    """Cells of `part` as a share of those of `whole`; 1 where there are none."""
    total = whole.sum(1)
    shares: np.ndarray = np.divide(part.sum(1), total, out=np.ones(len(total)), where=total > 0)
    return shares


@runtime_checkable
class TaskScorer(Protocol):
    """The part of an evaluation that knows the puzzle."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """What `scores` gives."""

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """One value a row and column."""

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """Metrics of all rows of the split; `clusters` are the puzzles that the rows belong to."""


@runtime_checkable
class NumberedScorer(TaskScorer, Protocol):
    """A scorer of a puzzle that has metrics with a number in them (`Metric.numbers`)."""

    def numbered(self, metric: str, number: int, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """The metric's figure of a number, as `METRIC_at_NUMBER`."""


@dataclass(frozen=True)
class ColumnScorer:
    """Scores by metrics that judge a row by itself: means over puzzles and shares of puzzles."""

    metrics: Sequence[Metric]
    grid: tuple[int, int]
    """Height and width of the canvas."""

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """A column a metric."""
        answered = Answered(predictions, batch, self.grid)
        return {metric.name: metric.column(answered) for metric in self.metrics if metric.column is not None}

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """The means, then the shares with their intervals."""
        found = means(columns, named(self.metrics, "mean"), clusters)
        for name in named(self.metrics, "share"):
            column = columns[name].astype(np.float64)
            found |= proportion(name, mean_of(column), len(np.unique(clusters)))
            found |= Evaluation(puzzles={name: of_puzzles(column, clusters)})
        return found


@dataclass(frozen=True)
class JoinedScorer:
    """Two scorers as one."""

    first: TaskScorer
    second: TaskScorer

    @property
    def metrics(self) -> Sequence[Metric]:
        """Those of both."""
        return (*self.first.metrics, *self.second.metrics)

    def columns(self, predictions: UInt8[np.ndarray, "batch cells"], batch: EvaluationBatch) -> Columns:
        """Those of both."""
        return {**self.first.columns(predictions, batch), **self.second.columns(predictions, batch)}

    def scores(self, columns: Columns, clusters: np.ndarray) -> Evaluation:
        """Those of both."""
        return self.first.scores(columns, clusters) | self.second.scores(columns, clusters)


def imported_scorers(grid: tuple[int, int]) -> tuple[TaskScorer, ...]:
    """What scores the metrics of imported modules, if there are any."""
    own = imported_metrics()
    return (ColumnScorer(own, grid),) if own else ()


def with_imported(scorer: TaskScorer, grid: tuple[int, int]) -> TaskScorer:
    """A puzzle's scorer, and beside it the metrics of imported modules, if there are any."""
    return functools.reduce(JoinedScorer, imported_scorers(grid), scorer)

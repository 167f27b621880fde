"""Scoring a network on a split. The numbers do not depend on the batch size or on the number of workers.

Every row is judged by itself; the workers put their rows together, in the order of the split, and sum them with correct rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from trm.config.figures import Figure
from trm.config.run import RunConfig
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.errors import DatasetError
from trm.evaluation.answers import steps_of
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.forms import Forms
from trm.evaluation.identifiers import IdentifierRows
from trm.evaluation.metrics import HALTED_FLOPS_SAVED, METRICS, ORACLE, Metrics, named, numbered_of
from trm.evaluation.rollouts import BREADTH
from trm.evaluation.rows import EXACT_AT, HALTED, RowJudge, columns_by_step, halted_by, without_curve
from trm.evaluation.scores import (
    BreadthPoint,
    Columns,
    ColumnScorer,
    CurvePoint,
    Evaluation,
    NumberedScorer,
    TaskScorer,
    imported_scorers,
    means,
    of_puzzles,
    proportion,
)
from trm.models.network import Network
from trm.stats.intervals import mean_of

__all__ = ["Evaluation", "Gang", "Scoring", "evaluate", "gathered"]


@runtime_checkable
class Gang(Protocol):
    """What scoring needs of the workers of a run: to put their rows together."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    def all_gather_rows(self, tensor: Tensor) -> Tensor:
        """Rows of all workers in rank order, on each; every worker may have its own number."""


@torch.no_grad()
def evaluate(
    model: Network,
    table: IdentifierRows | None,
    plan: EvaluationPlan,
    *,
    manifest: Manifest,
    scorer: TaskScorer,
    config: RunConfig,
    device: torch.device | str,
    gang: Gang | None = None,
    progress: Callable[[int, int], None] | None = None,
    stops_halted: bool = False,
    draw: int = 0,
    has_curve: bool = False,
    has_breadth: bool = False,
    record: Callable[[AnsweredBatch], None] | None = None,
    forms: Forms | None = None,
    records_steps: bool = False,
) -> Evaluation:
    """Scores the split behind `plan` with the weights as they stand; every worker of a gang calls it and gets the same.

    Each puzzle is given `evaluation.steps` (or `halt_max_steps`) supervision steps, whatever it says of halting. Metrics:
    `exact_accuracy` (Wilson interval `_low`, `_high`), `exact_accuracy_at_N` after fewer steps, `cell_accuracy` (mean over rows
    of the share of labelled cells), `loss` (answer loss), `q_halt_accuracy`, `mean_halting_step` (where training would have
    halted), `examples`, `predictions`, and the task's own (`scorer`). For ARC a row is one augmentation of a
    test pair, and the errors count tasks.
    With `evaluation.reports_halted` the same of the answers at each row's first halt, as `NAME_halted`, and
    `halted_flops_saved`, the share of the FLOPs that stopping there saves. `stops_halted` really stops there, and leaves out
    what would need all steps.
    `evaluation.metrics` adds figures after other steps, of parts, and with a number in them; where one is of more steps, so many
    are made, and everything else is as without it.
    `has_curve` gives all metrics after each step and at each row's halt until then, from the one pass (`Evaluation.curve`), as
    separate evaluations of so many steps would.
    A network that draws does so by the run's seed, the row, and `draw`: another number is another draw of every row.
    `has_breadth` gives exactness of every depth, breadth (powers of two) and selector, from the one pass (`Evaluation.breadth`).
    `forms` are the puzzles' symmetric ones, for `evaluation.forms`; with several `Evaluation.breadth` has fewer of them too.
    `record` is handed the answers of every batch, with `records_steps` those after each step, and then the evaluation has its rows
    (`Evaluation.rows`).
    `progress` is told batches done and in all. Raises DatasetError for a split without rows.
    """
    workers = 1 if gang is None else gang.world_size
    assert forms is not None or config.evaluation.forms == 1, "who begins asks for forms that there are"
    if len(plan.examples) < workers:
        raise DatasetError(
            f"an evaluation needs an example for every worker: split {plan.split.name} of {manifest.name} gives "
            f"{len(plan.examples)} for {workers}",
            remedy="score another split, or more examples",
        )
    general = ColumnScorer([metric for metric in METRICS if metric.column is not None], manifest.grid)
    scorers = (general, scorer, *imported_scorers(manifest.grid))
    figures = () if stops_halted else config.evaluation.figures
    depths = _Depths.of(config, figures)
    judge = RowJudge(
        model,
        table,
        depths.deepest(config),
        torch.device(device),
        scorers,
        stops_halted=stops_halted,
        draw=draw,
        has_curve=has_curve or has_breadth,
        has_breadth=has_breadth,
        after=frozenset(depths.after),
        answer_steps=None if depths.most == depths.answer else depths.answer,
        record=record,
        forms=forms,
        records_steps=records_steps,
    )
    columns: Columns = {}
    done = 0
    for number, batch in enumerate(plan):
        _put(columns, judge.columns(batch), done, plan.num_rows)
        done += len(batch.rows)
        if progress is not None:
            progress(number + 1, len(plan))
    if gang is not None and workers > 1:
        columns = gathered(columns, gang, torch.device(device))
    order = np.lexsort((columns["identifier"], columns["row"]))
    columns = {name: column[order] for name, column in columns.items()}
    scoring = Scoring(plan.split, manifest, scorers)
    curve = scoring.curve(columns, depths) if has_curve else ()
    breadth = scoring.breadth(columns, depths.answer) if has_breadth or config.evaluation.forms > 1 else ()
    after = dict(columns_by_step(columns, depths.after, has_halted=config.evaluation.reports_halted))
    plain = without_curve(columns) if depths.most == depths.answer else after[depths.answer]
    found = scoring.of(plain, depths.answer)
    for figure in figures:
        found |= scoring.figure(figure, plain if figure.steps in (None, depths.answer) else after[figure.steps], depths.answer)
    rows = None if record is None else plain
    return replace(found, curve=curve, breadth=breadth, puzzle_rows=scoring.puzzle_rows(columns), rows=rows)


def _put(columns: Columns, part: Columns, start: int, rows: int) -> None:
    """Copies a batch's columns to their places among those of so many rows.

    Were the parts kept, each would hold up a piece of the heap between batches, which then grows with the number of batches.
    """
    for name, values in part.items():
        whole = columns.get(name)
        if whole is None:
            columns[name] = whole = np.empty((rows, *values.shape[1:]), dtype=values.dtype)
        elif whole.dtype != values.dtype:
            columns[name] = whole = whole.astype(np.result_type(whole, values))
        whole[start : start + len(values)] = values


@dataclass(frozen=True)
class _Depths:
    """After how many supervision steps an evaluation looks at answers."""

    answer: int
    """Those that it is of."""
    most: int
    """Those that are made."""
    after: tuple[int, ...] = ()
    """Those of its figures, in order; empty: all are of `answer`."""

    @staticmethod
    def of(config: RunConfig, figures: Sequence[Figure]) -> "_Depths":
        """The depths that figures need; every one up to the last where answers at the halts are reported too."""
        answer, asked = steps_of(config), {one.steps for one in figures if one.steps is not None}
        if asked <= {answer}:
            return _Depths(answer, answer)
        most = max(answer, *asked)
        return _Depths(answer, most, tuple(range(1, most + 1) if config.evaluation.reports_halted else sorted({answer, *asked})))

    def deepest(self, config: RunConfig) -> RunConfig:
        """The configuration of an evaluation of as many steps as are made."""
        if self.most == self.answer:
            return config
        return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"steps": self.most})})


@dataclass(frozen=True)
class Scoring:
    """Makes metrics of columns; of those that are not there, none."""

    split: Split
    manifest: Manifest
    scorers: Sequence[TaskScorer]

    def of(self, columns: Columns, steps: int) -> Evaluation:
        """All metrics: after all steps, where they were made, and at each row's halt, where that was asked for."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        halted = {name.removeprefix(HALTED): column for name, column in columns.items() if name.startswith(HALTED)}
        plain = {name: column for name, column in columns.items() if not name.startswith(HALTED)}
        found, is_first = Evaluation({}), _is_first(groups, clusters)
        own_metrics = [metric for scorer in self.scorers for metric in scorer.metrics]
        for own, rename in ((plain, str), (halted, Metrics(own_metrics).halted_name)):
            if "is_exact" in own:
                shared = {name: plain[name] for name in ("row", "mean_halting_step") if name in plain}
                own = own | shared
                parts = _part_scores(own, groups, clusters, self.manifest)
                each = {name: column[is_first] for name, column in own.items()}
                scored = _general_scores(each, clusters[is_first]) | parts
                for scorer in self.scorers:
                    scored |= scorer.scores(each, clusters[is_first])
                found |= scored.renamed(rename)
        if halted:
            found |= Evaluation({HALTED_FLOPS_SAVED: 1 - mean_of(plain["mean_halting_step"].astype(np.float64)) / steps})
        return found

    def figure(self, figure: Figure, columns: Columns, steps: int) -> Evaluation:
        """One figure beyond those of every evaluation, of the columns after its steps: its value, interval and standard error.

        Empty where no row has it. Of a part it has no scores by puzzle, which are a table of all of them.
        """
        name, scored = figure.metric, self._with_numbered(figure.metric, columns, steps)
        if figure.part is not None and f"{name}/{figure.part}" in scored.metrics:
            name = f"{name}/{figure.part}"
        elif figure.part is not None:
            is_here = self._is_in(figure.part, columns)
            if not is_here.any():
                return Evaluation()
            scored = self._with_numbered(name, {key: column[is_here] for key, column in columns.items()}, steps)
        ends = {f"{name}{end}": f"{figure.name}{end}" for end in ("", "_low", "_high")}
        metrics = {ends[key]: value for key, value in scored.metrics.items() if key in ends}
        errors = {ends[key]: value for key, value in scored.standard_errors.items() if key in ends}
        puzzles = {ends[key]: column for key, column in scored.puzzles.items() if key in ends and figure.part is None}
        return Evaluation(metrics, errors, puzzles)

    def _is_in(self, part: str, columns: Columns) -> np.ndarray:
        """Which rows are of a part of a mixture."""
        groups = self.split.groups[columns["row"]]
        is_here = np.zeros(len(groups), dtype=bool)
        for one in self.manifest.parts:
            if one.name == part:
                is_here |= (groups >= one.groups[0]) & (groups < one.groups[1])
        return is_here

    def _with_numbered(self, metric: str, columns: Columns, steps: int) -> Evaluation:
        """All metrics, and that one if it is one with a number that is computed where it is asked for."""
        scored, numbered = self.of(columns, steps), numbered_of(metric)
        if metric in scored.metrics or numbered is None:
            return scored
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first = _is_first(groups, clusters)
        each = {name: column[is_first] for name, column in columns.items() if not name.startswith(HALTED)}
        for scorer in self.scorers:
            if isinstance(scorer, NumberedScorer):
                scored |= scorer.numbered(*numbered, each, clusters[is_first])
        return scored

    def puzzle_rows(self, columns: Columns) -> np.ndarray:
        """How many scored rows each puzzle has, in the order of puzzles."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        return np.unique(clusters[_is_first(groups, clusters)], return_counts=True)[1]

    def breadth(self, columns: Columns, most: int) -> tuple[BreadthPoint, ...]:
        """Exactness of every depth up to `most`, breadth and selector of a pass that has them."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first, found = _is_first(groups, clusters), []
        for name in (name for name in columns if name.startswith(BREADTH)):
            steps, count, rollouts, select = name.removeprefix(BREADTH).split(".")
            if int(steps) > most:
                continue
            puzzles = of_puzzles(columns[name][is_first].astype(np.float64), clusters[is_first])
            found.append(BreadthPoint(int(steps), int(count), int(rollouts), select, puzzles))
        return tuple(found)

    def curve(self, columns: Columns, depths: _Depths) -> tuple[CurvePoint, ...]:
        """The metrics after each step of a pass with a curve."""
        groups, clusters = self.split.groups[columns["row"]], self.split.clusters[columns["row"]]
        is_first = _is_first(groups, clusters)
        return tuple(
            CurvePoint(step, self.of(own, step), mean_of(halted_by(columns, step, depths.most)[is_first].astype(np.float64)))
            for step, own in columns_by_step(columns, range(1, depths.answer + 1))
        )


def _is_first(groups: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Which rows are of the first group of their cluster that was scored: a puzzle under several numbers counts once."""
    numbers, places = np.unique(clusters, return_inverse=True)
    least = np.full(len(numbers), np.iinfo(np.int64).max)
    np.minimum.at(least, places, groups)
    return np.asarray(groups == least[places])


def gathered(columns: Columns, gang: Gang, device: torch.device) -> Columns:
    """The columns of all workers, in the order of their ranks."""
    return {name: gang.all_gather_rows(torch.from_numpy(column).to(device)).cpu().numpy() for name, column in columns.items()}


def _general_scores(columns: Columns, clusters: np.ndarray) -> Evaluation:
    puzzles, is_exact = np.unique(clusters), columns["is_exact"].astype(np.float64)
    exact = proportion("exact_accuracy", mean_of(is_exact), len(puzzles))
    earlier = {
        f"exact_accuracy_at_{name.removeprefix(EXACT_AT)}": mean_of(column.astype(np.float64))
        for name, column in columns.items()
        if name.startswith(EXACT_AT)
    }
    if ORACLE.name in columns:
        exact |= proportion(ORACLE.name, mean_of(columns[ORACLE.name].astype(np.float64)), len(puzzles))
    counts = {"examples": float(len(np.unique(columns["row"]))), "predictions": float(len(columns["row"]))}
    own = [name for name in named([metric for metric in METRICS if metric.column is None], "mean") if name in columns]
    by_puzzle = {"puzzle": puzzles, "exact_accuracy": of_puzzles(is_exact, clusters)}
    return exact | means(columns, own, clusters) | Evaluation(earlier | counts, puzzles=by_puzzle)


def _part_scores(columns: Columns, groups: np.ndarray, clusters: np.ndarray, manifest: Manifest) -> Evaluation:
    """Exactness in each part of a mixture that has rows in the split."""
    found = Evaluation({})
    for part in manifest.parts:
        is_here = (groups >= part.groups[0]) & (groups < part.groups[1])
        if is_here.any():
            share = mean_of(columns["is_exact"][is_here].astype(np.float64))
            found |= proportion(f"exact_accuracy/{part.name}", share, len(np.unique(clusters[is_here])))
    return found

"""Scoring a network on a split. The numbers do not depend on the batch size or on the number of workers.

Every row is judged by itself; the workers put their rows together, in the order of the split, and sum them with correct rounding.

Each puzzle is given `evaluation.steps` (or `halt_max_steps`) supervision steps, whatever it says of halting. Metrics:
`exact_accuracy` (Wilson interval `_low`, `_high`), `exact_accuracy_at_N` after fewer steps, `cell_accuracy` (mean over rows
of the share of labelled cells), `loss` (answer loss), `q_halt_accuracy`, `mean_halting_step` (where training would have
halted), `examples`, `predictions`, and the task's own. For ARC a row is one augmentation of a test pair; errors count tasks.
With `evaluation.reports_halted` the same of the answers at each row's first halt, as `NAME_halted`, and `halted_flops_saved`, the
share of the FLOPs that stopping there saves. `evaluation.metrics` adds figures after other steps, of parts, and with a number in
them; where one is of more steps, so many are made, and everything else is as without it.
What comes of each step or breadth of one pass is what a separate evaluation of so many gives. A network that draws does so by the
run's seed, the row, and `draw`.
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
from trm.data.format.manifest import Manifest
from trm.errors import DatasetError
from trm.evaluation.answers import steps_of
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.forms import Forms
from trm.evaluation.identifiers import IdentifierRows
from trm.evaluation.metrics import METRICS
from trm.evaluation.rows import RowJudge, columns_by_step, without_curve
from trm.evaluation.scores import Columns, ColumnScorer, Evaluation, TaskScorer, imported_scorers
from trm.evaluation.scoring import Scoring
from trm.models.network import Network

__all__ = ["Evaluation", "Gang", "evaluate", "gathered"]


@runtime_checkable
class Gang(Protocol):
    """What scoring needs of the workers of a run: to put their rows together."""

    @property
    def world_size(self) -> int:
        """How many workers there are."""

    def all_gather_rows(self, tensor: Tensor) -> Tensor:
        """Rows of all workers in rank order, on each; every worker may have its own number."""


EXACT = Figure("exact_accuracy")


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
    measure: Figure = EXACT,
) -> Evaluation:
    """Scores the split behind `plan` with the weights as they stand; every worker of a gang calls it and gets the same.

    `stops_halted` really stops at rows' halts, and leaves out what would need all steps. `draw`: another number is another draw of
    every row, of a network that draws. `has_curve` gives all metrics after each step and at each row's halt until then
    (`Evaluation.curve`), `has_breadth` the figure `measure` of every depth, breadth (powers of two) and selector
    (`Evaluation.breadth`), both from the one pass. `forms` are the puzzles' symmetric ones, for `evaluation.forms`; with several
    `Evaluation.breadth` has fewer of them too. `record` is handed the answers of every batch, with `records_steps` those after each
    step, and then the evaluation has its rows (`Evaluation.rows`). `progress` is told batches done and in all. Raises DatasetError
    for a split without rows.
    """
    assert forms is not None or config.evaluation.forms == 1, "who begins asks for forms that there are"
    _require_rows(plan, manifest, 1 if gang is None else gang.world_size)
    general = ColumnScorer([metric for metric in METRICS if metric.column is not None], manifest.grid)
    scoring = Scoring(plan.split, manifest, (general, scorer, *imported_scorers(manifest.grid)))
    figures = () if stops_halted else config.evaluation.figures
    depths = _Depths.of(config, (*figures, measure))
    judge = RowJudge(
        model,
        table,
        depths.deepest(config),
        torch.device(device),
        scoring.scorers,
        stops_halted=stops_halted,
        draw=draw,
        has_curve=has_curve or has_breadth,
        has_breadth=has_breadth,
        measured=scoring.columns_of(measure),
        after=frozenset(depths.after),
        answer_steps=None if depths.most == depths.answer else depths.answer,
        record=record,
        forms=forms,
        records_steps=records_steps,
    )
    columns = _in_order(_columns(judge, plan, progress), gang, torch.device(device))
    after = dict(columns_by_step(columns, depths.after, has_halted=config.evaluation.reports_halted))
    plain = without_curve(columns) if depths.most == depths.answer else after[depths.answer]

    def own(figure: Figure) -> Columns:
        return plain if figure.steps in (None, depths.answer) else after[figure.steps]

    found = scoring.of(plain, depths.answer)
    for figure in figures:
        found |= scoring.figure(figure, own(figure), figure.steps or depths.answer)
    return replace(
        found,
        curve=scoring.curve(columns, depths.answer, depths.most, measure) if has_curve else (),
        breadth=scoring.breadth(columns, depths.answer, measure) if has_breadth or config.evaluation.forms > 1 else (),
        measured=None if stops_halted else scoring.measured(measure, own(measure)),
        puzzle_rows=scoring.puzzle_rows(columns),
        rows=None if record is None else plain,
    )


def _require_rows(plan: EvaluationPlan, manifest: Manifest, workers: int) -> None:
    """DatasetError for a split that leaves a worker without an example."""
    if len(plan.examples) < workers:
        raise DatasetError(
            f"an evaluation needs an example for every worker: split {plan.split.name} of {manifest.name} gives "
            f"{len(plan.examples)} for {workers}",
            remedy="score another split, or more examples",
        )


def _columns(judge: RowJudge, plan: EvaluationPlan, progress: Callable[[int, int], None] | None) -> Columns:
    """What is known of each row of a plan, batch by batch."""
    columns: Columns = {}
    done = 0
    for number, batch in enumerate(plan):
        _put(columns, judge.columns(batch), done, plan.num_rows)
        done += len(batch.rows)
        if progress is not None:
            progress(number + 1, len(plan))
    return columns


def _in_order(columns: Columns, gang: Gang | None, device: torch.device) -> Columns:
    """The columns of all workers, in the order of the split."""
    if gang is not None and gang.world_size > 1:
        columns = gathered(columns, gang, device)
    order = np.lexsort((columns["identifier"], columns["row"]))
    return {name: column[order] for name, column in columns.items()}


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


def gathered(columns: Columns, gang: Gang, device: torch.device) -> Columns:
    """The columns of all workers, in the order of their ranks."""
    return {name: gang.all_gather_rows(torch.from_numpy(column).to(device)).cpu().numpy() for name, column in columns.items()}

"""Scoring a network on a split. The numbers do not depend on the batch size or on the number of workers.

Every row is judged by itself; the workers put their rows together, in the order of the split, and sum them with correct rounding.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.data.batches.plan import EvaluationBatch, EvaluationPlan
from trm.data.format.manifest import Manifest
from trm.errors import DatasetError
from trm.evaluation.answers import answers, halted_answers, steps_of
from trm.evaluation.metrics import HALTED_FLOPS_SAVED, METRICS, Metrics, named
from trm.evaluation.scores import Columns, ColumnScorer, Evaluation, TaskScorer, means, of_puzzles, proportion, with_imported
from trm.losses.answer import IGNORED
from trm.losses.choice import build_loss
from trm.models.network import Network, Output
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.stats.intervals import mean_of

__all__ = ["Evaluation", "Gang", "evaluate"]

DRAWS_STREAM = 0x6576616C
"""Keeps what a network draws in evaluation apart from every other use of the seed."""
EXACT_AT = "is_exact_at_"
HALTED = "halted."
"""Before the names of columns about the answer at a row's first halt."""


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
    table: PuzzleEmbedding | None,
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
    A network that draws does so by the run's seed, the row, and `draw`: another number is another draw of every row.
    `progress` is told batches done and in all. Raises DatasetError for a split without rows.
    """
    workers, scorer = 1 if gang is None else gang.world_size, with_imported(scorer, manifest.grid)
    if len(plan.examples) < workers:
        raise DatasetError(
            f"an evaluation needs an example for every worker: split {plan.split.name} of {manifest.name} gives "
            f"{len(plan.examples)} for {workers}",
            remedy="score another split, or more examples",
        )
    parts: list[Columns] = []
    scorers = (ColumnScorer([metric for metric in METRICS if metric.column is not None], manifest.grid), scorer)
    for number, batch in enumerate(plan):
        keys = _keys(batch, config, draw)
        parts.append(_score_rows(model, table, batch, config, torch.device(device), scorers, keys=keys, stops_halted=stops_halted))
        if progress is not None:
            progress(number + 1, len(plan))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if gang is not None and workers > 1:
        columns = _gathered(columns, gang, torch.device(device))
    order = np.lexsort((columns["identifier"], columns["row"]))
    columns = {name: column[order] for name, column in columns.items()}
    numbers = plan.split.groups[columns["row"]], plan.split.clusters[columns["row"]]
    return _scores(columns, *numbers, manifest, scorers, steps=steps_of(config))


def _score_rows(
    model: Network,
    table: PuzzleEmbedding | None,
    batch: EvaluationBatch,
    config: RunConfig,
    device: torch.device,
    scorers: Sequence[TaskScorer],
    *,
    keys: np.ndarray | None,
    stops_halted: bool,
) -> Columns:
    """What is known of each row of a batch; of its answer at its halt under `HALTED` names."""
    inputs, labels, identifiers = (
        torch.from_numpy(array).to(device) for array in (batch.batch.inputs, batch.batch.labels, batch.batch.puzzle_identifiers)
    )
    rows = None if table is None else table.rows(identifiers)
    given = None if keys is None else torch.from_numpy(keys).to(device)
    found = (halted_answers if stops_halted else answers)(model, inputs, rows, config, given)
    early = {f"{EXACT_AT}{step}": _is_exact(predictions, labels).cpu().numpy() for step, predictions in found.early.items()}
    columns = {"mean_halting_step": found.halting_step.cpu().numpy(), **early}
    for prefix, output in (("", found.final), (HALTED, found.halted)):
        if output is not None:
            judged, predictions = _judged(output, labels, config)
            for scorer in scorers:
                judged |= scorer.columns(predictions, batch)
            columns |= {f"{prefix}{name}": column for name, column in judged.items()}
    return columns | {"row": batch.rows, "identifier": batch.batch.puzzle_identifiers}


def _keys(batch: EvaluationBatch, config: RunConfig, draw: int) -> np.ndarray | None:
    """Keys of a batch's rows, whatever batch they are in; None for a network that draws nothing where it is evaluated."""
    if not config.model.draws_in_evaluation:
        return None
    return device_keys(config.seed, DRAWS_STREAM, draw, batch.rows, batch.batch.puzzle_identifiers)


def _judged(output: Output, labels: Tensor, config: RunConfig) -> tuple[Columns, np.ndarray]:
    """What an answer is worth, a value a row, and its predicted cells (batch, S) uint8."""
    predictions = output.logits.argmax(-1)
    is_labelled = labels != IGNORED
    correct = (is_labelled & (predictions == labels)).sum(-1)
    is_exact = _is_exact(predictions, labels)
    found = {
        "is_exact": is_exact,
        "cell_accuracy": correct.double() / is_labelled.sum(-1).clamp(min=1),
        "loss": build_loss(config, labels.device).of_answers(output.logits, labels),
        "q_halt_accuracy": (output.q_halt >= 0) == is_exact,
        "halting_probability": torch.sigmoid(output.q_halt.double()),
    }
    return {name: column.cpu().numpy() for name, column in found.items()}, predictions.to(torch.uint8).cpu().numpy()


def _is_exact(predictions: Tensor, labels: Tensor) -> Tensor:
    return ((predictions == labels) | (labels == IGNORED)).all(-1)


def _scores(
    columns: Columns, groups: np.ndarray, clusters: np.ndarray, manifest: Manifest, scorers: Sequence[TaskScorer], *, steps: int
) -> Evaluation:
    """All metrics: after all steps, where they were made, and at each row's halt, where that was asked for."""
    halted = {name.removeprefix(HALTED): column for name, column in columns.items() if name.startswith(HALTED)}
    plain = {name: column for name, column in columns.items() if not name.startswith(HALTED)}
    found, is_first = Evaluation({}), _is_first(groups, clusters)
    own_metrics = [metric for scorer in scorers for metric in scorer.metrics]
    for own, rename in ((plain, str), (halted, Metrics(own_metrics).halted_name)):
        if "is_exact" in own:
            shared = {name: plain[name] for name in ("row", "mean_halting_step")}
            own = own | shared
            parts = _part_scores(own, groups, clusters, manifest)
            each = {name: column[is_first] for name, column in own.items()}
            scored = _general_scores(each, clusters[is_first]) | parts
            for scorer in scorers:
                scored |= scorer.scores(each, clusters[is_first])
            found |= scored.renamed(rename)
    if halted:
        found |= Evaluation({HALTED_FLOPS_SAVED: 1 - mean_of(plain["mean_halting_step"].astype(np.float64)) / steps})
    return found


def _is_first(groups: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Which rows are of the first group of their cluster that was scored: a puzzle under several numbers counts once."""
    numbers, places = np.unique(clusters, return_inverse=True)
    least = np.full(len(numbers), np.iinfo(np.int64).max)
    np.minimum.at(least, places, groups)
    return np.asarray(groups == least[places])


def _gathered(columns: Columns, gang: Gang, device: torch.device) -> Columns:
    """The columns of all workers."""
    return {name: gang.all_gather_rows(torch.from_numpy(column).to(device)).cpu().numpy() for name, column in columns.items()}


def _general_scores(columns: Columns, clusters: np.ndarray) -> Evaluation:
    puzzles, is_exact = np.unique(clusters), columns["is_exact"].astype(np.float64)
    exact = proportion("exact_accuracy", mean_of(is_exact), len(puzzles))
    earlier = {
        f"exact_accuracy_at_{name.removeprefix(EXACT_AT)}": mean_of(column.astype(np.float64))
        for name, column in columns.items()
        if name.startswith(EXACT_AT)
    }
    counts = {"examples": float(len(np.unique(columns["row"]))), "predictions": float(len(columns["row"]))}
    own = named([metric for metric in METRICS if metric.column is None], "mean")
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

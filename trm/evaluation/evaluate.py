"""Scoring a network on a split. The numbers do not depend on the batch size or on the number of workers.

Every row is judged by itself; the workers put their rows together, in the order of the split, and sum them with correct rounding.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from trm.config import RunConfig
from trm.data.manifest import Manifest
from trm.data.plan import EvaluationBatch, EvaluationPlan
from trm.errors import DatasetError
from trm.evaluation.intervals import mean_of
from trm.evaluation.names import MEANS, is_scored_early
from trm.evaluation.scores import Columns, Evaluation, means, of_puzzles, proportion
from trm.evaluation.tasks import scorer_for
from trm.losses import IGNORED, answer_loss
from trm.models.devices import loss_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.models.trm import Output, TinyRecursiveModel

__all__ = ["Evaluation", "Gang", "evaluate"]

EXACT_AT = "is_exact_at_"


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
    model: TinyRecursiveModel,
    table: PuzzleEmbedding | None,
    plan: EvaluationPlan,
    *,
    manifest: Manifest,
    config: RunConfig,
    device: torch.device | str,
    gang: Gang | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Scores the split behind `plan` with the weights as they stand; every worker of a gang calls it and gets the same.

    Each puzzle is given `evaluation.steps` (or `halt_max_steps`) supervision steps, whatever it says of halting. Metrics:
    `exact_accuracy` (Wilson interval `_low`, `_high`), `exact_accuracy_at_N` after fewer steps, `cell_accuracy` (mean over rows
    of the share of labelled cells), `loss` (answer loss), `q_halt_accuracy`, `mean_halting_step` (where training would have
    halted), `examples`, `predictions`, and the task's own (`trm.evaluation.tasks`). For ARC a row is one augmentation of a
    test pair, and the errors count tasks.
    `progress` is told batches done and in all. Raises DatasetError for a split without rows.
    """
    workers = 1 if gang is None else gang.world_size
    if len(plan.examples) < workers:
        raise DatasetError(
            f"an evaluation needs an example for every worker: split {plan.split.name} of {manifest.name} gives "
            f"{len(plan.examples)} for {workers}",
            remedy="score another split, or more examples",
        )
    scorer = scorer_for(manifest, plan.split)
    parts: list[Columns] = []
    for number, batch in enumerate(plan):
        columns, predictions = _score_rows(model, table, batch, config, torch.device(device))
        parts.append(columns | scorer.columns(predictions, batch))
        if progress is not None:
            progress(number + 1, len(plan))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if gang is not None and workers > 1:
        columns = _gathered(columns, gang, torch.device(device))
    order = np.lexsort((columns["identifier"], columns["row"]))
    columns = {name: column[order] for name, column in columns.items()}
    clusters = plan.split.groups[columns["row"]]
    return _general_scores(columns, clusters) | _part_scores(columns, clusters, manifest) | scorer.scores(columns, clusters)


def _score_rows(
    model: TinyRecursiveModel, table: PuzzleEmbedding | None, batch: EvaluationBatch, config: RunConfig, device: torch.device
) -> tuple[Columns, np.ndarray]:
    """What is known of each row of a batch after all its supervision steps, and the predicted cells (batch, S) uint8."""
    inputs, labels, identifiers = (
        torch.from_numpy(array).to(device) for array in (batch.batch.inputs, batch.batch.labels, batch.batch.puzzle_identifiers)
    )
    rows = None if table is None else table.rows(identifiers)
    is_labelled = labels != IGNORED
    steps = config.evaluation.steps or config.model.halt_max_steps
    latents = model.initial_latents(len(inputs))
    halting_step = torch.full((len(inputs),), steps, device=device)
    exact_at: dict[str, Tensor] = {}
    for step in range(1, steps + 1):
        latents, output = model(latents, inputs, rows)
        halting_step = torch.where(_wants_to_halt(output, config), halting_step.clamp(max=step), halting_step)
        if step == steps or is_scored_early(step, steps):
            predictions = output.logits.argmax(-1)
            correct = (is_labelled & (predictions == labels)).sum(-1)
            exact_at[f"{EXACT_AT}{step}"] = correct == is_labelled.sum(-1)
    is_exact = exact_at.pop(f"{EXACT_AT}{steps}")
    found = {
        "is_exact": is_exact,
        "cell_accuracy": correct.double() / is_labelled.sum(-1).clamp(min=1),
        "loss": answer_loss(output.logits, labels, config.training.loss, loss_dtype(config.training, device)),
        "q_halt_accuracy": (output.q_halt >= 0) == is_exact,
        "mean_halting_step": halting_step,
        "halting_probability": torch.sigmoid(output.q_halt.double()),
        **exact_at,
    }
    columns = {name: column.cpu().numpy() for name, column in found.items()}
    columns |= {"row": batch.rows, "identifier": batch.batch.puzzle_identifiers}
    return columns, predictions.to(torch.uint8).cpu().numpy()


def _wants_to_halt(output: Output, config: RunConfig) -> Tensor:
    """Whether training would halt here, exploration apart."""
    return output.q_halt > (0 if config.model.no_ACT_continue else output.q_continue)


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
    by_puzzle = {"puzzle": puzzles, "exact_accuracy": of_puzzles(is_exact, clusters)}
    return exact | means(columns, MEANS, clusters) | Evaluation(earlier | counts, puzzles=by_puzzle)


def _part_scores(columns: Columns, clusters: np.ndarray, manifest: Manifest) -> Evaluation:
    """Exactness in each part of a mixture that has rows in the split."""
    found = Evaluation({})
    for part in manifest.parts:
        is_here = (clusters >= part.groups[0]) & (clusters < part.groups[1])
        if is_here.any():
            share = mean_of(columns["is_exact"][is_here].astype(np.float64))
            found |= proportion(f"exact_accuracy/{part.name}", share, len(np.unique(clusters[is_here])))
    return found

"""What a supervision step is judged by: losses of answers and of halting, added up by their weights. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trm.config.losses import StablemaxLoss, SupervisionLoss
from trm.losses.answer import IGNORED, CrossEntropy, mean_answer_loss
from trm.models.network import Output

PLAIN = StablemaxLoss()
"""All that is added to an answer loss at its default."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch as sums over its rows, and what they were judged by."""

    loss: Tensor
    """() with gradient: answers + halt_loss_weight (halting + continue), each row times its weight."""
    answer_loss: Tensor
    """() sum over rows of the mean over labelled cells."""
    halting_loss: Tensor
    """() binary cross entropy of halting against being exactly right."""
    continue_loss: Tensor | None
    """() binary cross entropy of continuing; None where it is not learned."""
    intermediate_loss: Tensor | None
    """() sum over rows and earlier cycles of the answer loss; None where none is read."""
    is_exact: Tensor
    """(batch,) bool: every labelled cell is right."""
    correct_cells: Tensor
    """(batch,) int64: labelled cells that are right."""
    labelled_cells: Tensor
    """(batch,) int64: cells with a label."""


def halting_loss(
    q: Float[Tensor, " batch"], target: Float[Tensor, " batch"] | Bool[Tensor, " batch"], weights: Tensor | None = None
) -> Float[Tensor, ""]:
    """Binary cross entropy of the logits `q` against `target`, summed over rows, each times its weight."""
    if weights is None:
        return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), reduction="sum")
    return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), weights.to(q.dtype), reduction="sum")


def supervision_loss(
    output: Output,
    labels: Int[Tensor, "batch cells"],
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
    learns_halt: bool = True,
    continue_target: Float[Tensor, " batch"] | None = None,
    objective: SupervisionLoss = PLAIN,
    steps: Int[Tensor, " batch"] | None = None,
    previous: Float[Tensor, "batch cells vocab"] | None = None,
) -> Losses:
    """All losses of one supervision step; divide `loss` by the global batch size before the backward pass.

    Answers of earlier cycles count in it by `objective.intermediate_weight`, of a network that answers after every cycle like the
    last. `steps` are those that each slot has made, which `objective.step_weights` needs; `previous` are the logits that each slot
    had read before, which its `answer_target` may need. What is told of the parts is not weighted.
    """
    is_ignored = labels == IGNORED
    labelled = (~is_ignored).sum(-1)
    correct = (output.logits.detach().argmax(-1) == labels).sum(-1)
    is_exact = correct == labelled
    weights = None
    if objective.step_weights:
        assert steps is not None, "weights by steps need them"
        weights = 1 + objective.step_weights * steps.to(dtype)

    *before, rows = _answer_losses(
        (*output.earlier, output.logits), labels, is_ignored, labelled, previous, cross_entropy=cross_entropy, dtype=dtype
    )
    answer, halting, intermediate = rows.sum(), rows.new_zeros(()), None
    total = answer if weights is None else (rows * weights).sum()
    for one in before:
        intermediate = one.sum() if intermediate is None else intermediate + one.sum()
        total = total + (objective.intermediate_weight or 1.0) * (one if weights is None else one * weights).sum()
    if learns_halt:
        halting = halting_loss(output.q_halt, is_exact, weights)
        total = total + objective.halt_loss_weight * halting
    going_on = None
    if continue_target is not None:
        going_on = halting_loss(output.q_continue, continue_target, weights)
        total = total + objective.halt_loss_weight * going_on
        going_on = going_on.detach()
    told = answer.detach(), halting.detach(), going_on, None if intermediate is None else intermediate.detach()
    return Losses(total, *told, is_exact, correct, labelled)


def _answer_losses(
    answers: Sequence[Tensor],
    labels: Tensor,
    is_ignored: Tensor,
    labelled: Tensor,
    previous: Tensor | None,
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
) -> list[Tensor]:
    """The answer loss of each row of each answer in turn; with `previous` of what it adds to the one read before it."""
    found = []
    for logits in answers:
        judged = logits if previous is None else logits.to(dtype) - previous.detach().to(dtype)
        found.append(mean_answer_loss(judged, labels, is_ignored, labelled, cross_entropy=cross_entropy, dtype=dtype))
        previous = None if previous is None else logits
    return found

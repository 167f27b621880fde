"""The losses of deep supervision: right answer, right halting. Pure functions."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trm.models.trm import Output

IGNORED = -100
"""Label of a cell that no loss and no score looks at."""
HALTING_WEIGHT = 0.5
"""Weight of each halting loss against the answer loss."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch as sums over its rows, and what they were judged by."""

    total: Tensor
    """() with gradient: lm + 0.5 * (q_halt + q_continue)."""
    lm: Tensor
    """() answer loss: sum over rows of the mean over labelled cells."""
    q_halt: Tensor
    """() binary cross entropy of halting against being exactly right."""
    q_continue: Tensor | None
    """() binary cross entropy of continuing; None with `no_ACT_continue`."""
    is_exact: Tensor
    """(batch,) bool: every labelled cell is right."""
    correct_cells: Tensor
    """(batch,) int64: labelled cells that are right."""
    labelled_cells: Tensor
    """(batch,) int64: cells with a label."""


def log_stablemax(logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch vocab"]:
    """log(s(x) / sum s(x)) with s(x) = x + 1 for x >= 0, else 1 / (1 - x).

    Written without a choice between branches, whose discarded one would make the gradient NaN at a logit of exactly 1.
    """
    positive, negative = functional.relu(logits), logits.clamp(max=0)  # at 0 the slope is 1: relu gives 0 there, clamp 1
    log_s = torch.log1p(positive) - torch.log1p(-negative)
    total = ((positive + 1) / (1 - negative)).sum(-1, keepdim=True)
    return log_s - torch.log(total)


def answer_loss(
    logits: Float[Tensor, "batch cells vocab"],
    labels: Int[Tensor, "batch cells"],
    kind: Literal["stablemax", "softmax"],
    dtype: torch.dtype,
) -> Float[Tensor, " batch"]:
    """Per row the mean cross entropy over labelled cells, computed in `dtype`; 0 for a row without labels."""
    is_labelled = labels != IGNORED
    wide = logits.to(dtype)
    log_probabilities = log_stablemax(wide) if kind == "stablemax" else functional.log_softmax(wide, dim=-1)
    target = labels.masked_fill(~is_labelled, 0).long()
    cross_entropy = -log_probabilities.gather(-1, target[..., None]).squeeze(-1)
    return cross_entropy.masked_fill(~is_labelled, 0).sum(-1) / is_labelled.sum(-1).clamp(min=1)


def halting_loss(q: Float[Tensor, " batch"], target: Float[Tensor, " batch"] | Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Binary cross entropy of the logits `q` against `target`, summed over rows."""
    return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), reduction="sum")


def supervision_loss(
    output: Output,
    labels: Int[Tensor, "batch cells"],
    *,
    kind: Literal["stablemax", "softmax"],
    dtype: torch.dtype,
    continue_target: Float[Tensor, " batch"] | None = None,
) -> Losses:
    """All losses of one supervision step; divide `total` by the global batch size before the backward pass."""
    is_labelled = labels != IGNORED
    with torch.no_grad():
        correct = (is_labelled & (output.logits.argmax(-1) == labels)).sum(-1)
        labelled = is_labelled.sum(-1)
        is_exact = correct == labelled
    lm = answer_loss(output.logits, labels, kind, dtype).sum()
    q_halt = halting_loss(output.q_halt, is_exact)
    total = lm + HALTING_WEIGHT * q_halt
    q_continue = None
    if continue_target is not None:
        q_continue = halting_loss(output.q_continue, continue_target)
        total = total + HALTING_WEIGHT * q_continue
        q_continue = q_continue.detach()
    return Losses(total, lm.detach(), q_halt.detach(), q_continue, is_exact, correct, labelled)

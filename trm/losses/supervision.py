"""The losses of deep supervision: right answer, right halting. Pure functions."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trm.losses.answer import IGNORED, mean_answer_loss
from trm.models.network import Output

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
    is_ignored = labels == IGNORED
    labelled = (~is_ignored).sum(-1)
    correct = (output.logits.detach().argmax(-1) == labels).sum(-1)
    is_exact = correct == labelled
    lm = mean_answer_loss(output.logits, labels, is_ignored, labelled, kind=kind, dtype=dtype).sum()
    q_halt = halting_loss(output.q_halt, is_exact)
    total = lm + HALTING_WEIGHT * q_halt
    q_continue = None
    if continue_target is not None:
        q_continue = halting_loss(output.q_continue, continue_target)
        total = total + HALTING_WEIGHT * q_continue
        q_continue = q_continue.detach()
    return Losses(total, lm.detach(), q_halt.detach(), q_continue, is_exact, correct, labelled)

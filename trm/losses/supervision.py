"""The losses of deep supervision: right answer, right halting. Pure functions."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trm.models.trm.network import Output

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


def stablemax_cross_entropy(logits: Float[Tensor, "*batch vocab"], target: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """log(sum s(x)) - log s(x at `target`) with s(x) = x + 1 for x >= 0, else 1 / (1 - x); int64 targets."""
    loss: Tensor = _StablemaxCrossEntropy.apply(logits, target)  # type: ignore[no-untyped-call]
    return loss


class _StablemaxCrossEntropy(torch.autograd.Function):
    """With u = 1 + |x|, s is u or 1 / u and log s is log(u) with the sign of x.

    Written by hand because autograd takes three times as many passes, which in a small network cost more than the arithmetic.
    A chosen branch never meets the infinities of the other one: the gradient is finite at a logit of exactly 1 too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor) -> Tensor:
        is_positive, u, target = x > 0, x.abs().add_(1), target[..., None]
        inverse = u.reciprocal()
        total = torch.where(is_positive, u, inverse).sum(-1)
        at = x.gather(-1, target).squeeze(-1)
        ctx.save_for_backward(is_positive, u, inverse, total, target)
        return torch.log(total).sub_(at.abs().log1p_().copysign_(at))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None]:
        is_positive, u, inverse, total, target = ctx.saved_tensors
        d_x = (inverse / u).masked_fill_(is_positive, 1).mul_((d_loss / total)[..., None])
        at_target = d_loss[..., None] / u.gather(-1, target)
        return d_x.scatter_add_(-1, target, at_target.neg_()), None


def answer_loss(
    logits: Float[Tensor, "batch cells vocab"],
    labels: Int[Tensor, "batch cells"],
    kind: Literal["stablemax", "softmax"],
    dtype: torch.dtype,
) -> Float[Tensor, " batch"]:
    """Per row the mean cross entropy over labelled cells, computed in `dtype`; 0 for a row without labels."""
    is_ignored = labels == IGNORED
    return _answer_loss(logits, labels, is_ignored, (~is_ignored).sum(-1), kind=kind, dtype=dtype)


def _answer_loss(
    logits: Tensor,
    labels: Tensor,
    is_ignored: Tensor,
    labelled_cells: Tensor,
    *,
    kind: Literal["stablemax", "softmax"],
    dtype: torch.dtype,
) -> Tensor:
    target = labels.masked_fill(is_ignored, 0).long()
    if kind == "stablemax":
        cross_entropy = stablemax_cross_entropy(logits.to(dtype), target)
    else:
        cross_entropy = -functional.log_softmax(logits.to(dtype), dim=-1).gather(-1, target[..., None]).squeeze(-1)
    return cross_entropy.masked_fill(is_ignored, 0).sum(-1) / labelled_cells.clamp(min=1)


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
    lm = _answer_loss(output.logits, labels, is_ignored, labelled, kind=kind, dtype=dtype).sum()
    q_halt = halting_loss(output.q_halt, is_exact)
    total = lm + HALTING_WEIGHT * q_halt
    q_continue = None
    if continue_target is not None:
        q_continue = halting_loss(output.q_continue, continue_target)
        total = total + HALTING_WEIGHT * q_continue
        q_continue = q_continue.detach()
    return Losses(total, lm.detach(), q_halt.detach(), q_continue, is_exact, correct, labelled)

"""The answer loss: a cross entropy over the vocabulary, averaged over the labelled cells of each row. Pure functions."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

IGNORED = -100
"""Label of a cell that no loss and no score looks at."""

CrossEntropy = Callable[[Tensor, Tensor], Tensor]
"""Logits (..., vocab) and int64 targets (...) -> the loss of each, (...)."""


def answer_loss(
    logits: Float[Tensor, "batch cells vocab"],
    labels: Int[Tensor, "batch cells"],
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
) -> Float[Tensor, " batch"]:
    """Per row the mean cross entropy over labelled cells, computed in `dtype`; 0 for a row without labels."""
    is_ignored = labels == IGNORED
    return mean_answer_loss(logits, labels, is_ignored, (~is_ignored).sum(-1), cross_entropy=cross_entropy, dtype=dtype)


def mean_answer_loss(
    logits: Tensor,
    labels: Tensor,
    is_ignored: Tensor,
    labelled_cells: Tensor,
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
) -> Tensor:
    """`answer_loss` for who knows already which cells are ignored, (batch, cells) bool, and how many of a row are not, (batch,)."""
    target = labels.masked_fill(is_ignored, 0).long()
    return cross_entropy(logits.to(dtype), target).masked_fill(is_ignored, 0).sum(-1) / labelled_cells.clamp(min=1)

"""Sign SGD on the rows of the puzzle embedding that a batch touches."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class RowFactors(NamedTuple):
    """What an update takes besides gradients: numbers, or () tensors that a recorded step reads anew."""

    keep: float | Tensor
    """1 - lr * weight_decay."""
    lr: float | Tensor


class SignSGD:
    """Updates `table` in place: row *= 1 - lr * weight_decay; row -= lr * sign(sum of the row's gradients).

    Keeps no state.
    """

    def __init__(self, table: Tensor, *, lr: float, weight_decay: float) -> None:
        self.table, self.lr, self.weight_decay = table, lr, weight_decay

    def factors(self, lr: float) -> RowFactors:
        """Those of a step at this learning rate."""
        return RowFactors(1 - lr * self.weight_decay, lr)

    def step(self, identifiers: Int[Tensor, " rows"], gradients: Float[Tensor, "rows ndim"]) -> None:
        """One update at the optimizer's own learning rate."""
        self.apply(identifiers, gradients, self.factors(self.lr))

    @torch.no_grad()
    def apply(self, identifiers: Int[Tensor, " rows"], gradients: Float[Tensor, "rows ndim"], factors: RowFactors) -> None:
        """One update from the rows of all ranks; gradients of equal identifiers are summed first.

        Duplicates write the same value, so nothing waits for the device to count distinct identifiers.
        """
        identifiers = identifiers.long()
        place = torch.searchsorted(identifiers.sort().values, identifiers)  # equal identifiers share a place
        sums = torch.zeros_like(gradients).index_add_(0, place, gradients)
        rows = self.table.index_select(0, identifiers) * factors.keep
        rows.sub_(sums.index_select(0, place).sign_().to(rows.dtype).mul_(factors.lr))
        self.table.index_copy_(0, identifiers, rows)

"""Sign SGD on the rows of the puzzle embedding that a batch touches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class SignSGD:
    """Updates `table` in place: row *= 1 - lr * weight_decay; row -= lr * sign(sum of the row's gradients).

    Keeps no state; `lr` is set by the loop before each step.
    """

    def __init__(self, table: Tensor, *, lr: float, weight_decay: float) -> None:
        self.table, self.lr, self.weight_decay = table, lr, weight_decay

    @torch.no_grad()
    def step(self, identifiers: Int[Tensor, " rows"], gradients: Float[Tensor, "rows ndim"]) -> None:
        """One update from the rows of all ranks; gradients of equal identifiers are summed first.

        Duplicates write the same value, so nothing waits for the device to count distinct identifiers.
        """
        identifiers = identifiers.long()
        place = torch.searchsorted(identifiers.sort().values, identifiers)  # equal identifiers share a place
        sums = torch.zeros_like(gradients).index_add_(0, place, gradients)
        rows = self.table.index_select(0, identifiers) * (1 - self.lr * self.weight_decay)
        rows.sub_(sums.index_select(0, place).sign_().to(rows.dtype), alpha=self.lr)
        self.table.index_copy_(0, identifiers, rows)

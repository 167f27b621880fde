"""Sign SGD on the rows of the puzzle embedding that a batch touches."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trm.optim.optimizer import Group, Numbers

PUZZLE_EMBEDDING = "puzzle_embedding"
"""Name of the group of the table's rows."""


class SignSGD:
    """Updates `table` in place: row *= 1 - lr * weight_decay; row -= lr * sign(sum of the row's gradients).

    Keeps no state.
    """

    def __init__(self, table: Tensor, *, lr: float, weight_decay: float) -> None:
        self.table, self.weight_decay = table, weight_decay
        self.group = Group(PUZZLE_EMBEDDING, lr)

    def numbers(self, lr: float) -> dict[str, float]:
        """What an update at this learning rate takes besides gradients: `keep` is 1 - lr * weight_decay."""
        return {"keep": 1 - lr * self.weight_decay, "lr": lr}

    @torch.no_grad()
    def apply(self, identifiers: Int[Tensor, " rows"], gradients: Float[Tensor, "rows ndim"], numbers: Numbers) -> None:
        """One update from the rows of all ranks; gradients of equal identifiers are summed first.

        Duplicates write the same value, so nothing waits for the device to count distinct identifiers.
        """
        identifiers = identifiers.long()
        place = torch.searchsorted(identifiers.sort().values, identifiers)  # equal identifiers share a place
        sums = torch.zeros_like(gradients).index_add_(0, place, gradients)
        rows = self.table.index_select(0, identifiers) * numbers["keep"]
        rows.sub_(sums.index_select(0, place).sign_().to(rows.dtype).mul_(numbers["lr"]))
        self.table.index_copy_(0, identifiers, rows)

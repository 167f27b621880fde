"""The table of puzzle embeddings: a row a puzzle identifier, trained by sign SGD on the rows present only."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trm.config.networks import DataShape, ModelConfig


class PuzzleEmbedding(nn.Module):
    """`weight` (num_puzzle_identifiers, puzzle_emb_ndim), zero at the start and never tracked by autograd.

    The loop gathers `rows`, gives them to the network, and after the backward pass hands (identifiers, rows.grad) to
    `SignSGD`; so a gang exchanges a batch's rows, not the table.
    """

    weight: Tensor

    def __init__(self, config: ModelConfig, shape: DataShape, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(shape.num_puzzle_identifiers, config.puzzle_ndim, dtype=dtype))

    @torch.no_grad()
    def rows(self, identifiers: Int[Tensor, " batch"], *, requires_grad: bool = False) -> Float[Tensor, "batch ndim"]:
        """A fresh leaf tensor with the identifiers' rows; its `.grad` after the backward pass is what `SignSGD` takes."""
        return self.weight.index_select(0, identifiers).requires_grad_(requires_grad)

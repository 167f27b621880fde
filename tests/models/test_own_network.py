"""A network of a person's own, beside the checkout's: built, counted, trained, resumed like ours, as its contract asks."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import torch
from jaxtyping import Float, Int
from own_members import forgotten
from torch import Tensor
from torch.nn import functional

from trm.config.architectures import ImportedNetwork
from trm.config.networks import DataShape
from trm.config.unions import add_member
from trm.contracts.networks import CHECKS, check_published_names
from trm.errors import CheckpointError
from trm.models import initial
from trm.models.arithmetic import RowCost, TensorSizes
from trm.models.network import Latents, Network, Output
from trm.models.precision import weight_dtype


class CellNetwork(Network):
    """Every cell by itself: z = tanh(W (x + z)), read by linear heads."""

    def __init__(self, config: "CellConfig", shape: DataShape, dtype: torch.dtype, generator: torch.Generator) -> None:
        super().__init__()
        stored, width = weight_dtype(dtype), config.hidden_size
        self.config, self.shape, self.dtype, self.is_fused = config, shape, dtype, False
        self.token_embedding = initial.fan_in_weight(shape.vocab_size, width, stored, generator)
        self.mix = initial.fan_in_weight(width, width, stored, generator)
        self.answer_head = initial.fan_in_weight(shape.vocab_size, width, stored, generator)
        self.halting_head = initial.fan_in_weight(2, width, stored, generator)

    def initial_latents(self, batch_size: int) -> Latents:
        """Zeros."""
        size = (batch_size, self.shape.seq_len, self.config.hidden_size)
        return {"z": torch.zeros((), dtype=self.dtype, device=self.mix.device).expand(size)}

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """One supervision step."""
        x = functional.embedding(inputs, self.token_embedding.to(self.dtype))
        z = torch.tanh(functional.linear(x + latents["z"], self.mix.to(self.dtype)))
        pair = functional.linear(z[:, 0], self.halting_head.to(self.dtype)).to(torch.promote_types(self.dtype, torch.float32))
        return {"z": z.detach()}, Output(functional.linear(z, self.answer_head.to(self.dtype)), pair[:, 0], pair[:, 1])


class CellConfig(ImportedNetwork):
    """What a person writes in a module of their own."""

    architecture: Literal["cells"] = "cells"
    hidden_size: int = 32
    puzzle_emb_ndim: int | None = 0
    puzzle_emb_len: int = 0

    def build(self, shape: DataShape, *, dtype: torch.dtype, generator: torch.Generator | None) -> Network:
        return CellNetwork(self, shape, dtype, generator or torch.Generator().manual_seed(0))

    def tensor_sizes(self, shape: DataShape) -> TensorSizes:
        width = self.hidden_size
        table = (shape.vocab_size, width)
        return TensorSizes({"token_embedding": table, "mix": (width, width), "answer_head": table, "halting_head": (2, width)}, {})

    def row_cost(self, shape: DataShape) -> RowCost:
        cells, width = shape.seq_len, self.hidden_size
        forward = 2 * width * (cells * (width + shape.vocab_size) + 2)
        held = 4 * (3 * cells * width + cells * shape.vocab_size + width + 2)
        return RowCost(
            3.0 * forward, float(forward), carry_bytes=4 * (cells * width + 2 * cells) + 9, activation_bytes=held + 8 * cells
        )


CHECKED = [check for check in CHECKS if check is not check_published_names]


@pytest.fixture(autouse=True)
def known() -> Iterator[None]:
    """As `imports` makes it."""
    with forgotten():
        add_member(ImportedNetwork, CellConfig, __name__)
        yield


@pytest.mark.parametrize("check", CHECKED, ids=lambda check: check.__name__)
def test_it_keeps_the_contract_of_networks(check: Callable[[Any], None]) -> None:
    check(CellConfig())


def test_nobody_published_weights_of_it() -> None:
    with pytest.raises(CheckpointError, match="published checkpoints are of published networks, and cells is your own"):
        check_published_names(CellConfig())

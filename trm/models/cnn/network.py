"""Convolutions of 3 by 3 with relu, and a linear head per cell. One supervision step is all there is: nothing is carried."""

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trm.config.grid_networks import CnnConfig
from trm.config.networks import DataShape
from trm.models.cnn.arithmetic import REACH, channels_of, grid_width
from trm.models.grid_layers import Layer, tokens_as_channels
from trm.models.network import Draws, Latents, Network, Output, unhalted
from trm.models.precision import weight_dtype


class ConvolutionalNetwork(Network):
    """Cells as a grid, a token a channel; `widths` and `hidden_size` are the channels after each convolution.

    Puzzle tokens have no place in a grid: their sum is added to the last channels of every cell.
    """

    config: CnnConfig

    def __init__(self, config: CnnConfig, shape: DataShape, *, dtype: torch.dtype, generator: torch.Generator | None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config, self.shape, self.dtype, self.is_fused = config, shape, dtype, False
        self.grid_width, channels, stored = grid_width(config, shape), channels_of(config, shape), weight_dtype(dtype)
        self.convolutions = nn.ModuleList(
            Layer(after, before, REACH, REACH, dtype=stored, generator=generator) for before, after in itertools.pairwise(channels)
        )
        self.answer_head = Layer(shape.vocab_size, config.hidden_size, dtype=stored, generator=generator)

    def initial_latents(self, batch_size: int, draws: Draws | None = None) -> Latents:
        """None."""
        return {}

    def forward(
        self,
        latents: Latents,
        inputs: Int[Tensor, "batch cells"],
        puzzle_rows: Float[Tensor, "batch ndim"] | None,
        draws: Draws | None = None,
    ) -> tuple[Latents, Output]:
        """The answer, by one pass through all convolutions."""
        x = tokens_as_channels(inputs, self.shape.vocab_size, self.grid_width, self.dtype)
        for i, convolution in enumerate(self.convolutions, start=1):
            x = convolution(x)
            if puzzle_rows is not None and i == len(self.convolutions):
                x = x + self.puzzle_tokens(puzzle_rows).sum(1)[:, :, None, None]
            x = functional.relu(x)
        return {}, unhalted(self.answer_head(x.flatten(2).transpose(1, 2)))

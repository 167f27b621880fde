"""Layers of the networks that see a puzzle as a grid of cells."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trm.models import initial


class Layer(nn.Module):
    """A linear layer, or with a weight of four axes a convolution over the grid, whose output is as large as its input.

    The weight has the standard deviation 1 / sqrt(fan in), the bias is 0; both are cast to what they are applied to.
    """

    def __init__(self, *size: int, dtype: torch.dtype, generator: torch.Generator) -> None:
        super().__init__()
        drawn = initial.fan_in_weight(size[0], torch.Size(size[1:]).numel(), dtype, generator)
        self.weight = nn.Parameter(drawn.data.view(size))
        self.bias = nn.Parameter(torch.zeros(size[0], dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Channels are the last axis of what a linear layer takes, the second of what a convolution takes."""
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if weight.dim() == 2:
            return functional.linear(x, weight, bias)
        return functional.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def tokens_as_channels(
    inputs: Int[Tensor, "batch cells"], tokens: int, grid_width: int, dtype: torch.dtype
) -> Float[Tensor, "batch tokens rows columns"]:
    """The puzzle as a grid with a channel a token: 1 where it is."""
    channels = functional.one_hot(inputs.long(), tokens).to(dtype).transpose(1, 2)
    return channels.reshape(len(inputs), tokens, -1, grid_width)

"""Sizes and cost of the convolutional network, from its configuration alone (no torch)."""

from collections.abc import Sequence
from itertools import pairwise

from trm.config.grid_networks import CnnConfig
from trm.config.grids import width_of_rows
from trm.config.networks import DataShape
from trm.models.arithmetic import BACKWARD_FORWARDS, FLOAT_BYTES, RowCost, TensorSizes

REACH = 3
"""Cells that a convolution sees in each direction of the grid, itself in the middle."""


def convolution_sizes(channels: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of convolutions from the first of `channels` through all of them, by name."""
    sizes: dict[str, tuple[int, ...]] = {}
    for i, (before, after) in enumerate(pairwise(channels)):
        sizes |= {f"convolutions.{i}.weight": (after, before, REACH, REACH), f"convolutions.{i}.bias": (after,)}
    return sizes


def head_sizes(width: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every weight of the answer's head by name."""
    return {"answer_head.weight": (classes, width), "answer_head.bias": (classes,)}


def channels_of(config: CnnConfig, shape: DataShape) -> tuple[int, ...]:
    """Channels before, between and after the convolutions: a token is one of so many channels."""
    return (shape.vocab_size, *config.channels)


def grid_width(config: CnnConfig, shape: DataShape) -> int:
    """Cells in a row of the puzzle; ConfigError where it has no such rows."""
    return width_of_rows(config.grid_width, shape, of="the architecture cnn", instead="take another architecture")


def tensor_sizes(config: CnnConfig, shape: DataShape) -> TensorSizes:
    """Shape of every trained parameter; nothing else is saved."""
    grid_width(config, shape)  # refused before anything is built
    return TensorSizes(convolution_sizes(channels_of(config, shape)) | head_sizes(config.hidden_size, shape.vocab_size), {})


def row_cost(config: CnnConfig, shape: DataShape) -> RowCost:
    """What one row costs in one supervision step: every product once, and its gradients but for that of the tokens."""
    channels, cells = channels_of(config, shape), shape.seq_len
    products = [2.0 * cells * REACH**2 * before * after for before, after in pairwise(channels)]
    head = 2.0 * cells * config.hidden_size * shape.vocab_size
    forward, value = sum(products) + head, FLOAT_BYTES[config.forward_dtype]
    held = cells * (channels[0] + sum(channels[1:]) + config.hidden_size) * value
    return RowCost(
        train_flops=(1 + BACKWARD_FORWARDS) * forward - products[0],
        forward_flops=forward,
        carry_bytes=8 * cells + 9,
        activation_bytes=held + 4 * 8 * cells * shape.vocab_size + config.puzzle_len * config.hidden_size * 4,
        weight_gradient_flops=forward,
        head_learning_flops=head,
    )

"""The parts of a block: SwiGLU and rotary self-attention, each with its residual and norm (post-norm, no gain, no bias)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trm.models import cpu_layers
from trm.models.gates import ACTIVATIONS, Gate, rms_norm, short_convolution

SILU = Gate()


def residual_swiglu(
    x: Float[Tensor, "*shape"],
    gate_up: Float[Tensor, "two_inner width"],
    down: Float[Tensor, "width inner"],
    *,
    axis: Literal[0, -1],
    eps: float,
    gate: Gate = SILU,
) -> Float[Tensor, "*shape"]:
    """norm(x + swiglu(x)), mixing and normalising along `axis`, the first (0) or the last (-1).

    swiglu(x) = down(gate(gate(x), up(x))), as a rule silu(gate(x)) * up(x); both are one matrix, gate first.
    """
    if gate.is_default and _uses_cpu_layers(x):
        if axis == 0:
            return cpu_layers.residual_swiglu(x.flatten(1), gate_up, down, eps).view(x.shape)
        return cpu_layers.residual_swiglu(x.flatten(0, -2).t(), gate_up, down, eps).t().view(x.shape)
    if axis == 0:
        update = (down @ gate(*(gate_up @ x.flatten(1)).chunk(2), axis=axis)).view(x.shape)
    else:
        update = functional.linear(gate(*functional.linear(x, gate_up).chunk(2, dim=-1), axis=axis), down)
    return rms_norm(x + update, eps, dim=axis)


def residual_conv_swiglu(
    x: Float[Tensor, "*shape"],
    gate_up: Float[Tensor, "two_inner width"],
    down: Float[Tensor, "width inner"],
    kernel: Float[Tensor, "inner 1 reach"],
    bias: Float[Tensor, " inner"],
    *,
    positions: Literal[0, 1],
    eps: float,
    gate: Gate = SILU,
) -> Float[Tensor, "*shape"]:
    """norm(x + update), update = down(act(conv(act(gate(x)) * up(x)))), conv along `positions` (arXiv 2512.14693, ConvSwiGLU)."""
    hidden = gate(*functional.linear(x, gate_up).chunk(2, dim=-1), axis=-1)
    hidden = ACTIVATIONS[gate.activation](short_convolution(hidden, kernel, bias, positions=positions))
    return rms_norm(x + functional.linear(hidden, down), eps)


def residual_attention(
    x: Float[Tensor, "batch length width"],
    qkv: Float[Tensor, "three_attended width"],
    out: Float[Tensor, "width attended"],
    rotary: Float[Tensor, "length attended 2"] | None,
    *,
    num_heads: int,
    eps: float,
) -> Float[Tensor, "batch length width"]:
    """norm(x + attention(x)): full self-attention, nothing masked, queries and keys turned by `rotary_table` if given.

    With a table `qkv` must have gone through `pair_channels`. All heads together may be less wide than `x`.
    """
    batch, length, width = x.shape
    attended = out.shape[1]
    query_key, value = torch.split(functional.linear(x, qkv), [2 * attended, attended], dim=-1)
    if rotary is not None:
        query_key = rotate(query_key, rotary, 2 * num_heads)
    query, key = query_key.view(batch, length, 2, num_heads, -1).transpose(1, 3).unbind(2)  # (batch, heads, length, size)
    value = value.view(batch, length, num_heads, -1).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch * length, attended)
    if _uses_cpu_layers(x):
        return cpu_layers.residual_linear(x.view(-1, width).t(), mixed.t(), out, eps).t().view(x.shape)
    return rms_norm(x + functional.linear(mixed, out).view(x.shape), eps)


def rotary_table(length: int, head_size: int, num_heads: int, theta: float) -> Float[Tensor, "length attended 2"]:
    """Cosine and sine of position * theta^(-2 j / head_size) for channel pair j of every query head, then every key head."""
    angles = torch.outer(torch.arange(length, dtype=torch.float32), _frequencies(head_size, theta))
    return _cosines_and_sines(angles, num_heads)


def grid_rotary_table(
    puzzle_len: int, seq_len: int, grid_width: int, head_size: int, num_heads: int, theta: float
) -> Float[Tensor, "length attended 2"]:
    """Likewise for cells of a grid: the first half of the channel pairs turns by the row, the second by the column.

    Each half has the frequencies theta^(-4 j / head_size) of its own `head_size / 2` channels; puzzle tokens are not turned.
    """
    cells, inverse = torch.arange(seq_len), _frequencies(head_size // 2, theta)
    sides = [torch.outer(side.to(torch.float32), inverse) for side in (cells // grid_width, cells % grid_width)]
    angles = functional.pad(torch.cat(sides, dim=1), (0, 0, puzzle_len, 0))
    return _cosines_and_sines(angles, num_heads)


def _frequencies(channels: int, theta: float) -> Tensor:
    return 1.0 / theta ** (torch.arange(0, channels, 2, dtype=torch.float32) / channels)


def _cosines_and_sines(angles: Tensor, num_heads: int) -> Tensor:
    """Of (length, pairs of a head) angles, for every query head, then every key head."""
    angles = angles.repeat(1, 2 * num_heads)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def pair_channels(qkv: Float[Tensor, "three_attended width"], num_heads: int) -> Float[Tensor, "three_attended width"]:
    """`qkv` with the two channels that a rotary angle turns, j and j + head_size / 2, side by side in queries and keys.

    Scores do not change, and turning is one complex product over contiguous memory; compiled code keeps the two apart.
    """
    if torch.compiler.is_compiling():
        return qkv
    attended, width = qkv.shape[0] // 3, qkv.shape[1]
    halves = qkv[: 2 * attended].view(2 * num_heads, 2, -1, width)
    return torch.cat((halves.transpose(1, 2).reshape(2 * attended, width), qkv[2 * attended :]))


def rotate(
    query_key: Float[Tensor, "batch length two_attended"], table: Float[Tensor, "length attended 2"], heads: int
) -> Float[Tensor, "batch length two_attended"]:
    """Queries and keys, `heads` in all, turned by their position's angles; may overwrite them where no gradient is kept."""
    wide = query_key.to(torch.promote_types(query_key.dtype, torch.float32))
    if torch.compiler.is_compiling():
        first, second = wide.view(*wide.shape[:2], heads, 2, -1).unbind(3)
        cos, sin = table[:, None, : first.shape[-1]].unbind(-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
        return turned.flatten(2).to(query_key.dtype)
    pairs, angles = torch.view_as_complex(wide.view(*wide.shape[:2], -1, 2)), torch.view_as_complex(table)
    product = pairs * angles if torch.is_grad_enabled() else pairs.mul_(angles)
    return torch.view_as_real(product).flatten(2).to(query_key.dtype)


def _uses_cpu_layers(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype != torch.bfloat16 and not torch.compiler.is_compiling()

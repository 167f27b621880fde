"""The parts of a block: SwiGLU and rotary self-attention, each with its residual and norm (post-norm, no gain, no bias)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trm.models import cpu_layers


def residual_swiglu(
    x: Float[Tensor, "*shape"],
    gate_up: Float[Tensor, "two_inner width"],
    down: Float[Tensor, "width inner"],
    *,
    axis: int,
    eps: float,
) -> Float[Tensor, "*shape"]:
    """norm(x + swiglu(x)), mixing and normalising along `axis`, the first (0) or the last (-1).

    swiglu(x) = down(silu(gate(x)) * up(x)); gate and up are one matrix, gate first.
    """
    if _uses_cpu_layers(x):
        if axis == 0:
            return cpu_layers.residual_swiglu(x.flatten(1), gate_up, down, eps).view(x.shape)
        return cpu_layers.residual_swiglu(x.flatten(0, -2).t(), gate_up, down, eps).t().view(x.shape)
    if axis == 0:
        gate, up = (gate_up @ x.flatten(1)).chunk(2)
        update = (down @ (functional.silu(gate) * up)).view(x.shape)
    else:
        gate, up = functional.linear(x, gate_up).chunk(2, dim=-1)
        update = functional.linear(functional.silu(gate) * up, down)
    return rms_norm(x + update, eps, dim=axis)


def residual_attention(
    x: Float[Tensor, "batch length width"],
    qkv: Float[Tensor, "three_width width"],
    out: Float[Tensor, "width width"],
    rotary: Float[Tensor, "length width 2"] | None,
    *,
    num_heads: int,
    eps: float,
) -> Float[Tensor, "batch length width"]:
    """norm(x + attention(x)): full self-attention, nothing masked, queries and keys turned by `rotary_table` if given.

    With a table `qkv` must have gone through `pair_channels`.
    """
    batch, length, width = x.shape
    query_key, value = torch.split(functional.linear(x, qkv), [2 * width, width], dim=-1)
    if rotary is not None:
        query_key = rotate(query_key, rotary, 2 * num_heads)
    query, key = query_key.view(batch, length, 2, num_heads, -1).transpose(1, 3).unbind(2)  # (batch, heads, length, size)
    value = value.view(batch, length, num_heads, -1).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch * length, width)
    if _uses_cpu_layers(x):
        return cpu_layers.residual_linear(x.view(-1, width).t(), mixed.t(), out, eps).t().view(x.shape)
    return rms_norm(x + functional.linear(mixed, out).view(x.shape), eps)


def rms_norm(x: Float[Tensor, "*shape"], eps: float, dim: int = -1) -> Float[Tensor, "*shape"]:
    """`x` over its root mean square along `dim`, without gain, computed in float32 (float64 for float64)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(dim, keepdim=True) + eps)).to(x.dtype)


def rotary_table(length: int, head_size: int, num_heads: int, theta: float) -> Float[Tensor, "length width 2"]:
    """Cosine and sine of position * theta^(-2 j / head_size) for channel pair j of every query head, then every key head."""
    inverse = 1.0 / theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse).repeat(1, 2 * num_heads)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def pair_channels(qkv: Float[Tensor, "three_width width"], num_heads: int) -> Float[Tensor, "three_width width"]:
    """`qkv` with the two channels that a rotary angle turns, j and j + head_size / 2, side by side in queries and keys.

    Scores do not change, and turning is one complex product over contiguous memory; compiled code keeps the two apart.
    """
    if torch.compiler.is_compiling():
        return qkv
    width = qkv.shape[1]
    halves = qkv[: 2 * width].view(2 * num_heads, 2, -1, width)
    return torch.cat((halves.transpose(1, 2).reshape(2 * width, width), qkv[2 * width :]))


def rotate(
    query_key: Float[Tensor, "batch length two_width"], table: Float[Tensor, "length width 2"], heads: int
) -> Float[Tensor, "batch length two_width"]:
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

"""The parts of a block: norm, SwiGLU, rotary self-attention. Pure functions of activations and weights."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def rms_norm(x: Float[Tensor, "*batch width"], eps: float) -> Float[Tensor, "*batch width"]:
    """`x` over the root mean square of its last axis, without gain, computed in float32 (float64 for float64)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def swiglu(
    x: Float[Tensor, "*batch width"], gate_up: Float[Tensor, "two_inner width"], down: Float[Tensor, "width inner"]
) -> Float[Tensor, "*batch width"]:
    """down(silu(gate(x)) * up(x)); gate and up are one matrix, gate first."""
    gate, up = functional.linear(x, gate_up).chunk(2, dim=-1)
    return functional.linear(functional.silu(gate) * up, down)


def rotary_tables(length: int, head_size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (length, 1, head_size / 2) float32 each, of position * theta^(-2i / head_size)."""
    inverse = 1.0 / theta ** (torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), inverse)[:, None]
    return angles.cos(), angles.sin()


def rotate(
    x: Float[Tensor, "batch length heads size"], cos: Float[Tensor, "length 1 half"], sin: Float[Tensor, "length 1 half"]
) -> Float[Tensor, "batch length heads size"]:
    """`x` turned by its position's angles; channel i pairs with channel i + size / 2 (rotate-half form)."""
    first, second = x.to(cos.dtype).chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)


def self_attention(
    x: Float[Tensor, "batch length width"],
    qkv: Float[Tensor, "three_width width"],
    out: Float[Tensor, "width width"],
    num_heads: int,
    rotary: tuple[Tensor, Tensor] | None,
) -> Float[Tensor, "batch length width"]:
    """Full self-attention (nothing is masked), queries and keys turned by `rotary` tables if there are any."""
    batch, length, width = x.shape
    heads = functional.linear(x, qkv).view(batch, length, 3 * num_heads, width // num_heads)
    query_key, value = heads[:, :, : 2 * num_heads], heads[:, :, 2 * num_heads :]
    if rotary is not None:
        query_key = rotate(query_key, *rotary)
    query, key = query_key.chunk(2, dim=2)
    mixed = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return functional.linear(mixed.transpose(1, 2).reshape(batch, length, width), out)

"""Backward passes written by hand, for the CPU in eager mode, where passes over memory cost as much as products.

Each is checked against the plain form in `layers` by gradcheck. Matrices hold a token a column, (width, tokens), with any
strides: rows of channels come as a transposed view, and results keep the strides. A SwiGLU goes through its tokens a slice
at a time, so that its wide middle stays in the processor's cache and only one array of it is kept for the backward pass.
Sums go through `addmm(out=)`, not `addmm_`, because torch's FLOP counter knows only the former.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

SLICE_BYTES = 3 << 19
"""Size of a slice's widest array for one thread: about a core's second-level cache."""
ROOM = 16
"""Unused columns at the end of a wide array (see `_roomy`)."""
SLICE_TOKENS = 256
"""Fewest tokens in a slice: below, products slow down."""
SLICE_WIDTHS = 2
"""Fewest tokens in a slice, in widths: every slice reads the weights again."""


def residual_swiglu(x: Tensor, gate_up: Tensor, down: Tensor, eps: float) -> Tensor:
    """norm(x + down @ (silu(gate @ x) * (up @ x))) over the columns of `x` (width, tokens)."""
    if torch.is_grad_enabled():
        result: Tensor = _ResidualSwiGLU.apply(x, gate_up, down, eps)  # type: ignore[no-untyped-call]
        return result
    total, count = torch.empty_like(x), slice_count(x, gate_up)
    widest = _roomy(gate_up.shape[0], -(-x.shape[1] // count), x)
    for part, out in zip(x.chunk(count, 1), total.chunk(count, 1), strict=True):
        gate, up = torch.mm(gate_up, part, out=widest[:, : part.shape[1]]).chunk(2)
        torch.addmm(part, down, functional.silu(gate, inplace=True).mul_(up), out=out)
    return _normalise(total, eps)[0]


def slice_count(x: Tensor, gate_up: Tensor) -> int:
    """Slices that a SwiGLU cuts the tokens of `x` into."""
    fitting = SLICE_BYTES * torch.get_num_threads() // (gate_up.shape[0] * x.element_size())
    return -(-x.shape[1] // max(SLICE_TOKENS, SLICE_WIDTHS * x.shape[0], fitting))


def residual_linear(x: Tensor, mixed: Tensor, weight: Tensor, eps: float) -> Tensor:
    """norm(x + weight @ mixed) over the columns of `x` (width, tokens)."""
    if torch.is_grad_enabled():
        result: Tensor = _ResidualLinear.apply(x, mixed, weight, eps)  # type: ignore[no-untyped-call]
        return result
    return _normalise(_residual_product(x, weight, mixed), eps)[0]


class _ResidualSwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate_up: Tensor, down: Tensor, eps: float) -> Tensor:
        total, count = torch.empty_like(x), slice_count(x, gate_up)
        pres, hidden = [], _roomy(down.shape[1], -(-x.shape[1] // count), x)
        for part, out in zip(x.chunk(count, 1), total.chunk(count, 1), strict=True):
            pre = torch.mm(gate_up, part, out=_roomy(gate_up.shape[0], part.shape[1], x))
            (gate, up), h = pre.chunk(2), hidden[:, : part.shape[1]]
            torch.ops.aten.silu.out(gate, out=h)
            torch.addmm(part, down, h.mul_(up), out=out)
            pres.append(pre)
        y, scale = _normalise(total, eps)
        ctx.save_for_backward(x, gate_up, down, y, scale, *pres)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gate_up, down, y, scale, *pres = ctx.saved_tensors
        d_x = _unnormalise(d_y, y, scale)
        is_by_rows = x.stride(0) == 1
        d_down, d_gate_up = torch.zeros_like(down), torch.zeros_like(gate_up if is_by_rows else gate_up.t())
        d_widest, hidden = (_roomy(rows, pres[0].shape[1], x) for rows in (gate_up.shape[0], down.shape[1]))
        for part, d_part, pre in zip(x.chunk(len(pres), 1), d_x.chunk(len(pres), 1), pres, strict=True):
            (gate, up), d_pre, h = pre.chunk(2), d_widest[:, : part.shape[1]], hidden[:, : part.shape[1]]
            d_gate, d_up = d_pre.chunk(2)
            torch.mm(down.t(), d_part, out=d_gate)  # for now what arrives at gate * up
            torch.ops.aten.silu.out(gate, out=h)
            torch.mul(d_gate, h, out=d_up)
            torch.addmm(d_down, d_part, h.mul_(up).t(), out=d_down)
            torch.ops.aten.silu_backward.grad_input(d_gate.mul_(up), gate, grad_input=d_gate)
            left, right = (d_pre, part.t()) if is_by_rows else (part, d_pre.t())  # the faster of two orders
            torch.addmm(d_gate_up, left, right, out=d_gate_up)
            torch.addmm(d_part, gate_up.t(), d_pre, out=d_part)
        return d_x, d_gate_up if is_by_rows else d_gate_up.t(), d_down, None


class _ResidualLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mixed: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, scale = _normalise(_residual_product(x, weight, mixed), eps)
        ctx.save_for_backward(mixed, weight, y, scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        mixed, weight, y, scale = ctx.saved_tensors
        d_sum = _unnormalise(d_y, y, scale)
        d_mixed = torch.mm(weight.t(), d_sum, out=torch.empty_like(mixed))
        return d_sum, d_mixed, d_sum @ mixed.t(), None


def _residual_product(x: Tensor, weight: Tensor, hidden: Tensor) -> Tensor:
    """x + weight @ hidden, with the strides of `x`."""
    return torch.addmm(x, weight, hidden, out=torch.empty_like(x))


def _roomy(rows: int, columns: int, like: Tensor) -> Tensor:
    """An empty (rows, columns) matrix whose rows do not start a power of two apart.

    Those that do fall on the same lines of the cache, which costs a quarter of the speed of a product.
    """
    return like.new_empty(rows, columns + ROOM)[:, :columns]


def _normalise(total: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """`total` over the root mean square of each column, in place, and the factors (1, tokens)."""
    scale = total.square().mean(0, keepdim=True).add_(eps).rsqrt_()
    return total.mul_(scale), scale


def _unnormalise(d_y: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Gradient before the norm from that after it: scale * (d_y - y * mean(d_y * y))."""
    along = (d_y * y).mean(0, keepdim=True)
    return torch.addcmul(d_y, y, along, value=-1).mul_(scale)

"""What a SwiGLU computes between its two products: an activation of the gate, and how gate and values meet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trm.config.blocks import Activation

ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "relu2": lambda x: functional.relu(x).square(),
}
"""Activations of a gate by name: gelu is the one by a hyperbolic tangent (arXiv 1606.08415), relu2 the square of relu."""


@dataclass(frozen=True)
class Gate:
    """How a SwiGLU's gate and values become its hidden channels."""

    activation: Activation = "silu"
    eps: float | None = None
    """Of the norm of a normed SwiGLU, which keeps magnitudes out of what Muon updates (jvdillon/sic); None: nothing is normed."""

    @property
    def is_default(self) -> bool:
        """Whether it is the published one, which has a backward pass written by hand."""
        return self == Gate()

    def __call__(
        self, gate: Float[Tensor, "*shape"], up: Float[Tensor, "*shape"], *, axis: Literal[0, -1]
    ) -> Float[Tensor, "*shape"]:
        """activation(gate) * up; normed: sigmoid(gate) * norm(gate * up), the norm over the hidden channels along `axis`."""
        if self.eps is None:
            return ACTIVATIONS[self.activation](gate) * up
        return torch.sigmoid(gate) * rms_norm(gate * up, self.eps, dim=axis)


def rms_norm(x: Float[Tensor, "*shape"], eps: float, dim: int = -1) -> Float[Tensor, "*shape"]:
    """`x` over its root mean square along `dim`, without gain, computed in float32 (float64 for float64)."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(dim, keepdim=True) + eps)).to(x.dtype)


def short_convolution(
    hidden: Float[Tensor, "*shape"],
    kernel: Float[Tensor, "inner 1 reach"],
    bias: Float[Tensor, " inner"],
    *,
    positions: Literal[0, 1],
) -> Float[Tensor, "*shape"]:
    """Each channel convolved along `positions` by a short kernel of its own, zeros beyond both ends (arXiv 2512.14693, URM).

    The kernel reaches width // 2 positions back, and as far forward as is left of it: 2 sees a position and the one before.
    """
    length, width = hidden.shape[positions], kernel.shape[-1]
    before = width // 2
    sides = (0, 0, before, width - 1 - before) if positions == 1 else (0, 0, 0, 0, before, width - 1 - before)
    padded, total = functional.pad(hidden, sides), bias
    for offset in range(width):
        total = torch.addcmul(total, padded.narrow(positions, offset, length), kernel[:, 0, offset])
    return total

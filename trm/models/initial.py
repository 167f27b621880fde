"""Initial weights: truncated normal, corrected so that the standard deviation is what was asked for."""

import math

import torch
from torch import Tensor

TRUNCATION = 2.0
"""Draws lie within so many standard deviations of the normal that is truncated."""


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """`tensor` filled with a normal cut at 2 sigma whose standard deviation, after the cut, is `std`.

    Drawn in float32 on the CPU whatever the tensor's type, so that a seed means one network in every type.
    """
    tail = math.erf(TRUNCATION / math.sqrt(2))
    density = math.exp(-0.5 * TRUNCATION**2) / math.sqrt(2 * math.pi)
    scale = std / math.sqrt(1 - 2 * TRUNCATION * density / tail)
    draws = torch.empty(tensor.shape, dtype=torch.float32).uniform_(-tail, tail, generator=generator)
    draws.erfinv_().mul_(math.sqrt(2) * scale).clamp_(-TRUNCATION * scale, TRUNCATION * scale)
    with torch.no_grad():
        return tensor.copy_(draws)


def fan_in_weight(rows: int, fan_in: int, dtype: torch.dtype, generator: torch.Generator) -> torch.nn.Parameter:
    """A (rows, fan_in) weight with standard deviation 1/sqrt(fan_in)."""
    return torch.nn.Parameter(truncated_normal_(torch.empty(rows, fan_in, dtype=dtype), fan_in**-0.5, generator))

"""Muon: momentum whose matrices are orthogonalized (Jordan et al., 2024), all matrices of one shape at once.

The rule is that of `torch.optim.Muon`, which torch has since 2.9, whose step asks for the learning rate's value, so that no CUDA
graph can hold it, and which multiplies in bfloat16 on every device.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trm.config.optimizers import MuonConfig
from trm.optim.groups import ParameterGroup
from trm.optim.one_moment import OneMoment

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial a s + b s^3 + c s^5 that an iteration applies to singular values: steepest at 0, then around 1."""
SMALLEST_NORM = 1e-7


class Muon(OneMoment):
    """m = momentum * m + (1 - momentum) * g; update = scale * orthogonalized(m, or g and m mixed with `nesterov`)."""

    def __init__(self, config: MuonConfig, groups: Sequence[ParameterGroup]) -> None:
        super().__init__(groups)
        self.config = config

    def updates(self, buffers: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """Nearly orthogonal matrices, scaled by their shapes."""
        momentum, updates = self.config.momentum, list(buffers)
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        mixed = list(torch._foreach_lerp(gradients, buffers, momentum)) if self.config.nesterov else buffers
        shapes: dict[tuple[int, ...], list[int]] = {}
        for place, matrix in enumerate(mixed):
            shapes.setdefault(tuple(matrix.shape), []).append(place)
        for (rows, columns), places in shapes.items():
            stack = orthogonalized(torch.stack([mixed[place] for place in places]), self.config.ns_steps)
            stack = stack * scale_of(rows, columns, self.config)
            for place, matrix in zip(places, stack.unbind(), strict=True):
                updates[place] = matrix
        return updates


def scale_of(rows: int, columns: int, config: MuonConfig) -> float:
    """What a matrix's shape multiplies its step by."""
    if config.lr_adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns))


def orthogonalized(matrices: Float[Tensor, "matrices rows columns"], steps: int) -> Float[Tensor, "matrices rows columns"]:
    """The matrices with singular values pushed to around 1 by `steps` Newton-Schulz iterations; a matrix of zeros stays one.

    Products are bfloat16 on CUDA, as published, and in the matrices' own type elsewhere.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    if matrices.is_cuda and matrices.dtype == torch.float32:
        x = x.bfloat16()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=SMALLEST_NORM)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)

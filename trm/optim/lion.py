"""Lion: the sign of a moving average of gradients (arXiv 2302.06675, program 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trm.config.optimizers import LionConfig
from trm.optim.groups import ParameterGroup
from trm.optim.one_moment import OneMoment


class Lion(OneMoment):
    """update = sign(b1 * m + (1 - b1) * g); m = b2 * m + (1 - b2) * g."""

    def __init__(self, config: LionConfig, groups: Sequence[ParameterGroup]) -> None:
        super().__init__(groups)
        self.betas = config.beta1, config.beta2

    def updates(self, buffers: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """Signs."""
        updates = list(torch._foreach_lerp(gradients, buffers, self.betas[0]))
        torch._foreach_sign_(updates)
        torch._foreach_lerp_(buffers, gradients, 1 - self.betas[1])
        return updates

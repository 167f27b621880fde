"""Stochastic gradient descent with momentum, by torch's rule but for its weight decay, which is decoupled."""

from collections.abc import Sequence

import torch
from torch import Tensor

from trm.config.optimizers import SGDConfig
from trm.optim.groups import ParameterGroup
from trm.optim.one_moment import OneMoment


class SGD(OneMoment):
    """v = momentum * v + g; update = g + momentum * v with `nesterov`, else v. Without momentum no velocity is kept."""

    def __init__(self, config: SGDConfig, groups: Sequence[ParameterGroup]) -> None:
        super().__init__(groups, keeps_average=config.momentum > 0)
        self.momentum, self.nesterov = config.momentum, config.nesterov

    def updates(self, buffers: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """Velocities, or gradients and what of the velocity comes next."""
        if not self.momentum:
            return [gradient.clone() for gradient in gradients]
        torch._foreach_mul_(buffers, self.momentum)
        torch._foreach_add_(buffers, gradients)
        if self.nesterov:
            return list(torch._foreach_add(gradients, buffers, alpha=self.momentum))
        return [buffer.clone() for buffer in buffers]

"""NAdam and RAdam by torch, with decoupled weight decay; on CUDA their steps can be recorded."""

from collections.abc import Sequence

import torch

from trm.config.optimizers import NAdamConfig, RAdamConfig
from trm.optim.groups import ParameterGroup, for_torch, named
from trm.optim.optimizer import TorchOptimizer


def nadam(config: NAdamConfig, groups: Sequence[ParameterGroup]) -> TorchOptimizer:
    """Adam with Nesterov's momentum."""
    return _driven(
        torch.optim.NAdam(
            for_torch(groups),
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            momentum_decay=config.momentum_decay,
            decoupled_weight_decay=True,
            capturable=_is_recorded(groups),
        ),
        groups,
    )


def radam(config: RAdamConfig, groups: Sequence[ParameterGroup]) -> TorchOptimizer:
    """Adam whose first steps wait for its second moment."""
    return _driven(
        torch.optim.RAdam(
            for_torch(groups),
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            decoupled_weight_decay=True,
            capturable=_is_recorded(groups),
        ),
        groups,
    )


def _is_recorded(groups: Sequence[ParameterGroup]) -> bool:
    return next(iter(groups[0].parameters.values())).is_cuda


def _driven(optimizer: torch.optim.Optimizer, groups: Sequence[ParameterGroup]) -> TorchOptimizer:
    """With learning rates that are tensors where a recording reads them anew."""
    made = TorchOptimizer(optimizer, *named(groups))
    if _is_recorded(groups):
        device = next(iter(groups[0].parameters.values())).device
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=device)
    return made

"""AdamW (arXiv 1711.05101) by torch: one fused kernel on CPUs and on CUDA, whose step a CUDA graph can hold."""

from collections.abc import Sequence

import torch

from trm.config.optimizers import AdamWConfig
from trm.optim.groups import ParameterGroup, for_torch, named
from trm.optim.optimizer import TorchOptimizer

FUSED_DEVICES = ("cpu", "cuda")
"""Where torch has a fused kernel for every version that we take; elsewhere it goes parameter by parameter."""


def adamw(config: AdamWConfig, groups: Sequence[ParameterGroup]) -> TorchOptimizer:
    """The optimizer that `config` describes, of parameters in `groups`.

    On CUDA learning rates are tensors and steps are counted on the device, so that a recorded step reads both anew.
    """
    device = next(iter(groups[0].parameters.values())).device
    is_recorded = device.type == "cuda"
    optimizer = torch.optim.AdamW(
        for_torch(groups),
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type in FUSED_DEVICES,
        capturable=is_recorded,
    )
    made = TorchOptimizer(optimizer, *named(groups))
    if is_recorded:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=device)
    return made

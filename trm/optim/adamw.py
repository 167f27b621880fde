"""AdamW (arXiv 1711.05101) by torch: one fused kernel on CPUs and on CUDA, whose step a CUDA graph can hold."""

from collections.abc import Mapping

import torch
from torch import nn

from trm.config.optimizers import AdamWConfig
from trm.optim.optimizer import TorchOptimizer

FUSED_DEVICES = ("cpu", "cuda")
"""Where torch has a fused kernel for every version that we take; elsewhere it goes parameter by parameter."""


def adamw(config: AdamWConfig, parameters: Mapping[str, nn.Parameter]) -> TorchOptimizer:
    """The optimizer that `config` describes, of all `parameters` in one group.

    On CUDA the learning rate is a tensor and steps are counted on the device, so that a recorded step reads both anew.
    """
    device = next(iter(parameters.values())).device
    is_recorded = device.type == "cuda"
    optimizer = torch.optim.AdamW(
        list(parameters.values()),
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=device.type in FUSED_DEVICES,
        capturable=is_recorded,
    )
    made = TorchOptimizer(optimizer, parameters)
    if is_recorded:
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(config.lr, device=device)
    return made

"""The learning-rate schedule: linear warm-up, then a cosine down to a floor, a constant, or a constant and a line to zero."""

import math

from trm.config.optimizers import OptimConfig


def lr_factor(step: int, optim: OptimConfig, total_steps: int) -> float:
    """Share of its peak learning rate that every group uses at step `step` (from 1) of `total_steps`."""
    assert step >= 1, f"steps count from 1, not {step}"
    if step < optim.lr_warmup_steps:
        return step / optim.lr_warmup_steps
    if optim.schedule == "constant":
        return 1.0
    if optim.schedule == "linear":
        falls_from = max(optim.lr_warmup_steps, total_steps * (1 - optim.lr_decay_share))
        return 1 - min(max(step - falls_from, 0) / max(1, total_steps - falls_from), 1.0)
    progress = (step - optim.lr_warmup_steps) / max(1, total_steps - optim.lr_warmup_steps)
    return optim.lr_min_ratio + (1 - optim.lr_min_ratio) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

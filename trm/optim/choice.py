"""Which optimizer a configuration means."""

from collections.abc import Mapping
from typing import assert_never

import torch
from torch import Tensor, nn

from trm.config.imports import require_made
from trm.config.optimizers import AdamATan2Config, AdamWConfig, AnyOptimizer, ImportedOptimizer
from trm.optim.adam_atan2 import ByFactors
from trm.optim.adamw import adamw
from trm.optim.optimizer import Optimizer, TorchOptimizer
from trm.optim.sign_sgd import SignSGD


def build_optimizer(config: AnyOptimizer, parameters: Mapping[str, nn.Parameter], *, uses_kernels: bool) -> Optimizer:
    """The optimizer of the named parameters of a network; `uses_kernels`: by `trm.kernels` where it has its update."""
    match config:
        case AdamATan2Config():
            return ByFactors(config, parameters, is_fused=uses_kernels)
        case AdamWConfig():
            return adamw(config, parameters)
        case ImportedOptimizer():
            return TorchOptimizer(require_made(config, "build", config.build(parameters), torch.optim.Optimizer), parameters)
        case _ as never:
            assert_never(never)


def build_row_optimizer(config: AnyOptimizer, table: Tensor) -> SignSGD:
    """The optimizer of the puzzle embedding's rows."""
    return SignSGD(table, lr=config.puzzle_emb_lr, weight_decay=config.puzzle_emb_weight_decay)

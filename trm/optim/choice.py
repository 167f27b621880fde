"""Which optimizer a configuration means."""

from collections.abc import Mapping
from typing import assert_never

import torch
from torch import Tensor, nn

from trm.config.imports import require_made
from trm.config.optimizers import (
    AdamATan2Config,
    AdamWConfig,
    AnyOptimizer,
    ImportedOptimizer,
    LionConfig,
    MuonConfig,
    NAdamConfig,
    RAdamConfig,
    SGDConfig,
)
from trm.errors import ConfigError
from trm.optim.adam_atan2 import ByFactors
from trm.optim.adam_kinds import nadam, radam
from trm.optim.adamw import adamw
from trm.optim.groups import grouped
from trm.optim.joined import Joined
from trm.optim.lion import Lion
from trm.optim.muon import Muon
from trm.optim.optimizer import Optimizer, TorchOptimizer
from trm.optim.sgd import SGD
from trm.optim.sign_sgd import SignSGD


def build_optimizer(config: AnyOptimizer, parameters: Mapping[str, nn.Parameter], *, uses_kernels: bool) -> Optimizer:
    """The optimizer of the named parameters of a network; `uses_kernels`: by `trm.kernels` where it has its update.

    Raises ConfigError for one that cannot update a network of these parameters.
    """
    if not parameters:
        return Joined(())
    match config:
        case AdamATan2Config():
            return ByFactors(config, grouped(config, parameters), is_fused=uses_kernels)
        case AdamWConfig():
            return adamw(config, grouped(config, parameters))
        case LionConfig():
            return Lion(config, grouped(config, parameters))
        case NAdamConfig():
            return nadam(config, grouped(config, parameters))
        case RAdamConfig():
            return radam(config, grouped(config, parameters))
        case SGDConfig():
            return SGD(config, grouped(config, parameters))
        case MuonConfig():
            return _muon_and_rest(config, parameters, uses_kernels=uses_kernels)
        case ImportedOptimizer():
            return TorchOptimizer(require_made(config, "build", config.build(parameters), torch.optim.Optimizer), parameters)
        case _ as never:
            assert_never(never)


def _muon_and_rest(config: MuonConfig, parameters: Mapping[str, nn.Parameter], *, uses_kernels: bool) -> Optimizer:
    matrices = {name: value for name, value in parameters.items() if config.is_orthogonalized(name, tuple(value.shape))}
    others = {name: value for name, value in parameters.items() if name not in matrices}
    if not matrices:
        raise ConfigError(
            f"muon updates matrices of a network's blocks, and none of the {len(others)} trained parameters is one",
            remedy=f"set optim.type: {config.rest}",
        )
    made: list[Optimizer] = [Muon(config, grouped(config, matrices))]
    if groups := grouped(config, others, prefix="rest ") if others else []:
        rest = config.rest_config
        made.append(adamw(rest, groups) if isinstance(rest, AdamWConfig) else ByFactors(rest, groups, is_fused=uses_kernels))
    return Joined(made)


def build_row_optimizer(config: AnyOptimizer, table: Tensor) -> SignSGD:
    """The optimizer of the puzzle embedding's rows."""
    return SignSGD(table, lr=config.puzzle_emb_lr, weight_decay=config.puzzle_emb_weight_decay)

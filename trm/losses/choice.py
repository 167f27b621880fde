"""Which loss a configuration means."""

from typing import assert_never

import torch

from trm.config.imports import require_made
from trm.config.losses import ImportedLoss, SoftmaxLoss, StablemaxLoss
from trm.config.run import RunConfig
from trm.losses.loss import Loss
from trm.losses.softmax import softmax_cross_entropy
from trm.losses.stablemax import stablemax_cross_entropy
from trm.losses.supervision import Supervision


def build_loss(config: RunConfig, device: torch.device) -> Loss:
    """The loss of a run, or of the scoring of its answers, on `device`."""
    match config.training.loss:
        case StablemaxLoss():
            return Supervision(config, stablemax_cross_entropy, device)
        case SoftmaxLoss():
            return Supervision(config, softmax_cross_entropy, device)
        case ImportedLoss() as imported:
            return require_made(imported, "build", imported.build(config, device), Loss)
        case _ as never:
            assert_never(never)

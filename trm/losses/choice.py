"""Which loss a configuration means."""

from functools import partial
from typing import assert_never

import torch

from trm.config.imports import require_made
from trm.config.losses import ImportedLoss, SoftmaxLoss, StablemaxLoss
from trm.config.run import RunConfig
from trm.losses.loss import Loss
from trm.losses.softmax import softmax_cross_entropy
from trm.losses.stablemax import stablemax_cross_entropy
from trm.losses.supervision import CrossEntropies, Supervision


def build_loss(config: RunConfig, device: torch.device) -> Loss:
    """The loss of a run, or of the scoring of its answers, on `device`."""
    match config.training.loss:
        case StablemaxLoss() as loss:
            trained = partial(stablemax_cross_entropy, smoothing=loss.label_smoothing)
            return Supervision(config, loss, CrossEntropies(stablemax_cross_entropy, trained), device)
        case SoftmaxLoss() as loss:
            trained = partial(softmax_cross_entropy, smoothing=loss.label_smoothing)
            return Supervision(config, loss, CrossEntropies(softmax_cross_entropy, trained), device)
        case ImportedLoss() as imported:
            return require_made(imported, "build", imported.build(config, device), Loss)
        case _ as never:
            assert_never(never)

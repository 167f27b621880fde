"""Optimizers, the learning-rate schedule and the weight average."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from trm.config.base import Written
from trm.config.unions import Imported, Tagged

if TYPE_CHECKING:
    import torch


class OptimConfig(Written):
    """What every optimizer has: the learning-rate schedule, the puzzle embedding's optimizer, the weight average."""

    type: str
    """Which optimizer updates the backbone."""
    lr: float = Field(1e-4, gt=0, le=10)
    """Peak learning rate of the backbone."""
    lr_min_ratio: float = Field(1.0, ge=0, le=1)
    """Cosine floor as a share of `lr`; 1 keeps it constant after warm-up."""
    lr_warmup_steps: int = Field(2000, ge=0)
    """Linear warm-up; step i uses lr * i / warm-up, i from 1."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of the backbone, biases and embeddings included."""
    puzzle_emb_lr: float = Field(1e-2, ge=0, le=10)
    """Peak learning rate of the puzzle embedding (sign SGD)."""
    puzzle_emb_weight_decay: float = Field(0.1, ge=0)
    """Weight decay of the rows of the puzzle embedding that a batch touches."""
    grad_clip: float | None = Field(None, gt=0)
    """Largest L2 norm of the backbone's gradient; null: no clipping."""
    ema: bool = True
    """Evaluate and export the exponential moving average of the weights."""
    ema_rate: float = Field(0.999, ge=0, lt=1)
    """Rate of the average."""
    ema_warmup: bool = False
    """Use min(ema_rate, (1 + step) / (10 + step)), so that a short run's average is not its start; sweeps set it."""


class AdamATan2Config(OptimConfig):
    """Adam whose quotient is taken by an arctangent: no epsilon, and no step depends on the loss's scale (arXiv 2407.05872)."""

    type: Literal["adam_atan2"] = "adam_atan2"
    """Which optimizer updates the backbone."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""


class AdamWConfig(OptimConfig):
    """Adam with decoupled weight decay (arXiv 1711.05101), by torch's own kernels."""

    type: Literal["adamw"] = "adamw"
    """Which optimizer updates the backbone."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""
    eps: float = Field(1e-8, gt=0, lt=1)
    """Added to the root of the second moment."""


class ImportedOptimizer(OptimConfig, Imported):
    """Base of optimizers in a person's own module: fields with bounds, `type` a literal, and `build`."""

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The optimizers that need no import."""
        return AdamATan2Config, AdamWConfig

    def build(self, parameters: "Mapping[str, torch.nn.Parameter]") -> "torch.optim.Optimizer":
        """The optimizer of the named parameters of the backbone, at the learning rate `lr`.

        A step sets the rate of every parameter group to the group's own first one times the schedule. The state of a parameter
        is tensors: they go to checkpoints by their names.
        """
        raise NotImplementedError


AnyOptimizer = Annotated[AdamATan2Config | AdamWConfig | ImportedOptimizer, Tagged("type", default="adam_atan2")]
"""The optimizer of a run; a file without `type` means adam_atan2."""

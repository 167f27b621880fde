"""Optimizers, the learning-rate schedule and the weight average."""

from pydantic import (
    Field,
)

from trm.config.base import Written


class OptimConfig(Written):
    """Both optimizers, the learning-rate schedule and the weight average."""

    lr: float = Field(1e-4, gt=0, le=10)
    """Peak learning rate of the backbone (AdamATan2)."""
    lr_min_ratio: float = Field(1.0, ge=0, le=1)
    """Cosine floor as a share of `lr`; 1 keeps it constant after warm-up."""
    lr_warmup_steps: int = Field(2000, ge=0)
    """Linear warm-up; step i uses lr * i / warm-up, i from 1."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""
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

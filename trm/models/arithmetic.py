"""What arithmetic alone says of a network: sizes of its tensors, FLOPs and bytes of a row. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass

Sizes = Mapping[str, tuple[int, ...]]
TABLE_KEY = "puzzle_embedding"
"""Name of the puzzle embedding's table beside the network's weights."""

FLOAT_BYTES = {"auto": 4, "float32": 4, "tf32": 4, "bfloat16": 2, "float64": 8}
"""Bytes of an activation; auto is taken for float32, the larger."""
BACKWARD_FORWARDS = 2
"""A backward pass costs two forwards: gradients of inputs and of weights."""


@dataclass(frozen=True)
class TensorSizes:
    """Shape of every tensor of a network by name; the puzzle embedding's table is not among them."""

    weights: Sizes
    """Trained parameters."""
    buffers: Sizes
    """Saved buffers, which are never trained."""


@dataclass(frozen=True)
class InnerAnswers:
    """Answers of the inner cycles of a supervision step, which training may have read (`Network.reads_cycles`)."""

    plain: int
    """How many come of calls without gradient."""
    differentiated: int
    """How many come of calls with one."""
    flops: float
    """Of reading one answer of one row, without gradient."""
    held_bytes: int
    """Of one answer of one row, for the backward pass."""


NO_INNER_ANSWERS = InnerAnswers(0, 0, 0.0, 0)


@dataclass(frozen=True)
class RowCost:
    """What one row costs in one supervision step. Only matrix products count as FLOPs; a backward pass is two forwards."""

    train_flops: float
    """With what is differentiated; how many of them an update makes is the loss's (`trm.models.cost.passes_of`)."""
    forward_flops: float
    """Without any gradient."""
    carry_bytes: int
    """What its slot carries from step to step: latents, the puzzle, its counters."""
    activation_bytes: int
    """Most that is held for the backward pass, in the configuration's number type."""
    handwritten_share: float = 1.0
    """What a form written by hand for the CPU in eager mode keeps of that at most; 1: there is none."""
    weight_gradient_flops: float = 0.0
    """What gradients of weights take of `train_flops`, which a network that is passed through and not trained leaves out."""
    head_learning_flops: float = 0.0
    """What it takes besides `forward_flops` to train the heads alone: their answers in between, and gradients of their weights."""
    latent_bytes: int = 0
    """What its slot carries more with another latent (`training.hypotheses`)."""
    inner: InnerAnswers = NO_INNER_ANSWERS
    """Answers that are not read unless training asks for them."""

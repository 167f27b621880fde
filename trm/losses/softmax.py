"""The softmax cross entropy."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def softmax_cross_entropy(logits: Float[Tensor, "*batch vocab"], target: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """log(sum exp(x)) - x at `target`; int64 targets."""
    loss: Tensor = -functional.log_softmax(logits, dim=-1).gather(-1, target[..., None]).squeeze(-1)
    return loss

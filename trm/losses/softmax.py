"""The softmax cross entropy."""

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def softmax_cross_entropy(
    logits: Float[Tensor, "*batch vocab"], target: Int[Tensor, "*batch"], smoothing: float = 0.0
) -> Float[Tensor, "*batch"]:
    """log(sum exp(x)) - x at `target`; int64 targets. Of each label a share of `smoothing` goes to all tokens alike."""
    logs = functional.log_softmax(logits, dim=-1)
    loss: Tensor = -logs.gather(-1, target[..., None]).squeeze(-1)
    return loss if not smoothing else (1 - smoothing) * loss - smoothing * logs.mean(-1)

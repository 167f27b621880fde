"""What a network is to those that train and score it."""

from typing import NamedTuple

from torch import Tensor


class Latents(NamedTuple):
    """What a slot carries from one supervision step to the next, (batch, P + S, D) each."""

    z_H: Tensor
    """The answer."""
    z_L: Tensor
    """The latent."""


class Output(NamedTuple):
    """What one supervision step says."""

    logits: Tensor
    """(batch, S, V), forward dtype."""
    q_halt: Tensor
    """(batch,), float32 or wider: above 0 wants to halt."""
    q_continue: Tensor
    """(batch,), float32 or wider."""

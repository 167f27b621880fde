"""What a network is to those that train, evaluate, halt and export it."""

from abc import ABC, abstractmethod
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trm.config.architectures import DataShape, ModelConfig

Latents: TypeAlias = dict[str, Tensor]
"""What a slot carries from one supervision step to the next, by name, (batch, P + S, D) each; checkpoints have these names."""


class Output(NamedTuple):
    """What one supervision step says."""

    logits: Tensor
    """(batch, S, V), forward dtype."""
    q_halt: Tensor
    """(batch,), float32 or wider: above 0 wants to halt; 0 throughout where there is no halting head."""
    q_continue: Tensor
    """(batch,), float32 or wider."""
    earlier: tuple[Tensor, ...] = ()
    """Logits of earlier cycles of the step, the first first, (batch, S, V) each, of a network that answers after every cycle."""


class Network(nn.Module, ABC):
    """A network: weights, the latents that a puzzle starts from, and one supervision step.

    All of its parameters are trained, its persistent buffers never; `trm.models.counting` says the sizes of both without building
    it. The puzzle embedding's table is not inside: the caller gathers its rows (`trm.models.puzzle_embedding`).
    """

    config: ModelConfig
    shape: DataShape
    dtype: torch.dtype
    """Type of activations, carried latents and logits; weights are float32 (float64 for float64)."""
    is_fused: bool
    """Whether `trm.kernels` do its recursion, which compiled code does not reach."""

    @abstractmethod
    def initial_latents(self, batch_size: int) -> Latents:
        """The latents every puzzle starts from (not to be written to): the same names, in the same order, as `forward` returns."""

    @abstractmethod
    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """One supervision step: new latents, detached, and what they say. `puzzle_rows` is None without a puzzle embedding.

        A row of the batch sees nothing of the others.
        """

"""What a network is to those that train, evaluate, halt and export it."""

from abc import ABC, abstractmethod
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional

from trm.config.networks import DataShape, ModelConfig
from trm.config.recursion import Recursion
from trm.errors import ConfigError
from trm.models.keyed_draws import derived

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
    """Logits of earlier cycles of the step, the first first, (batch, S, V) each, of a network that answers after every cycle or is
    asked to (`Network.reads_cycles`)."""


def unhalted(logits: Tensor, earlier: tuple[Tensor, ...] = ()) -> Output:
    """What a network without a halting head says: nothing of halting."""
    silent = torch.zeros(len(logits), dtype=torch.promote_types(logits.dtype, torch.float32), device=logits.device)
    return Output(logits, silent, silent, earlier)


class Draws(NamedTuple):
    """What a network may draw from in a supervision step (`trm.models.keyed_draws`)."""

    keys: Int64[Tensor, " batch"]
    """Of each row: others at each step."""
    is_training: bool
    """Whether what belongs to training alone is drawn too."""

    def part(self, number: int) -> "Draws":
        """Those of a part of the step, apart from the other parts'; of its first these."""
        return self._replace(keys=derived(self.keys, number)) if number else self


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

    reads_cycles: bool = False
    """Whether `Output.earlier` has, in training, the answer of each cycle but the last, of a network that has cycles."""

    def puzzle_tokens(self, puzzle_rows: Float[Tensor, "batch ndim"]) -> Float[Tensor, "batch tokens width"]:
        """Rows of the puzzle embedding as tokens, zeros behind where they do not fill them."""
        width, tokens = self.config.hidden_size, self.config.puzzle_len
        padded = functional.pad(puzzle_rows.to(self.dtype), (0, tokens * width - puzzle_rows.shape[1]))
        return padded.view(-1, tokens, width)

    def recurse(self, recursion: Recursion) -> None:
        """Makes it compute `recursion`, which has its latents and networks, from its next supervision step on.

        ConfigError where it cannot.
        """
        raise ConfigError(
            f"training.depth_schedule needs a network whose recursion changes, and {type(self).__name__} has no method recurse",
            remedy="write it, as trm.models.network.Network says, or set training.depth_schedule: null",
        )

    @abstractmethod
    def initial_latents(self, batch_size: int, draws: Draws | None = None) -> Latents:
        """The latents every puzzle starts from (not to be written to): the same names, in the same order, as `forward` returns."""

    @abstractmethod
    def forward(
        self,
        latents: Latents,
        inputs: Int[Tensor, "batch cells"],
        puzzle_rows: Float[Tensor, "batch ndim"] | None,
        draws: Draws | None = None,
    ) -> tuple[Latents, Output]:
        """One supervision step: new latents, detached, and what they say. `puzzle_rows` is None without a puzzle embedding.

        A row of the batch sees nothing of the others. `draws` are handed over only where the configuration says that the network
        draws (`draws_in_training`, `draws_in_evaluation`): one that never does needs no such argument, here and above. Without
        them it draws nothing.
        """

    def starts(self, batch_size: int, draws: Draws | None) -> Latents:
        """The initial latents, drawn where the network draws them."""
        return self.initial_latents(batch_size) if draws is None else self.initial_latents(batch_size, draws)

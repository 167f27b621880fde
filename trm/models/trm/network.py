"""The Tiny Recursive Model (arXiv 2510.04871): one small network, called again and again on an answer and a latent."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trm.config.architectures import DataShape, ModelConfig, swiglu_width
from trm.kernels.recursion import FusedRecursion
from trm.models import initial, layers
from trm.models.network import Latents, Output
from trm.models.precision import weight_dtype

HALTING_BIAS = -5.0
"""Start of the halting head's bias, with weight 0: at first no puzzle wants to halt."""


class Block(nn.Module):
    """Mix positions, then channels, each with a residual and a norm. Holds weights, lends them cast.

    Works on (batch, length, D); with `mlp_t` on (length, batch, D), where both mixes are products with plain matrices.
    """

    def __init__(self, config: ModelConfig, length: int, dtype: torch.dtype, generator: torch.Generator) -> None:
        super().__init__()
        width, self.eps, self.num_heads = config.hidden_size, config.rms_norm_eps, config.num_heads
        self.mixes_by_mlp, self.is_rotary = config.mlp_t, config.pos_encodings == "rope"
        if config.mlp_t:
            inner = swiglu_width(config.expansion, length)
            self.mix_in = initial.fan_in_weight(2 * inner, length, dtype, generator)
            self.mix_out = initial.fan_in_weight(length, inner, dtype, generator)
        else:
            self.mix_in = initial.fan_in_weight(3 * width, width, dtype, generator)
            self.mix_out = initial.fan_in_weight(width, width, dtype, generator)
        inner = swiglu_width(config.expansion, width)
        self.gate_up = initial.fan_in_weight(2 * inner, width, dtype, generator)
        self.down = initial.fan_in_weight(width, inner, dtype, generator)

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weights in `dtype`, cast and ordered once for all calls of a supervision step."""
        mix_in = self.mix_in.to(dtype)
        if self.is_rotary:
            mix_in = layers.pair_channels(mix_in, self.num_heads)
        return mix_in, self.mix_out.to(dtype), self.gate_up.to(dtype), self.down.to(dtype)

    def forward(self, x: Tensor, weights: tuple[Tensor, ...], rotary: Tensor | None) -> Tensor:
        """The block applied to `x`."""
        mix_in, mix_out, gate_up, down = weights
        if self.mixes_by_mlp:
            x = layers.residual_swiglu(x, mix_in, mix_out, axis=0, eps=self.eps)
        else:
            x = layers.residual_attention(x, mix_in, mix_out, rotary, num_heads=self.num_heads, eps=self.eps)
        return layers.residual_swiglu(x, gate_up, down, axis=-1, eps=self.eps)


class TinyRecursiveModel(nn.Module):
    """One network f, its embeddings and its heads; `forward` is one supervision step.

    `dtype` is the type of activations; weights are float32 (float64 for float64) and cast once a step. The puzzle
    embedding's table is not inside: the caller gathers its rows (`trm.models.puzzle_embedding`). Without a generator
    the weights are those of seed 0. `is_fused` has the recursion done by `trm.kernels` (float32 on a CPU).
    """

    H_init: Tensor
    L_init: Tensor
    rotary: Tensor | None

    def __init__(
        self,
        config: ModelConfig,
        shape: DataShape,
        *,
        dtype: torch.dtype,
        generator: torch.Generator | None = None,
        is_fused: bool = False,
    ) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        stored, width = weight_dtype(dtype), config.hidden_size
        self.config, self.shape, self.dtype = config, shape, dtype
        self.length = config.puzzle_len + shape.seq_len
        self.token_embedding = initial.fan_in_weight(shape.vocab_size, width, stored, generator)
        if config.pos_encodings == "learned":
            self.position_embedding = initial.fan_in_weight(self.length, width, stored, generator)
        self.blocks = nn.ModuleList(Block(config, self.length, stored, generator) for _ in range(config.L_layers))
        self.answer_head = initial.fan_in_weight(shape.vocab_size, width, stored, generator)
        self.halting_head = nn.Parameter(torch.zeros(2, width, dtype=stored))
        self.halting_bias = nn.Parameter(torch.full((2,), HALTING_BIAS, dtype=stored))
        self.register_buffer("H_init", initial.truncated_normal_(torch.empty(width, dtype=stored), 1.0, generator))
        self.register_buffer("L_init", initial.truncated_normal_(torch.empty(width, dtype=stored), 1.0, generator))
        rotary = None
        if config.pos_encodings == "rope":
            rotary = layers.rotary_table(self.length, width // config.num_heads, config.num_heads, config.rope_theta)
            rotary = rotary.to(stored)
        self.register_buffer("rotary", rotary, persistent=False)
        self.fused = FusedRecursion(config, self.length) if is_fused else None

    def initial_latents(self, batch_size: int) -> Latents:
        """The latents every puzzle starts from: two fixed vectors, expanded (not to be written to)."""
        shape = (batch_size, self.length, self.config.hidden_size)
        return Latents(self.H_init.to(self.dtype).expand(shape), self.L_init.to(self.dtype).expand(shape))

    def forward(
        self, latents: Latents, inputs: Int[Tensor, "batch cells"], puzzle_rows: Float[Tensor, "batch ndim"] | None
    ) -> tuple[Latents, Output]:
        """One supervision step (Figure 3): new latents, detached, and what they say.

        Only the last of `H_cycles` is differentiated.
        """
        question = self._question(inputs, puzzle_rows)
        if self.fused is not None:
            z_H, z_L = self.fused(*latents, question, list(self.blocks.parameters()), self.rotary)
            return Latents(z_H.detach(), z_L), self._read(z_H)
        weights = [block.weights(self.dtype) for block in self.blocks]  # type: ignore[operator]
        question, z_H, z_L = (self._turn(x) for x in (question, *latents))
        with torch.no_grad():
            for _ in range(self.config.H_cycles - 1):
                z_H, z_L = self._cycle(z_H, z_L, question, weights)
        z_H, z_L = self._cycle(z_H, z_L, question, weights)
        z_H, z_L = self._turn(z_H), self._turn(z_L)
        return Latents(z_H.detach(), z_L.detach()), self._read(z_H)

    def _turn(self, x: Tensor) -> Tensor:
        """Between (batch, length, D) and the order that the blocks work in; its own inverse."""
        return x.transpose(0, 1).contiguous() if self.config.mlp_t else x.contiguous()

    def _question(self, inputs: Tensor, puzzle_rows: Tensor | None) -> Tensor:
        """The embedded puzzle (batch, P + S, D): puzzle tokens in front, positions added, times sqrt(D)."""
        width, puzzle_len = self.config.hidden_size, self.config.puzzle_len
        question = functional.embedding(inputs, self.token_embedding.to(self.dtype))
        if puzzle_len:
            assert puzzle_rows is not None, "this network has a puzzle embedding, so it needs its rows"
            padded = functional.pad(puzzle_rows.to(self.dtype), (0, puzzle_len * width - puzzle_rows.shape[1]))
            question = torch.cat((padded.view(-1, puzzle_len, width), question), dim=1)
        if self.config.pos_encodings == "learned":
            question = math.sqrt(0.5) * (question + self.position_embedding.to(self.dtype))
        return math.sqrt(width) * question

    def _cycle(self, z_H: Tensor, z_L: Tensor, question: Tensor, weights: list[tuple[Tensor, ...]]) -> tuple[Tensor, Tensor]:
        """`L_cycles` updates of the latent, then one of the answer."""
        injection = z_H + question
        for _ in range(self.config.L_cycles):
            z_L = self._network(z_L + injection, weights)
        return self._network(z_H + z_L, weights), z_L

    def _network(self, x: Tensor, weights: list[tuple[Tensor, ...]]) -> Tensor:
        for block, cast in zip(self.blocks, weights, strict=True):
            x = block(x, cast, self.rotary)
        return x

    def _read(self, z_H: Tensor) -> Output:
        """Logits of the cells, and the halting pair read from the first token."""
        logits = functional.linear(z_H[:, self.config.puzzle_len :], self.answer_head.to(self.dtype))
        pair = functional.linear(z_H[:, 0], self.halting_head.to(self.dtype), self.halting_bias.to(self.dtype))
        pair = pair.to(torch.promote_types(self.dtype, torch.float32))
        return Output(logits, pair[:, 0], pair[:, 1])

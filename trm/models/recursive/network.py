"""Tiny recursive models (arXiv 2510.04871): a small network, called again and again on an answer and latents.

Which latents there are, and what is called on which, is data: `trm.config.recursion`.
"""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trm.config.blocks import RecursiveConfig, swiglu_width
from trm.config.networks import DataShape
from trm.config.recursion import QUESTION, Recursion
from trm.kernels.recursion import FusedRecursion
from trm.models import initial, layers
from trm.models.gates import Gate
from trm.models.network import Draws, Latents, Network, Output, unhalted
from trm.models.precision import weight_dtype
from trm.models.recursive.noise import Noise
from trm.models.recursive.sizes import grid_width


class Block(nn.Module):
    """Mix positions, then channels, each with a residual and a norm. Holds weights, lends them cast.

    Works on (batch, length, D); with `mlp_t` on (length, batch, D), where both mixes are products with plain matrices.
    """

    def __init__(self, config: RecursiveConfig, length: int, dtype: torch.dtype, generator: torch.Generator) -> None:
        super().__init__()
        width, self.eps, self.num_heads = config.hidden_size, config.rms_norm_eps, config.num_heads
        self.mixes_by_mlp, self.is_rotary = config.mlp_t, config.pos_encodings in ("rope", "rope2d")
        self.gate = Gate(config.activation, config.rms_norm_eps if config.ffn == "normed_swiglu" else None)
        if config.mlp_t:
            inner = swiglu_width(config.expansion, length)
            self.mix_in = initial.fan_in_weight(2 * inner, length, dtype, generator)
            self.mix_out = initial.fan_in_weight(length, inner, dtype, generator)
        else:
            self.mix_in = initial.fan_in_weight(3 * config.attention_width, width, dtype, generator)
            self.mix_out = initial.fan_in_weight(width, config.attention_width, dtype, generator)
        inner = swiglu_width(config.expansion, width)
        self.gate_up = initial.fan_in_weight(2 * inner, width, dtype, generator)
        self.down = initial.fan_in_weight(width, inner, dtype, generator)
        self.convolves = config.ffn == "conv_swiglu"
        if self.convolves:
            drawn = initial.fan_in_weight(inner, config.conv_kernel, dtype, generator)
            self.conv = nn.Parameter(drawn.data[:, None])  # (channels, 1, width): no matrix that Muon would take for one
            self.conv_bias = nn.Parameter(torch.zeros(inner, dtype=dtype))

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The weights in `dtype`, cast and ordered once for all calls of a supervision step."""
        mix_in = self.mix_in.to(dtype)
        if self.is_rotary:
            mix_in = layers.pair_channels(mix_in, self.num_heads)
        weights = mix_in, self.mix_out.to(dtype), self.gate_up.to(dtype), self.down.to(dtype)
        return (*weights, self.conv.to(dtype), self.conv_bias.to(dtype)) if self.convolves else weights

    def forward(self, x: Tensor, weights: tuple[Tensor, ...], rotary: Tensor | None) -> Tensor:
        """The block applied to `x`."""
        mix_in, mix_out, *channels = weights
        if self.mixes_by_mlp:
            x = layers.residual_swiglu(x, mix_in, mix_out, axis=0, eps=self.eps, gate=self.gate)
        else:
            x = layers.residual_attention(x, mix_in, mix_out, rotary, num_heads=self.num_heads, eps=self.eps)
        if self.convolves:
            return layers.residual_conv_swiglu(x, *channels, positions=0 if self.mixes_by_mlp else 1, eps=self.eps, gate=self.gate)
        return layers.residual_swiglu(x, *channels, axis=-1, eps=self.eps, gate=self.gate)


class TinyRecursiveModel(Network):
    """The blocks that a recursion calls, embeddings and heads; `forward` is one supervision step.

    `dtype` is the type of activations; weights are float32 (float64 for float64) and cast once a step. Without a generator
    the weights are those of seed 0. `is_fused` has the recursion done by `trm.kernels` (float32 on a CPU) where they do all of it.
    """

    config: RecursiveConfig
    rotary: Tensor | None

    def __init__(
        self,
        config: RecursiveConfig,
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
        self.fused: FusedRecursion | None = None
        self.recurse(config.recursion)
        for network in self.recursion.networks:
            blocks = nn.ModuleList(Block(config, self.length, stored, generator) for _ in range(config.layers_of(network)))
            self.add_module(network, blocks)
        self.answer_head = initial.fan_in_weight(shape.vocab_size, width, stored, generator)
        if config.halting.learns_halt:
            self.halting_head = nn.Parameter(torch.zeros(2, width, dtype=stored))
            self.halting_bias = nn.Parameter(torch.full((2,), config.halt_bias, dtype=stored))
        for latent in self.recursion.latents:
            start = initial.truncated_normal_(torch.empty(width, dtype=stored), 1.0, generator)
            self.register_buffer(latent.initial, start)
        self.register_buffer("rotary", self._rotary(stored), persistent=False)
        self.is_fused = is_fused and not config.unfused
        if self.is_fused:
            self.fused = FusedRecursion(config, self.length, self.part)
        self.noise = Noise(config, self.length)

    def _rotary(self, dtype: torch.dtype) -> Tensor | None:
        config, heads = self.config, self.config.num_heads
        head_size, theta = config.head_size, config.rope_theta
        if config.pos_encodings == "rope":
            return layers.rotary_table(self.length, head_size, heads, theta).to(dtype)
        if config.pos_encodings == "rope2d":
            sides = config.puzzle_len, self.shape.seq_len, grid_width(config, self.shape)
            return layers.grid_rotary_table(*sides, head_size, heads, theta).to(dtype)
        return None

    def recurse(self, recursion: Recursion) -> None:
        """Makes it compute `recursion`, which has its latents and networks, from its next supervision step on."""
        self.recursion = recursion
        self.part = recursion.single_cycle if recursion.answers_every_cycle else recursion
        if self.fused is not None:
            self.fused.recursion = self.part

    def initial_latents(self, batch_size: int, draws: Draws | None = None) -> Latents:
        """The latents every puzzle starts from: fixed vectors, expanded (not to be written to), or drawn ones."""
        if draws is not None and self.config.draws_starts:
            return {latent.name: self.noise.start(draws, i, self.dtype) for i, latent in enumerate(self.recursion.latents)}
        shape = (batch_size, self.length, self.config.hidden_size)
        initial_vectors = {latent.name: self.get_buffer(latent.initial) for latent in self.recursion.latents}
        return {name: vector.to(self.dtype).expand(shape) for name, vector in initial_vectors.items()}

    def forward(
        self,
        latents: Latents,
        inputs: Int[Tensor, "batch cells"],
        puzzle_rows: Float[Tensor, "batch ndim"] | None,
        draws: Draws | None = None,
    ) -> tuple[Latents, Output]:
        """One supervision step (Figure 3): new latents, detached, and what they say.

        Only the last calls are differentiated, as many as the recursion says; where each cycle is read, all within their cycle.
        """
        question = self._question(inputs, puzzle_rows)
        weights = {} if self.fused else {network: self._cast(network) for network in self.part.networks}
        earlier: list[Tensor] = []
        is_wanted = torch.is_grad_enabled()  # by nobody else
        inner: list[Tensor] | None = [] if self.reads_cycles and is_wanted else None
        for remaining in reversed(range(self.recursion.answers)):
            drawn = None if draws is None else draws.part(self.recursion.answers - 1 - remaining)
            new = self._recurse(latents, question, weights, drawn, inner)
            latents = {name: value.detach() for name, value in new.items()}
            if remaining and is_wanted:
                earlier.append(self._logits(new[self.recursion.answer]))
        earlier += [self._logits(self._turn(answer)) for answer in inner or ()]
        return latents, self._read(new[self.recursion.answer], tuple(earlier))

    def _recurse(
        self,
        latents: Latents,
        question: Tensor,
        weights: Mapping[str, list[tuple[Tensor, ...]]],
        draws: Draws | None,
        inner: list[Tensor] | None,
    ) -> Latents:
        """The latents after the calls up to the next answer; the answers of the cycles before go to `inner`, where it is a list."""
        part = self.part
        if self.fused is not None:
            matrices = [weight for network in part.networks for weight in self.get_submodule(network).parameters()]
            return self.fused(latents, question, matrices, self.rotary, self.noise.for_kernels(draws))
        values = {name: self._turn(value) for name, value in {QUESTION: question, **latents}.items()}
        with torch.no_grad():
            self._make(range(part.plain_calls), values, weights, draws, inner)
        self._make(range(part.plain_calls, part.depth), values, weights, draws, inner)
        new = {name: self._turn(values[name]) for name in latents}
        if unreached := self._unreached(question):
            new[part.answer] = _Reaching.apply(new[part.answer], *unreached)  # type: ignore[no-untyped-call]
        return new

    def _unreached(self, question: Tensor) -> list[Tensor]:
        """What no gradient comes to where few calls are differentiated: the question, weights of a network."""
        without_gradient = self.part.without_gradient
        found: list[Tensor] = [question] if QUESTION in without_gradient else []
        for network in self.part.networks:
            if network in without_gradient:
                found += self.get_submodule(network).parameters()
        return found

    def _make(
        self,
        calls: range,
        values: dict[str, Tensor],
        weights: Mapping[str, list[tuple[Tensor, ...]]],
        draws: Draws | None,
        inner: list[Tensor] | None,
    ) -> None:
        """Makes these calls of the part on `values`, the question and the latents by name."""
        left: Tensor | None = None
        for number in calls:
            step = self.part.steps[number]
            *leading, last = (values[name] for name in step.call.sources)
            if len(leading) > 1:
                left = left if step.shares_sum else functools.reduce(torch.add, leading)
                assert left is not None, "a sum is made before it is shared"
                last = left + last
            elif leading:
                last = leading[0] + last
            network, target = step.call.network, step.call.target
            said = self._through(network, last, weights[network], number, draws)
            values[target] = self.noise.moved(values[target], said, number, draws)
            if inner is not None and number + 1 < self.part.depth and (number + 1) % len(self.part.cycle) == 0:
                inner.append(values[self.part.answer])

    def _turn(self, x: Tensor) -> Tensor:
        """Between (batch, length, D) and the order that the blocks work in; its own inverse."""
        return x.transpose(0, 1).contiguous() if self.config.mlp_t else x.contiguous()

    def _cast(self, network: str) -> list[tuple[Tensor, ...]]:
        """Weights of a network's blocks in the type of activations."""
        return [block.weights(self.dtype) for block in self._blocks(network)]

    def _through(self, network: str, x: Tensor, weights: list[tuple[Tensor, ...]], call: int, draws: Draws | None) -> Tensor:
        for layer, (block, own) in enumerate(zip(self._blocks(network), weights, strict=True)):
            x = self.noise.dropped(block(x, own, self.rotary), call, layer, draws)
        return x

    def _blocks(self, network: str) -> Iterable[Block]:
        return cast(Iterable[Block], self.get_submodule(network))

    def _question(self, inputs: Tensor, puzzle_rows: Tensor | None) -> Tensor:
        """The embedded puzzle (batch, P + S, D): puzzle tokens in front, positions added, times sqrt(D)."""
        question = functional.embedding(inputs, self.token_embedding.to(self.dtype))
        if self.config.puzzle_len:
            assert puzzle_rows is not None, "this network has a puzzle embedding, so it needs its rows"
            question = torch.cat((self.puzzle_tokens(puzzle_rows), question), dim=1)
        if self.config.pos_encodings == "learned":
            question = math.sqrt(0.5) * (question + self.position_embedding.to(self.dtype))
        return math.sqrt(self.config.hidden_size) * question

    def _logits(self, answer: Tensor) -> Tensor:
        return functional.linear(answer[:, self.config.puzzle_len :], self.answer_head.to(self.dtype))

    def _read(self, answer: Tensor, earlier: tuple[Tensor, ...]) -> Output:
        """Logits of the cells, and the halting pair read from the first token."""
        logits = self._logits(answer)
        if not self.config.halting.learns_halt:
            return unhalted(logits, earlier)
        pair = functional.linear(answer[:, 0], self.halting_head.to(self.dtype), self.halting_bias.to(self.dtype))
        pair = pair.to(torch.promote_types(self.dtype, torch.float32))
        return Output(logits, pair[:, 0], pair[:, 1], earlier)


class _Reaching(torch.autograd.Function):
    """The first of what it is given; the others get a gradient of zero, so that optimizers and gangs find one at every weight."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *unreached: Tensor) -> Tensor:
        ctx.save_for_backward(*unreached)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient, *map(torch.zeros_like, ctx.saved_tensors)

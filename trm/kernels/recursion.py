"""A supervision step's recursion in one call: each thread takes a few puzzles through all its calls while they are in its cache.

`recursion.cpp` computes what `trm.models.recursive.network` says in tensors, with a backward pass written by hand. It sums in
another order than torch does, so the two agree to rounding, not to the bit. What it calls on what is a program that it is given.
"""

import ctypes
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm.config.blocks import Activation, RecursiveConfig, swiglu_width
from trm.config.recursion import QUESTION, Recursion
from trm.kernels.build import library

CHUNK_TOKENS = 384
"""Tokens that a thread takes through the recursion at a time: enough for full speed of products, few enough for its cache."""


_ACTIVATIONS: tuple[Activation, ...] = ("silu", "gelu", "relu", "relu2")
"""`Activation` of gates.hpp, in its order."""
_WEIGHTS = 6
"""Weights of a block that the kernels know, each as it is and transposed: `Weights` of blocks.hpp."""


class _Sizes(ctypes.Structure):
    """`Sizes` of blocks.hpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "length", "width", "heads", "inner", "mix_inner", "attended", "layers")),
        *((name, ctypes.c_int64) for name in ("chunk_rows", "slice", "threads", "mixes_by_mlp", "is_rotary")),
        *((name, ctypes.c_int64) for name in ("activation", "is_normed", "reach")),
        ("eps", ctypes.c_float),
    )


_CALL_FIELDS = ("target", "first", "count", "shares_sum", "trained", "was_trained", "layer", "layers")


class _Call(ctypes.Structure):
    """`Call` of recursion.cpp."""

    _fields_ = tuple((name, ctypes.c_int64) for name in _CALL_FIELDS)


class _Noise(ctypes.Structure):
    """`Noise` of noise.hpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("keys", "quantiles")),
        *((name, ctypes.c_int64) for name in ("first_dropout", "most_layers", "first_path", "dropped_below")),
        *((name, ctypes.c_float) for name in ("kept_scale", "path_noise", "relaxation")),
    )


@dataclass(frozen=True)
class Drawn:
    """What a supervision step draws, as the kernels are told: see `trm.models.recursive.noise`."""

    keys: Int64[Tensor, " batch"]
    """Of each puzzle."""
    quantiles: Tensor | None
    """What path noise is looked up in."""
    dropout: float
    path_noise: float
    numbers: tuple[int, int, int]
    """Of the draw of the first block's dropout, the blocks of a call at most, and of the draw of the first call's path noise."""


class _Program(ctypes.Structure):
    """`Program` of recursion.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("latents", "calls", "plain_calls")),
        ("call", ctypes.POINTER(_Call)),
        ("sources", ctypes.POINTER(ctypes.c_int64)),
    )


@functools.lru_cache(maxsize=64)
def _program(recursion: Recursion, layers: tuple[int, ...]) -> _Program:
    """The recursion as the kernels read it; `layers` of each of its networks."""
    names = [*(latent.name for latent in recursion.latents), QUESTION]
    counts = dict(zip(recursion.networks, layers, strict=True))
    firsts = dict(zip(recursion.networks, accumulate(layers, initial=0), strict=False))
    sources: list[int] = []
    calls: list[_Call] = []
    trained: set[str] = set()
    for number, step in enumerate(recursion.steps):
        made = _Call(
            target=names.index(step.call.target),
            first=len(sources),
            count=len(step.call.sources),
            shares_sum=step.shares_sum,
            trained=sum(1 << names.index(name) for name in step.trained_sources),
            was_trained=step.call.target in trained,
            layer=firsts[step.call.network],
            layers=counts[step.call.network],
        )
        calls.append(made)
        if number >= recursion.plain_calls:
            trained.add(step.call.target)
        sources += map(names.index, step.call.sources)
    return _Program(
        latents=len(recursion.latents),
        calls=len(calls),
        plain_calls=recursion.plain_calls,
        call=(_Call * len(calls))(*calls),
        sources=(ctypes.c_int64 * len(sources))(*sources),
    )


class FusedRecursion:
    """The recursion of one network on float32 tensors of the CPU."""

    def __init__(self, config: RecursiveConfig, length: int, recursion: Recursion) -> None:
        self.config, self.length, self.recursion = config, length, recursion
        self.layers = tuple(map(config.layers_of, self.recursion.networks))
        library()  # compiled and loaded now; not held, for a network can be copied and an address cannot
        self._spares: list[Tensor] = []

    def __call__(
        self,
        latents: Mapping[str, Float[Tensor, "batch length width"]],
        question: Float[Tensor, "batch length width"],
        weights: Sequence[Tensor],
        rotary: Float[Tensor, "length two_width 2"] | None,
        drawn: Drawn | None = None,
    ) -> dict[str, Float[Tensor, "batch length width"]]:
        """New latents after all calls; only the answer has a gradient, through the differentiated calls.

        `weights` are mix_in, mix_out, gate_up, down of every layer of every network, and conv, conv_bias where it has them;
        `rotary` is `layers.rotary_table`.
        """
        size = (len(question), self.length, self.config.hidden_size)
        values = [latents[latent.name] for latent in self.recursion.latents]
        for tensor, shape in (*((value, size) for value in (*values, question)), *((weight, weight.shape) for weight in weights)):
            is_fit = tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.shape == shape
            assert is_fit, f"kernels read float32 {shape} on the CPU, got {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
        table = None
        if rotary is not None:
            half = self.config.head_size // 2
            table = rotary[:, :half].permute(2, 0, 1).contiguous()  # cosines, then sines, (length, half) each
        is_kept = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (question, *weights))
        new = _Recursion.apply(self, is_kept, table, drawn, question, *values, *weights)  # type: ignore[no-untyped-call]
        return dict(zip(latents, new, strict=True))

    @property
    def program(self) -> _Program:
        """What the kernels call on what."""
        return _program(self.recursion, self.layers)

    def sizes(self, batch: int) -> _Sizes:
        """What the kernels are told of `batch` puzzles on this process's threads."""
        config, length = self.config, self.length
        inner = swiglu_width(config.expansion, config.hidden_size)
        mix_inner = swiglu_width(config.expansion, length) if config.mlp_t else 0
        threads = min(torch.get_num_threads(), batch)
        rounds = max(1, round(batch * length / (threads * CHUNK_TOKENS)))
        return _Sizes(
            batch=batch,
            length=length,
            width=config.hidden_size,
            heads=config.num_heads,
            inner=inner,
            mix_inner=mix_inner,
            attended=config.attention_width,
            layers=sum(self.layers),
            chunk_rows=-(-batch // (threads * rounds)),
            slice=CHUNK_TOKENS,
            threads=threads,
            mixes_by_mlp=config.mlp_t,
            is_rotary=config.pos_encodings in ("rope", "rope2d"),
            activation=_ACTIVATIONS.index(config.activation),
            is_normed=config.ffn == "normed_swiglu",
            reach=config.conv_kernel if config.ffn == "conv_swiglu" else 0,
            eps=config.rms_norm_eps,
        )

    def noise(self, drawn: Drawn | None) -> _Noise:
        """What the kernels are told of draws, whose tensors must live on."""
        told = _Noise(relaxation=self.config.relaxation, dropped_below=-(1 << 31))
        if drawn is not None:
            told.keys, told.quantiles = _address(drawn.keys), _address(drawn.quantiles)
            told.first_dropout, told.most_layers, told.first_path = drawn.numbers
            told.dropped_below, told.kept_scale = round(drawn.dropout * (1 << 32)) - (1 << 31), 1 / (1 - drawn.dropout)
            told.path_noise = drawn.path_noise
        return told

    def weight_addresses(self, turned: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p]":
        """Where every layer's weights lie, each as it is and transposed; null for those that its blocks do not have."""
        each = len(turned) // sum(self.layers)
        layers = (turned[first : first + each] for first in range(0, len(turned), each))
        return _addresses([place for layer in layers for place in (*layer, *[None] * (2 * _WEIGHTS - each))])

    def borrow(self, floats: int) -> Tensor:
        """Memory for what the backward pass needs: the last step's, so that its pages are touched once a run."""
        self._spares = [spare for spare in self._spares if len(spare) == floats]
        return self._spares.pop() if self._spares else torch.empty(floats)

    def give_back(self, kept: Tensor) -> None:
        """Takes back what was borrowed."""
        self._spares.append(kept)


class _Recursion(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        fused: FusedRecursion,
        is_kept: bool,
        table: Tensor | None,
        drawn: Drawn | None,
        question: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        kernels, sizes, program, noise = library(), fused.sizes(len(question)), fused.program, fused.noise(drawn)
        latents, weights = tensors[: program.latents], tensors[program.latents :]
        slots = [slot.contiguous() for slot in (*latents, question)]
        matrices = [weight.flatten(1) if weight.dim() > 1 else weight[:, None] for weight in weights]
        turned = [matrix for weight in matrices for matrix in (weight.contiguous(), weight.t().contiguous())]
        new = tuple(torch.empty_like(slots[-1]) for _ in latents)
        told = ctypes.byref(sizes), ctypes.byref(program)
        kept = fused.borrow(kernels.trm_kept_floats(*told)) if is_kept else None
        scratch = torch.empty(kernels.trm_scratch_floats(*told))
        places = _addresses(slots), _addresses(new), _address(kept), _address(scratch)
        kernels.trm_forward(*told, ctypes.byref(noise), fused.weight_addresses(turned), *_cosines_and_sines(table), *places)
        if is_kept:
            ctx.fused, ctx.sizes, ctx.program, ctx.kept, ctx.table = fused, sizes, program, kept, table
            ctx.noise, ctx.drawn = noise, drawn
            ctx.weight_sizes = [weight.shape for weight in weights]
            ctx.save_for_backward(*turned)
        ctx.mark_non_differentiable(*new[1:])
        return new

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_answer: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        kernels, turned, table = library(), ctx.saved_tensors, ctx.table
        assert ctx.kept is not None, "what was kept for a backward pass serves one"
        d_answer, d_question = d_answer.contiguous(), torch.empty_like(d_answer, memory_format=torch.contiguous_format)
        gradients = [torch.empty(size) for size in ctx.weight_sizes]
        told = ctypes.byref(ctx.sizes), ctypes.byref(ctx.program)
        sums = torch.empty(kernels.trm_sums_floats(told[0]))
        scratch = torch.empty(kernels.trm_scratch_floats(*told))
        places = (_address(tensor) for tensor in (ctx.kept, d_answer, d_question))
        kernels.trm_backward(
            *told,
            ctypes.byref(ctx.noise),
            ctx.fused.weight_addresses(turned),
            *_cosines_and_sines(table),
            *places,
            _addresses(gradients),
            _address(sums),
            _address(scratch),
        )
        ctx.fused.give_back(ctx.kept)
        ctx.kept = None
        return None, None, None, None, d_question, *(None for _ in range(ctx.program.latents)), *gradients


def _cosines_and_sines(table: Tensor | None) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
    return (_address(None), _address(None)) if table is None else (_address(table[0]), _address(table[1]))


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _addresses(tensors: Sequence[Tensor | None]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(tensors))(*(None if tensor is None else tensor.data_ptr() for tensor in tensors))

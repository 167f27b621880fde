"""A supervision step's recursion in one call: each thread takes a few puzzles through all cycles while they are in its cache.

`recursion.cpp` computes what `trm.models.trm.network` says in tensors, with a backward pass written by hand. It sums in another
order than torch does, so the two agree to rounding, not to the bit.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm.config.architectures import ModelConfig, swiglu_width
from trm.kernels.build import library

CHUNK_TOKENS = 384
"""Tokens that a thread takes through the recursion at a time: enough for full speed of products, few enough for its cache."""


class _Sizes(ctypes.Structure):
    """`Sizes` of blocks.hpp, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "length", "width", "heads", "inner", "mix_inner", "layers", "H_cycles")),
        *((name, ctypes.c_int64) for name in ("L_cycles", "chunk_rows", "slice", "threads", "mixes_by_mlp", "is_rotary")),
        ("eps", ctypes.c_float),
    )


class FusedRecursion:
    """The recursion of one network on float32 tensors of the CPU."""

    def __init__(self, config: ModelConfig, length: int) -> None:
        self.config, self.length = config, length
        library()  # compiled and loaded now; not held, for a network can be copied and an address cannot
        self._spare: Tensor | None = None

    def __call__(
        self,
        z_H: Float[Tensor, "batch length width"],
        z_L: Float[Tensor, "batch length width"],
        question: Float[Tensor, "batch length width"],
        weights: Sequence[Tensor],
        rotary: Float[Tensor, "length two_width 2"] | None,
    ) -> tuple[Float[Tensor, "batch length width"], Float[Tensor, "batch length width"]]:
        """New z_H and z_L after all cycles; only z_H has a gradient, through the last cycle.

        `weights` are mix_in, mix_out, gate_up, down of every layer; `rotary` is `layers.rotary_table`.
        """
        latent = (len(question), self.length, self.config.hidden_size)
        for tensor, shape in ((z_H, latent), (z_L, latent), (question, latent), *((weight, weight.shape) for weight in weights)):
            is_fit = tensor.dtype == torch.float32 and tensor.device.type == "cpu" and tensor.shape == shape
            assert is_fit, f"kernels read float32 {shape} on the CPU, got {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
        table = None
        if rotary is not None:
            half = self.config.hidden_size // self.config.num_heads // 2
            table = rotary[:, :half].permute(2, 0, 1).contiguous()  # cosines, then sines, (length, half) each
        is_kept = torch.is_grad_enabled()
        new_z_H, new_z_L = _Recursion.apply(self, is_kept, z_H, z_L, table, question, *weights)  # type: ignore[no-untyped-call]
        return new_z_H, new_z_L

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
            layers=config.L_layers,
            H_cycles=config.H_cycles,
            L_cycles=config.L_cycles,
            chunk_rows=-(-batch // (threads * rounds)),
            slice=CHUNK_TOKENS,
            threads=threads,
            mixes_by_mlp=config.mlp_t,
            is_rotary=config.pos_encodings == "rope",
            eps=config.rms_norm_eps,
        )

    def borrow(self, floats: int) -> Tensor:
        """Memory for what the backward pass needs: the last step's, so that its pages are touched once a run."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and len(spare) == floats else torch.empty(floats)

    def give_back(self, kept: Tensor) -> None:
        """Takes back what was borrowed."""
        self._spare = kept


class _Recursion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fused: FusedRecursion, is_kept: bool, z_H: Tensor, *tensors: Any) -> tuple[Tensor, Tensor]:
        z_L, table, question, *weights = tensors
        kernels, sizes = library(), fused.sizes(len(question))
        z_H, z_L, question = z_H.contiguous(), z_L.contiguous(), question.contiguous()
        turned = [matrix for weight in weights for matrix in (weight.contiguous(), weight.t().contiguous())]
        new_z_H, new_z_L = torch.empty_like(question), torch.empty_like(question)
        kept = fused.borrow(kernels.trm_kept_floats(ctypes.byref(sizes))) if is_kept else None
        scratch = torch.empty(kernels.trm_scratch_floats(ctypes.byref(sizes)))
        kernels.trm_forward(
            ctypes.byref(sizes),
            _addresses(turned),
            *_cosines_and_sines(table),
            *(_address(tensor) for tensor in (z_H, z_L, question, new_z_H, new_z_L, kept, scratch)),
        )
        if is_kept:
            ctx.fused, ctx.sizes, ctx.kept, ctx.table = fused, sizes, kept, table
            ctx.save_for_backward(*turned)
        ctx.mark_non_differentiable(new_z_L)
        return new_z_H, new_z_L

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_z_H: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        kernels, sizes, turned, table = library(), ctx.sizes, ctx.saved_tensors, ctx.table
        assert ctx.kept is not None, "what was kept for a backward pass serves one"
        d_z_H, d_question = d_z_H.contiguous(), torch.empty_like(d_z_H, memory_format=torch.contiguous_format)
        gradients = [torch.empty_like(weight) for weight in turned[::2]]
        sums = torch.empty(kernels.trm_sums_floats(ctypes.byref(sizes)))
        scratch = torch.empty(kernels.trm_scratch_floats(ctypes.byref(sizes)))
        kernels.trm_backward(
            ctypes.byref(sizes),
            _addresses(turned),
            *_cosines_and_sines(table),
            *(_address(tensor) for tensor in (ctx.kept, d_z_H, d_question)),
            _addresses(gradients),
            _address(sums),
            _address(scratch),
        )
        ctx.fused.give_back(ctx.kept)
        ctx.kept = None
        return None, None, None, None, None, d_question, *gradients


def _cosines_and_sines(table: Tensor | None) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
    return (_address(None), _address(None)) if table is None else (_address(table[0]), _address(table[1]))


def _address(tensor: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def _addresses(tensors: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))

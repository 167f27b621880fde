"""AdamATan2 on float32 tensors of the CPU: one pass over memory where torch's operators make ten."""

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from trm.kernels.build import library


class Rates(ctypes.Structure):
    """What an update of AdamATan2 multiplies by (`Rates` of optimizer.cpp)."""

    _fields_ = tuple((name, ctypes.c_float) for name in ("decay", "beta1", "share1", "beta2", "share2", "root", "rate"))


def adam_atan2(
    params: Sequence[Tensor], gradients: Sequence[Tensor], first: Sequence[Tensor], second: Sequence[Tensor], rates: Rates
) -> None:
    """Updates `params` and both moments in place; all float32 and, the gradients apart, contiguous."""
    update, threads = _update(), torch.get_num_threads()
    for tensors in zip(params, gradients, first, second, strict=True):
        param, gradient, *moments = tensors
        each = (param, gradient.contiguous(), *moments)
        update(param.numel(), ctypes.byref(rates), *(tensor.data_ptr() for tensor in each), threads)
    for tensor in (*params, *first, *second):
        increment_version(tensor)  # a backward pass that needs the old values has to notice


@functools.cache
def _update() -> "ctypes._NamedFuncPointer":
    update = library().trm_adam_atan2
    update.argtypes = [ctypes.c_int64, ctypes.POINTER(Rates), *[ctypes.c_void_p] * 4, ctypes.c_int64]
    update.restype = None
    return update

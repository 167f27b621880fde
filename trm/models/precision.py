"""Which number types a device computes in: bfloat16 pays on CUDA and costs tenfold on a CPU."""

import ctypes
import functools
import logging

import torch

from trm.config.run import ModelConfig, RunConfig, TrainingConfig
from trm.errors import ResourceError
from trm.kernels.build import library, why_missing

MALLOPT = {-1: 1 << 30, -3: 1 << 25}
"""glibc: M_TRIM_THRESHOLD, bytes that may lie free at the heap's end; M_MMAP_THRESHOLD, at its greatest."""
CONTEXT_BYTES = 600 * 2**20
"""About what a process takes of a GPU's memory before its first tensor."""
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def forward_dtype(config: ModelConfig, device: torch.device | str) -> torch.dtype:
    """Type of activations on `device`; `auto` is bfloat16 on CUDA and float32 elsewhere."""
    if config.forward_dtype != "auto":
        return DTYPES[config.forward_dtype]
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def set_products(config: ModelConfig, device: torch.device | str) -> None:
    """Has float32 products on CUDA round their factors to TF32 (10 bits of 23) only where `forward_dtype` is `tf32`.

    Process-wide, and said anew for every network: the environment or a library may have chosen otherwise. A CPU is left alone.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("high" if config.forward_dtype == "tf32" else "highest")


def weight_dtype(forward: torch.dtype) -> torch.dtype:
    """Type of the weights behind activations of type `forward`: float64 for float64, else float32."""
    return torch.float64 if forward == torch.float64 else torch.float32


def loss_dtype(config: TrainingConfig, device: torch.device | str) -> torch.dtype:
    """Type of the answer loss on `device`; `auto` is float64 on the CPU and float32 on an accelerator."""
    if config.loss_dtype != "auto":
        return DTYPES[config.loss_dtype]
    return torch.float64 if torch.device(device).type == "cpu" else torch.float32


def uses_kernels(config: RunConfig, device: torch.device | str, *, is_trained: bool = False) -> bool:
    """Whether the recursion is done by `trm.kernels` on `device`; compiles them where that was never done.

    Raises ResourceError where the configuration insists on them and they cannot be had; a network that `is_trained` is taken
    to any machine, so there `fused` means `auto`.
    """
    kernels, compiles = config.training.kernels, config.training.compile is True
    if is_trained and kernels == "fused":
        kernels = "auto"
    dtype = forward_dtype(config.model, device)
    fits = torch.device(device).type == "cpu" and dtype == torch.float32 and not compiles
    if kernels == "plain" or (kernels == "auto" and not fits):
        return False
    if kernels == "fused":
        if not fits:
            what = f"{torch.device(device).type}, {dtype}".replace("torch.", "") + (", compiled" if compiles else "")
            raise ResourceError(
                f"training.kernels fused is for the CPU in float32 without training.compile; this run is {what}",
                remedy="set training.kernels: auto",
            )
        library()
        return True
    if why := why_missing():
        _say_once(why)
    return why is None


@functools.cache
def _say_once(why: str) -> None:
    logging.getLogger(__name__).warning("training goes on without the fused kernels, two to three times slower: %s", why)


def training_device() -> str:
    """The device of this process: the GPU that it was given, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def limit_gpu_memory(share: float) -> None:
    """Has this process refuse itself more than its `share` of a GPU, when that is below 1: the rest is for those beside it.

    So a trial that grows too large is the one that runs out of memory. What CUDA itself takes of a process is left out of it.
    """
    if 0 < share < 1 and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(max(0.01, share - CONTEXT_BYTES / total))


def keep_freed_memory() -> bool:
    """Has this process keep freed memory for its next step instead of giving it back; True where the C library can.

    Without it glibc returns a step's activations to the system after every backward pass, and the next step's first touch
    of each page costs about 4 % of a small network's time. Process-wide, so the job calls it, not the network.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in MALLOPT.items())

"""Which number types a device computes in: bfloat16 pays on CUDA and costs tenfold on a CPU."""

import logging

import torch

from trm.config.messages import named_values
from trm.config.networks import ModelConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import ResourceError
from trm.kernels.build import library, why_missing

log = logging.getLogger(__name__)

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

    A network of which they do not do all (`RunConfig.unfused`) goes plain, which is said once.
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
    if unfused := config.unfused:
        _say_once(tuple(unfused), f"they do not do {named_values(unfused)}")
        return False
    if why := why_missing():
        _say_once(("compiler",), why)
    return why is None


_said: set[tuple[str, ...]] = set()


def _say_once(topic: tuple[str, ...], why: str) -> None:
    """Of a topic the first time: a sweep's worker trains network after network, each with another value of the same knob."""
    if topic not in _said:
        _said.add(topic)
        log.warning("training goes on without the fused kernels, two to three times slower: %s", why)

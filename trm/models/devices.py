"""Which number types a device computes in: bfloat16 pays on CUDA and costs tenfold on a CPU."""

import torch

from trm.config import ModelConfig, TrainingConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def forward_dtype(config: ModelConfig, device: torch.device | str) -> torch.dtype:
    """Type of activations on `device`; `auto` is bfloat16 on CUDA and float32 elsewhere."""
    if config.forward_dtype != "auto":
        return DTYPES[config.forward_dtype]
    return torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32


def weight_dtype(forward: torch.dtype) -> torch.dtype:
    """Type of the weights behind activations of type `forward`: float64 for float64, else float32."""
    return torch.float64 if forward == torch.float64 else torch.float32


def loss_dtype(config: TrainingConfig, device: torch.device | str) -> torch.dtype:
    """Type of the answer loss on `device`; `auto` is float64 on the CPU and float32 on an accelerator."""
    if config.loss_dtype != "auto":
        return DTYPES[config.loss_dtype]
    return torch.float64 if torch.device(device).type == "cpu" else torch.float32

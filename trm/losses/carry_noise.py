"""Noise on what slots carry from one supervision step to the next."""

from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from trm.models.halting import Carry
from trm.models.keyed_draws import CARRY, normal_quantiles, normals


class CarryNoise:
    """z + sigma N(0, 1) for every latent that is carried on."""

    def __init__(self, sigma: float, device: torch.device) -> None:
        self._sigma, self._quantiles = sigma, normal_quantiles(device)

    @torch.no_grad()
    def __call__(self, carry: Carry, keys: Int64[Tensor, " batch"]) -> Carry:
        """The carry with its noise, drawn from the rows' keys."""
        return replace(
            carry, latents={name: self._with_noise(i, value, keys) for i, (name, value) in enumerate(carry.latents.items())}
        )

    def _with_noise(self, latent: int, value: Tensor, keys: Tensor) -> Tensor:
        noise = normals(keys, CARRY + latent, (value.shape[1], value.shape[2]), self._quantiles)
        return torch.add(value, noise.to(value.dtype), alpha=self._sigma)

"""What a recursive network draws: dropout, noise along the path of a latent, and the latents that a puzzle starts from."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trm.config.blocks import RecursiveConfig
from trm.kernels.recursion import Drawn
from trm.models.keyed_draws import DROPOUT, PATH, START, dropped, normal_quantiles, normals, truncated_quantiles
from trm.models.network import Draws

MOST_LAYERS = 64
"""Blocks that a call goes through at most."""


class Noise(nn.Module):
    """The draws of a network, each a function of a row's key, the call, the block and the place."""

    normal: Tensor | None
    truncated: Tensor | None

    def __init__(self, config: RecursiveConfig, length: int) -> None:
        """Holds no weights, and tables only where they are drawn from."""
        super().__init__()
        self.config, self.size = config, (length, config.hidden_size)
        self.register_buffer("normal", normal_quantiles() if config.path_noise else None, persistent=False)
        self.register_buffer("truncated", truncated_quantiles() if config.draws_starts else None, persistent=False)

    def start(self, draws: Draws, latent: int, dtype: torch.dtype) -> Float[Tensor, "batch length width"]:
        """The start of a latent, of standard deviation 1, as the published vectors are, in every place."""
        assert self.truncated is not None, "the network draws its initial latents"
        return normals(draws.keys, START + latent, self.size, self.truncated).to(dtype)

    def for_kernels(self, draws: Draws | None) -> Drawn | None:
        """What the kernels draw of a supervision step; None where nothing is."""
        config = self.config
        if draws is None:
            return None
        dropout, path = config.dropout * draws.is_training, config.path_noise * self._is_noisy(draws)
        return Drawn(draws.keys.contiguous(), self.normal, dropout, path, (DROPOUT, MOST_LAYERS, PATH)) if dropout or path else None

    def _is_noisy(self, draws: Draws) -> bool:
        """Whether there is path noise, if the network has any."""
        return draws.is_training or self.config.path_noise_in == "always"

    def dropped(self, x: Tensor, call: int, layer: int, draws: Draws | None) -> Tensor:
        """What a block gave, (batch, length, D) or as blocks turn it, with its dropout."""
        rate = self.config.dropout
        if draws is None or not draws.is_training or not rate:
            return x
        is_gone = dropped(draws.keys, DROPOUT + call * MOST_LAYERS + layer, self.size, rate, is_turned=self.config.mlp_t)
        return x.masked_fill(is_gone, 0) * (1 / (1 - rate))

    def moved(self, old: Tensor, said: Tensor, call: int, draws: Draws | None) -> Tensor:
        """A latent after a call that said `said` (arXiv 2605.21488: z = (1 - b) z + b f(...) + sigma noise)."""
        config = self.config
        new = said if config.relaxation == 1 else torch.lerp(old, said, config.relaxation)
        if draws is None or not config.path_noise or not self._is_noisy(draws):
            return new
        assert self.normal is not None, "the network draws noise"
        noise = normals(draws.keys, PATH + call, self.size, self.normal, is_turned=config.mlp_t)
        return torch.add(new, noise.to(new.dtype), alpha=config.path_noise)

"""What an evaluation draws by itself, of any network that carries latents: other starts, and noise between supervision steps."""

import torch
from jaxtyping import Int64
from torch import Tensor

from trm.config.run import RunConfig
from trm.models.keyed_draws import CARRY, START, derived, normal_quantiles, normals, truncated_quantiles
from trm.models.network import Draws, Latents, Network

ROLLOUTS, FORMS = 1 << 16, 1 << 17
"""Numbers of the first rollout's and the first form's keys among those of a row, after all supervision steps'."""


def try_keys(keys: Int64[Tensor, " batch"], rollout: int, form: int) -> Int64[Tensor, " batch"]:
    """Keys of the rows' answers in a rollout and a form; of the first in both the rows' own."""
    keys = derived(keys, ROLLOUTS + rollout) if rollout else keys
    return derived(keys, FORMS + form) if form else keys


class EvaluationDraws:
    """The draws of a batch's rows, each a function of the row's key, the step and the place."""

    def __init__(self, config: RunConfig, keys: Int64[Tensor, " batch"] | None) -> None:
        """`keys` are None where nothing is drawn."""
        self._config, self.keys = config, keys

    def kept(self, rows: Tensor) -> "EvaluationDraws":
        """Those of some rows."""
        return EvaluationDraws(self._config, None if self.keys is None else self.keys[rows])

    def of_network(self, step: int) -> Draws | None:
        """What the network draws from at a supervision step; its own starts are those of step 0."""
        if self.keys is None or not self._config.model.draws_in_evaluation:
            return None
        return Draws(derived(self.keys, step), is_training=False)

    def starts(self, model: Network, batch_size: int) -> Latents:
        """What the rows start from: the network's own, or a normal cut at 2 sigma in every place, as `initial_latents: random`."""
        latents = model.starts(batch_size, self.of_network(0))
        if self.keys is None or self._config.evaluation.starts == "own":
            return latents
        keys, table = derived(self.keys, 0), truncated_quantiles(self.keys.device)
        return {name: _drawn(keys, START + i, value, table) for i, (name, value) in enumerate(latents.items())}

    def carried(self, latents: Latents, step: int) -> Latents:
        """The latents that are handed to `step`, with the evaluation's noise; a start has none."""
        sigma = self._config.evaluation.noise
        if self.keys is None or not sigma or step == 1:
            return latents
        keys, table = derived(self.keys, step), normal_quantiles(self.keys.device)
        return {
            name: torch.add(value, _drawn(keys, CARRY + i, value, table), alpha=sigma)
            for i, (name, value) in enumerate(latents.items())
        }


def _drawn(keys: Tensor, draw: int, like: Tensor, quantiles: Tensor) -> Tensor:
    return normals(keys, draw, (like.shape[1], like.shape[2]), quantiles).to(like.dtype)

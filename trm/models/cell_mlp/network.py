"""A recursion per cell: z = f(z, question, answer) again and again, then answer = g(z, answer). Cells meet in convolutions only."""

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from trm.config.grid_networks import CellMlpConfig
from trm.config.networks import DataShape
from trm.models import initial
from trm.models.cell_mlp.arithmetic import grid_width
from trm.models.cnn.arithmetic import REACH
from trm.models.grid_layers import Layer, tokens_as_channels
from trm.models.network import Draws, Latents, Network, Output, unhalted
from trm.models.precision import weight_dtype

START_DEVIATION = 0.1
"""Standard deviation of the vector that latents start from."""


class CellRecursion(Network):
    """An MLP on each cell's latent, question and last answer, in front of it as many convolutions as configured.

    Only the last update of the latent, and the answer after it, are differentiated. The carry holds the latent and the logits.
    """

    config: CellMlpConfig

    def __init__(self, config: CellMlpConfig, shape: DataShape, *, dtype: torch.dtype, generator: torch.Generator | None) -> None:
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        self.config, self.shape, self.dtype, self.is_fused = config, shape, dtype, False
        self.grid_width, stored = grid_width(config, shape), weight_dtype(dtype)
        width, question, answer, tokens = config.hidden_size, config.question_size, config.answer_size, shape.vocab_size

        def layer(*size: int) -> Layer:
            return Layer(*size, dtype=stored, generator=generator)

        self.convolutions = nn.ModuleList()
        if config.convolutions:
            sizes = (tokens, *(question,) * config.convolutions)
            self.convolutions.extend(layer(b, a, REACH, REACH) for a, b in itertools.pairwise(sizes))
        else:
            drawn = initial.truncated_normal_(torch.empty(tokens, question, dtype=stored), 1.0, generator)
            self.question_embedding = nn.Parameter(drawn)
            self.question_bias = nn.Parameter(torch.zeros(question, dtype=stored))
        drawn = initial.truncated_normal_(torch.empty(tokens, answer, dtype=stored), 1.0, generator)
        self.answer_embedding = nn.Parameter(drawn)
        self.update_in = layer(2 * width, width + question + answer)
        self.update_out = layer(width, 2 * width)
        self.answer_head_in = layer(width, width + answer)
        self.answer_head_out = layer(tokens, width)
        start = initial.truncated_normal_(torch.empty(width, dtype=stored), START_DEVIATION, generator)
        self.register_buffer("z_init", start)

    def initial_latents(self, batch_size: int, draws: Draws | None = None) -> Latents:
        """An answer that prefers no token, and one vector for the latents of all cells (not to be written to)."""
        start, cells = self.get_buffer("z_init").to(self.dtype), self.shape.seq_len
        nothing = torch.zeros((), dtype=self.dtype, device=start.device)
        return {"y": nothing.expand(batch_size, cells, self.shape.vocab_size), "z": start.expand(batch_size, cells, -1)}

    def forward(
        self,
        latents: Latents,
        inputs: Int[Tensor, "batch cells"],
        puzzle_rows: Float[Tensor, "batch ndim"] | None,
        draws: Draws | None = None,
    ) -> tuple[Latents, Output]:
        """One supervision step: `L_cycles` updates of the latent, then the answer."""
        question, z = self._question(inputs), latents["z"]
        last = functional.softmax(latents["y"], dim=-1) @ self.answer_embedding.to(self.dtype)
        puzzle = None if puzzle_rows is None else self.puzzle_tokens(puzzle_rows).sum(1)[:, None]
        with torch.no_grad():
            for _ in range(self.config.L_cycles - 1):
                z = self._updated(_added(z, puzzle), question, last)
        z = self._updated(_added(z, puzzle), question, last)
        logits = self.answer_head_out(functional.relu(self.answer_head_in(torch.cat((z, last), dim=-1))))
        return {"y": logits.detach(), "z": z.detach()}, unhalted(logits)

    def _question(self, inputs: Tensor) -> Tensor:
        """What a cell is asked, (batch, cells, question_size)."""
        if not len(self.convolutions):
            return functional.embedding(inputs, self.question_embedding.to(self.dtype)) + self.question_bias.to(self.dtype)
        x = tokens_as_channels(inputs, self.shape.vocab_size, self.grid_width, self.dtype)
        for convolution in self.convolutions:
            x = functional.relu(convolution(x))
        return x.flatten(2).transpose(1, 2)

    def _updated(self, *seen: Tensor) -> Tensor:
        """The latent after an update by what each cell sees."""
        updated: Tensor = self.update_out(functional.relu(self.update_in(torch.cat(seen, dim=-1))))
        return updated


def _added(z: Tensor, puzzle: Tensor | None) -> Tensor:
    return z if puzzle is None else z + puzzle

"""Several hypotheses of every puzzle, of which the one whose answer is best learns ("winner takes all", arXiv 2601.19085).

They start apart, share the answer, and differ in the other latents (where there are none, in the answer). At each supervision step
all go forward; the one of least answer loss is gone through once more, with a gradient, and its answer is what all carry on, each
with its own latents. Halting follows the winner. What is evaluated is the first alone, at the price of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.losses.loss import Work
from trm.models.halting import Carry
from trm.models.hypotheses import latent_of, own_latents
from trm.models.keyed_draws import START, derived, normals, truncated_quantiles
from trm.models.network import Draws, Latents

STARTS_STREAM = 0x72697661
"""Keeps the starts of hypotheses apart from every other use of the seed."""
FIRST_PART = 1 << 20
"""Draws of a hypothesis beside the first are a part of the row's by this number and its own."""
CHOSEN = "chosen"
"""Rows that a hypothesis was chosen for."""


@dataclass(frozen=True)
class Choice:
    """Which hypothesis of each row learns at a supervision step, and what the others came to."""

    latents: Latents
    """The winners' before the step."""
    draws: Draws | None
    """The winners'."""
    winner: Tensor
    """(batch,) int64: the number of each row's."""
    own: Mapping[str, Tensor]
    """The latents of their own of all hypotheses after the step, by the names under which slots carry them."""


class Hypotheses:
    """The hypotheses of a run whose configuration says how many."""

    def __init__(self, config: RunConfig, answer_loss: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> None:
        """`answer_loss` is of logits and labels, (batch,): what a hypothesis is chosen by."""
        self._count, self._answer_loss, self._model = config.training.hypotheses, answer_loss, config.model
        self.metrics = {f"hypothesis_{number}_wins": CHOSEN for number in range(self._count)}
        """Name of the share of rows that each hypothesis won -> what it is a share of."""
        names = [latent.name for latent in config.model.recursion.latents]
        self._own = own_latents(names)
        self._starts = None if config.model.draws_starts else self._fixed_starts(config.seed, names, device)

    def _fixed_starts(self, seed: int, names: Sequence[str], device: torch.device) -> dict[str, Tensor]:
        """A vector for every latent of its own of every hypothesis beside the first, as the network's own starts are."""
        keys = torch.from_numpy(device_keys(seed, STARTS_STREAM, torch.arange(self._count).numpy()))
        size, quantiles = (1, self._model.hidden_size), truncated_quantiles()
        drawn = {name: normals(keys, START + names.index(name), size, quantiles).to(device) for name in self._own}
        return {latent_of(name, number): drawn[name][number] for name in self._own for number in range(1, self._count)}

    def refilled(self, carry: Carry, held: Carry, work: Work, draws: Draws | None) -> Carry:
        """`carry`, which was refilled from `held`, with the latents of all hypotheses: starts in slots that took a puzzle."""
        fresh, found = held.halted[:, None, None], dict(carry.latents)
        for number in range(1, self._count):
            starts = {} if self._starts is not None else work.model.starts(len(carry.steps), self._draws_of(number, draws))
            for name in self._own:
                own = latent_of(name, number)
                start = starts[name] if self._starts is None else self._starts[own].to(held.latents[own].dtype)
                found[own] = torch.where(fresh, start, held.latents[own])
        return replace(carry, latents=found)

    @torch.no_grad()
    def choose(self, carry: Carry, work: Work, rows: Tensor | None, draws: Draws | None) -> Choice:
        """All hypotheses go forward, one after another; of each row the best wins, of equals the first."""
        losses: list[Tensor] = []
        own: dict[str, Tensor] = {}
        for number in range(self._count):
            drawn = self._draws_of(number, draws)
            new, output = work.model(self._latents_of(number, carry), carry.inputs, rows, *(() if drawn is None else (drawn,)))
            losses.append(self._answer_loss(output.logits, carry.labels))
            own |= {latent_of(name, number): new[name] for name in self._own}
        winner = torch.stack(losses).argmin(0)
        latents, chosen = self._latents_of(0, carry), draws
        for number in range(1, self._count):
            is_it = winner == number
            other, drawn = self._latents_of(number, carry), self._draws_of(number, draws)
            latents = {name: torch.where(is_it[:, None, None], other[name], value) for name, value in latents.items()}
            if chosen is not None and drawn is not None:
                chosen = chosen._replace(keys=torch.where(is_it, drawn.keys, chosen.keys))
        return Choice(latents, chosen, winner, own)

    def carried(self, carry: Carry, choice: Choice) -> Carry:
        """What slots carry on: the winner's answer, and of every hypothesis its own latents."""
        return replace(carry, latents={**carry.latents, **choice.own})

    def wins(self, winner: Tensor) -> dict[str, Tensor]:
        """Sums of the metrics, and what they are shares of."""
        won = torch.stack([winner == number for number in range(self._count)]).sum(1)
        return {**dict(zip(self.metrics, won.unbind(), strict=True)), CHOSEN: won.sum()}

    def _latents_of(self, number: int, carry: Carry) -> Latents:
        """The latents that a hypothesis goes on from, by the network's names."""
        names = [latent.name for latent in self._model.recursion.latents]
        return {name: carry.latents[latent_of(name, number) if name in self._own else name] for name in names}

    @staticmethod
    def _draws_of(number: int, draws: Draws | None) -> Draws | None:
        """The draws of a hypothesis: the first has those of the row."""
        if draws is None or not number:
            return draws
        return draws._replace(keys=derived(draws.keys, FIRST_PART + number))

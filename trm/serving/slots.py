"""A batch in which rows come and go between supervision steps: each makes its own number of them, whoever is beside it.

A slot of a tiny recursive model starts afresh by taking initial latents (`trm.models.halting`), so a row may join at any step.
What it answers is what `trm.evaluation.answers` says: the same steps on the same latents, row by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from trm.config.run import RunConfig
from trm.evaluation.draws import EvaluationDraws
from trm.evaluation.rollouts import residual_of
from trm.models.halting import wants_to_halt
from trm.models.network import Draws, Latents, Network, Output


@dataclass(frozen=True, eq=False)
class StepAnswer:
    """What a row says after a supervision step."""

    cells: UInt8[np.ndarray, " cells"]
    halting_logit: float
    residual: float | None
    """How far the latents moved in the step, where answers are chosen by it."""


@dataclass(eq=False)
class Attempt:
    """A row on its way through the network: one form and rollout of a question."""

    cells: UInt8[np.ndarray, " cells"]
    puzzle_row: Tensor | None
    """Of the puzzle embedding, (1, ndim)."""
    key: Tensor | None
    """Of what it draws, (1,); None where nothing is drawn."""
    steps: int
    """Supervision steps that it makes at most."""
    stops_halted: bool = False
    """Whether it leaves when it first wants to halt."""
    keeps_all: bool = False
    """Whether the answers of every step are kept."""
    made: int = 0
    halted_at: int | None = None
    """The step after which it first wanted to halt."""
    said: list[StepAnswer] = field(default_factory=list)
    is_cancelled: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it leaves the batch."""
        return self.made >= self.steps or self.is_cancelled or (self.stops_halted and self.halted_at is not None)


class Slots:
    """The batch: rows, the latents that they carry, and one supervision step for all of them at a time."""

    def __init__(self, model: Network, config: RunConfig, device: torch.device) -> None:
        self._model, self._config, self._device = model, config, device
        self._stops = config.model.halting.stops_evaluation
        self._has_residual = config.evaluation.select == "residual"
        self.rows: list[Attempt] = []
        self._latents: Latents = {}
        self._inputs = torch.empty(0)
        self._puzzle_rows: Tensor | None = None

    @torch.no_grad()
    def admit(self, attempts: Sequence[Attempt]) -> None:
        """They take part from the next step on."""
        if not attempts:
            return
        inputs = torch.from_numpy(np.stack([one.cells for one in attempts]).astype(np.int32)).to(self._device)
        rows = [one.puzzle_row for one in attempts if one.puzzle_row is not None]
        puzzle_rows = torch.cat(rows) if rows else None
        keys = [one.key for one in attempts if one.key is not None]
        latents = EvaluationDraws(self._config, torch.cat(keys) if keys else None).starts(self._model, len(attempts))
        for one in attempts:
            one.stops_halted |= self._stops
        if not self.rows:
            self._inputs, self._puzzle_rows, self._latents = inputs, puzzle_rows, latents
        else:
            self._inputs = torch.cat((self._inputs, inputs))
            if self._puzzle_rows is not None and puzzle_rows is not None:
                self._puzzle_rows = torch.cat((self._puzzle_rows, puzzle_rows))
            self._latents = {name: torch.cat((value, latents[name])) for name, value in self._latents.items()}
        self.rows = [*self.rows, *attempts]

    @torch.no_grad()
    def step(self) -> list[Attempt]:
        """One supervision step of every row; those that are done leave, and are given, and those that were cancelled before."""
        gone = self._leave() if any(one.is_cancelled for one in self.rows) else []
        if not self.rows:
            return gone
        given, draws = self._given()
        self._latents, output = self._model(given, self._inputs, self._puzzle_rows, *(() if draws is None else (draws,)))
        for one, wants_now in zip(self.rows, wants_to_halt(output, self._config.model).tolist(), strict=True):
            one.made += 1
            if wants_now and one.halted_at is None:
                one.halted_at = one.made
        self._tell(given, output)
        return gone + self._leave()

    def _tell(self, given: Latents, output: Output) -> None:
        """What the rows said goes to those who want it: after every step, or after their last."""
        told = [(place, one) for place, one in enumerate(self.rows) if one.keeps_all or one.is_done]
        if not told:
            return
        cells = output.logits.argmax(-1).to(torch.uint8).cpu().numpy()
        logits = output.q_halt.double().tolist()
        residuals = residual_of(given, self._latents).tolist() if self._has_residual else None
        for place, one in told:
            one.said.append(StepAnswer(cells[place], logits[place], None if residuals is None else residuals[place]))

    def clear(self) -> list[Attempt]:
        """Nobody is left; those that were."""
        left, self.rows = self.rows, []
        self._latents, self._puzzle_rows = {}, None
        return left

    def _given(self) -> tuple[Latents, Draws | None]:
        """The latents that the next step is handed, and what the network draws from in it: each row's at its own step."""
        keys = [one.key for one in self.rows if one.key is not None]
        if not keys:
            return self._latents, None
        joined = torch.cat(keys)
        made = torch.tensor([one.made for one in self.rows], device=self._device)
        given = {name: value.clone() for name, value in self._latents.items()}
        drawn, has_draws = torch.zeros_like(joined), False
        for step in sorted({one.made for one in self.rows}):
            here = (made == step).nonzero().squeeze(1)
            draws = EvaluationDraws(self._config, joined[here])
            carried = draws.carried({name: value[here] for name, value in self._latents.items()}, step + 1)
            for name, value in carried.items():
                given[name][here] = value
            if (own := draws.of_network(step + 1)) is not None:
                drawn[here], has_draws = own.keys, True
        return given, Draws(drawn, is_training=False) if has_draws else None

    def _leave(self) -> list[Attempt]:
        done = [one for one in self.rows if one.is_done]
        if not done:
            return []
        stays = [place for place, one in enumerate(self.rows) if not one.is_done]
        if not stays:
            self.clear()
            return done
        index = torch.tensor(stays, device=self._device)
        self._inputs = self._inputs[index]
        self._puzzle_rows = None if self._puzzle_rows is None else self._puzzle_rows[index]
        self._latents = {name: value[index] for name, value in self._latents.items()}
        self.rows = [self.rows[place] for place in stays]
        return done

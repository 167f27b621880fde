"""Deep supervision: right answer, right halting, one update a supervision step (arXiv 2510.04871, section 2.3)."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.distributed import Gang
from trm.losses.answer import IGNORED, CrossEntropy, answer_loss, mean_answer_loss
from trm.losses.carry_noise import CarryNoise
from trm.losses.hypotheses import Hypotheses
from trm.losses.loss import ROWS, Learned, Pass, Work
from trm.models.halting import Carry, advance, continue_target, exploration_minimum, refill
from trm.models.network import Draws, Output
from trm.models.precision import loss_dtype

DRAWS_STREAM = 0x64726177
"""Keeps what is drawn on the device in training apart from every other use of the seed."""
HALTING_WEIGHT = 0.5
"""Weight of each halting loss against the answer loss."""
EXPLORED_STEPS = 32
"""Exploration is drawn for so many steps at once: one by one, each draw would find its code and tables gone from the cache."""
ROW_SUMS = ("loss", "lm_loss", "q_halt_loss", "q_continue_loss")
"""The parts of `Losses` by their names in reports, curves and checkpoints."""
HALTED = "halted"
"""Rows that halted at a step, and have a label."""
HALTED_SUMS = ("cell_accuracy", "exact_accuracy", "q_halt_accuracy", "mean_halting_step")


@dataclass(frozen=True)
class Losses:
    """The losses of a batch as sums over its rows, and what they were judged by."""

    loss: Tensor
    """() with gradient: answer + 0.5 * (halting + continue)."""
    answer_loss: Tensor
    """() sum over rows of the mean over labelled cells."""
    halting_loss: Tensor
    """() binary cross entropy of halting against being exactly right."""
    continue_loss: Tensor | None
    """() binary cross entropy of continuing; None where it is not learned."""
    is_exact: Tensor
    """(batch,) bool: every labelled cell is right."""
    correct_cells: Tensor
    """(batch,) int64: labelled cells that are right."""
    labelled_cells: Tensor
    """(batch,) int64: cells with a label."""


def halting_loss(q: Float[Tensor, " batch"], target: Float[Tensor, " batch"] | Bool[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Binary cross entropy of the logits `q` against `target`, summed over rows."""
    return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), reduction="sum")


def supervision_loss(
    output: Output,
    labels: Int[Tensor, "batch cells"],
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
    learns_halt: bool = True,
    continue_target: Float[Tensor, " batch"] | None = None,
) -> Losses:
    """All losses of one supervision step; divide `loss` by the global batch size before the backward pass.

    Answers of earlier cycles count in it like the last; `answer_loss` is of the last alone.
    """
    is_ignored = labels == IGNORED
    labelled = (~is_ignored).sum(-1)
    correct = (output.logits.detach().argmax(-1) == labels).sum(-1)
    is_exact = correct == labelled
    answer = mean_answer_loss(output.logits, labels, is_ignored, labelled, cross_entropy=cross_entropy, dtype=dtype).sum()
    total, halting = answer, torch.zeros_like(answer)
    for logits in output.earlier:
        total = total + mean_answer_loss(logits, labels, is_ignored, labelled, cross_entropy=cross_entropy, dtype=dtype).sum()
    if learns_halt:
        halting = halting_loss(output.q_halt, is_exact)
        total = total + HALTING_WEIGHT * halting
    going_on = None
    if continue_target is not None:
        going_on = halting_loss(output.q_continue, continue_target)
        total = total + HALTING_WEIGHT * going_on
        going_on = going_on.detach()
    return Losses(total, answer.detach(), halting.detach(), going_on, is_exact, correct, labelled)


class Supervision:
    """The loss of deep supervision: one supervision step of every slot, one backward pass. Reads batches of puzzles."""

    def __init__(self, config: RunConfig, cross_entropy: CrossEntropy, device: torch.device) -> None:
        """The loss of `config`, which names no device, on `device`."""
        self.config, self.cross_entropy = config, cross_entropy
        self.dtype = loss_dtype(config.training, device)
        self.metrics: Mapping[str, str] = {**dict.fromkeys(ROW_SUMS, ROWS), **dict.fromkeys(HALTED_SUMS, HALTED)}
        self.noise = CarryNoise(config.training.carry_noise, device) if config.training.carry_noise else None
        self.hypotheses = Hypotheses(config, self.of_answers, device) if config.training.hypotheses > 1 else None
        if self.hypotheses is not None:
            self.metrics = {**self.metrics, **self.hypotheses.metrics}
        self._is_drawn = config.model.draws_in_training or self.noise is not None
        self._minimum_steps: dict[int, np.ndarray | None] = {}
        """What exploration demands of this worker's slots at the next steps, as far as it is drawn."""

    def arrays(self, item: Any, step: int, gang: Gang) -> dict[str, np.ndarray]:
        """A `Batch` of puzzles; (batch,) `minimum_steps` where exploration may demand any, `keys` where something draws."""
        found = {name: getattr(item, name) for name in ("inputs", "labels", "puzzle_identifiers")}
        if self._is_drawn:
            size = self.config.training.global_batch_size
            found["keys"] = device_keys(self.config.seed, DRAWS_STREAM, step, np.arange(size)[gang.share(size)])
        minimum = self._explored(step, gang)
        return found if minimum is None else {**found, "minimum_steps": minimum}

    def passes(self, work: Work) -> Generator[Pass, None, Learned]:
        """Fresh puzzles into halted slots, one supervision step, one backward pass."""
        given, model, choice = work.arrays, self.config.model, None
        draws = Draws(given["keys"], is_training=True) if model.draws_in_training else None
        carry = refill(work.carry, given["inputs"], given["labels"], given["puzzle_identifiers"], work.model, draws)
        rows, before = work.rows(carry.puzzle_identifiers), carry.latents
        if self.hypotheses is not None:
            choice = self.hypotheses.choose(self.hypotheses.refilled(carry, work.carry, work, draws), work, rows, draws)
            before, draws = choice.latents, choice.draws
        latents, output = work.network(before, carry.inputs, rows, *(() if draws is None else (draws,)))
        carry = advance(carry, latents, output, model, given.get("minimum_steps"))
        losses = supervision_loss(
            output,
            carry.labels,
            cross_entropy=self.cross_entropy,
            dtype=self.dtype,
            learns_halt=model.halting.learns_halt,
            continue_target=self._continue_target(work, carry, rows) if model.halting.learns_continue else None,
        )
        work.answered(work.carry.halted, carry.halted & (losses.labelled_cells > 0), losses.is_exact)
        yield Pass(losses.loss / len(carry.steps))
        sums = sums_of(losses, output.q_halt, carry.halted, carry.steps)
        if self.hypotheses is not None and choice is not None:
            carry, sums = self.hypotheses.carried(carry, choice), {**sums, **self.hypotheses.wins(choice.winner)}
        return Learned(carry if self.noise is None else self.noise(carry, given["keys"]), sums)

    def of_answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The answer loss, (batch,)."""
        return answer_loss(logits, labels, self.cross_entropy, self.dtype)

    @torch.no_grad()
    def _continue_target(self, work: Work, carry: Carry, rows: Tensor | None) -> Tensor:
        """What q_continue should have said: one more forward without draws, past the gang's wrapper, whose turn the gradient is."""
        _, output = work.model(carry.latents, carry.inputs, rows)
        return continue_target(output, carry.steps, self.config.model)

    def _explored(self, step: int, gang: Gang) -> np.ndarray | None:
        """This worker's part of the exploration at `step`, which is drawn for the slots of the whole gang."""
        if step not in self._minimum_steps:
            seed, size, model = self.config.seed, self.config.training.global_batch_size, self.config.model
            share = gang.share(size)
            drawn = {at: exploration_minimum(seed, at, size, model) for at in range(step, step + EXPLORED_STEPS)}
            self._minimum_steps = {at: None if one is None else one[share] for at, one in drawn.items()}
        return self._minimum_steps[step]


@torch.no_grad()
def sums_of(losses: Losses, q_halt: Tensor, halted: Bool[Tensor, " batch"], steps: Tensor) -> dict[str, Tensor]:
    """What training reports of one supervision step, each a sum over rows, by name; nothing waits for the device."""
    is_counted = (halted & (losses.labelled_cells > 0)).double()
    each = torch.stack(
        (
            torch.ones_like(is_counted),
            losses.correct_cells.double() / losses.labelled_cells.clamp(min=1),
            losses.is_exact.double(),
            ((q_halt >= 0) == losses.is_exact).double(),
            steps.double(),
        )
    )
    going_on = torch.zeros_like(losses.answer_loss) if losses.continue_loss is None else losses.continue_loss
    parts = (losses.loss.detach(), losses.answer_loss, losses.halting_loss, going_on)
    return dict(zip((*ROW_SUMS, HALTED, *HALTED_SUMS), (*parts, *(each @ is_counted).unbind()), strict=True))

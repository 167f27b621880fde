"""Deep supervision: right answer, right halting, one update a supervision step (arXiv 2510.04871, section 2.3)."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from trm.config.losses import StablemaxLoss, SupervisionLoss
from trm.config.networks import DataShape
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
EXPLORED_STEPS = 32
"""Exploration is drawn for so many steps at once: one by one, each draw would find its code and tables gone from the cache."""
ROW_SUMS = ("loss", "lm_loss", "q_halt_loss", "q_continue_loss")
"""The parts of `Losses` by their names in reports, curves and checkpoints."""
HALTED = "halted"
"""Rows that halted at a step, and have a label."""
HALTED_SUMS = ("cell_accuracy", "exact_accuracy", "q_halt_accuracy", "mean_halting_step")
INTERMEDIATE = "intermediate_loss"
"""The answer loss of earlier cycles, of a run that learns from them."""
METRICS = {**dict.fromkeys(ROW_SUMS, ROWS), **dict.fromkeys(HALTED_SUMS, HALTED)}
PREVIOUS = "previous_logits"
"""(batch, S, V), what a slot carries where the loss is of what an answer adds to the one before."""
PER_PASS = ("keys", "minimum_steps")
"""Arrays that every supervision step of an update has for itself."""


PLAIN = StablemaxLoss()
"""All that is added to an answer loss at its default."""


class CrossEntropies(NamedTuple):
    """What answers are judged by."""

    plain: CrossEntropy
    """Of labels as they are: what a validation calls `loss`."""
    trained: CrossEntropy
    """Of what training makes of them."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch as sums over its rows, and what they were judged by."""

    loss: Tensor
    """() with gradient: answers + halt_loss_weight (halting + continue), each row times its weight."""
    answer_loss: Tensor
    """() sum over rows of the mean over labelled cells."""
    halting_loss: Tensor
    """() binary cross entropy of halting against being exactly right."""
    continue_loss: Tensor | None
    """() binary cross entropy of continuing; None where it is not learned."""
    intermediate_loss: Tensor | None
    """() sum over rows and earlier cycles of the answer loss; None where none is read."""
    is_exact: Tensor
    """(batch,) bool: every labelled cell is right."""
    correct_cells: Tensor
    """(batch,) int64: labelled cells that are right."""
    labelled_cells: Tensor
    """(batch,) int64: cells with a label."""


def halting_loss(
    q: Float[Tensor, " batch"], target: Float[Tensor, " batch"] | Bool[Tensor, " batch"], weights: Tensor | None = None
) -> Float[Tensor, ""]:
    """Binary cross entropy of the logits `q` against `target`, summed over rows, each times its weight."""
    if weights is None:
        return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), reduction="sum")
    return functional.binary_cross_entropy_with_logits(q, target.to(q.dtype), weights.to(q.dtype), reduction="sum")


def supervision_loss(
    output: Output,
    labels: Int[Tensor, "batch cells"],
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
    learns_halt: bool = True,
    continue_target: Float[Tensor, " batch"] | None = None,
    objective: SupervisionLoss = PLAIN,
    steps: Int[Tensor, " batch"] | None = None,
    previous: Float[Tensor, "batch cells vocab"] | None = None,
) -> Losses:
    """All losses of one supervision step; divide `loss` by the global batch size before the backward pass.

    Answers of earlier cycles count in it by `objective.intermediate_weight`, of a network that answers after every cycle like the
    last. `steps` are those that each slot has made, which `objective.step_weights` needs; `previous` are the logits that each slot
    had read before, which its `answer_target` may need. What is told of the parts is not weighted.
    """
    is_ignored = labels == IGNORED
    labelled = (~is_ignored).sum(-1)
    correct = (output.logits.detach().argmax(-1) == labels).sum(-1)
    is_exact = correct == labelled
    weights = None
    if objective.step_weights:
        assert steps is not None, "weights by steps need them"
        weights = 1 + objective.step_weights * steps.to(dtype)

    *before, rows = _answer_losses(
        (*output.earlier, output.logits), labels, is_ignored, labelled, previous, cross_entropy=cross_entropy, dtype=dtype
    )
    answer, halting, intermediate = rows.sum(), rows.new_zeros(()), None
    total = answer if weights is None else (rows * weights).sum()
    for one in before:
        intermediate = one.sum() if intermediate is None else intermediate + one.sum()
        total = total + (objective.intermediate_weight or 1.0) * (one if weights is None else one * weights).sum()
    if learns_halt:
        halting = halting_loss(output.q_halt, is_exact, weights)
        total = total + objective.halt_loss_weight * halting
    going_on = None
    if continue_target is not None:
        going_on = halting_loss(output.q_continue, continue_target, weights)
        total = total + objective.halt_loss_weight * going_on
        going_on = going_on.detach()
    told = answer.detach(), halting.detach(), going_on, None if intermediate is None else intermediate.detach()
    return Losses(total, *told, is_exact, correct, labelled)


def _answer_losses(
    answers: Sequence[Tensor],
    labels: Tensor,
    is_ignored: Tensor,
    labelled: Tensor,
    previous: Tensor | None,
    *,
    cross_entropy: CrossEntropy,
    dtype: torch.dtype,
) -> list[Tensor]:
    """The answer loss of each row of each answer in turn; with `previous` of what it adds to the one read before it."""
    found = []
    for logits in answers:
        judged = logits if previous is None else logits.to(dtype) - previous.detach().to(dtype)
        found.append(mean_answer_loss(judged, labels, is_ignored, labelled, cross_entropy=cross_entropy, dtype=dtype))
        previous = None if previous is None else logits
    return found


class _Slots(NamedTuple):
    """What a supervision step begins with, of all slots or some."""

    held: Carry
    """Before halted slots took a puzzle."""
    carry: Carry
    minimum_steps: Tensor | None
    draws: Draws | None

    def part(self, rows: slice) -> "_Slots":
        """Some of them."""
        minimum = None if self.minimum_steps is None else self.minimum_steps[rows]
        draws = None if self.draws is None else self.draws._replace(keys=self.draws.keys[rows])
        return _Slots(self.held.part(rows), self.carry.part(rows), minimum, draws)


class _Made(NamedTuple):
    """What a supervision step came to."""

    carry: Carry
    sums: Mapping[str, Tensor]
    """As `Learned` has them."""
    is_labelled: Tensor
    """(batch,) bool: there is a label."""
    is_exact: Tensor
    """(batch,) bool: every labelled cell is right."""


class Supervision:
    """The loss of deep supervision: supervision steps of every slot, each learned from. Reads batches of puzzles."""

    def __init__(
        self, config: RunConfig, objective: SupervisionLoss, cross_entropies: CrossEntropies, device: torch.device
    ) -> None:
        """The loss of `config`, which names no device, on `device`."""
        self.config, self.objective, self.cross_entropies = config, objective, cross_entropies
        self.dtype = loss_dtype(config.training, device)
        self.noise = CarryNoise(config.training.carry_noise, device) if config.training.carry_noise else None
        self.hypotheses: Hypotheses | None = None
        if config.training.hypotheses > 1:
            judged = partial(answer_loss, cross_entropy=cross_entropies.trained, dtype=self.dtype)
            self.hypotheses = Hypotheses(config, judged, device)
        self._tells_inner = config.reads_cycles or config.model.recursion.answers > 1
        self.metrics: Mapping[str, str] = METRICS | ({INTERMEDIATE: ROWS} if self._tells_inner else {})
        if self.hypotheses is not None:
            self.metrics = {**self.metrics, **self.hypotheses.metrics}
        self._is_drawn = config.model.draws_in_training or self.noise is not None
        self._minimum_steps: dict[int, np.ndarray | None] = {}
        """What exploration demands of this worker's slots at the next supervision steps, as far as it is drawn."""

    def arrays(self, item: Any, step: int, gang: Gang) -> dict[str, np.ndarray]:
        """A `Batch` of puzzles; (batch,) `minimum_steps` where exploration may demand any, `keys` where something draws.

        With several supervision steps an update these two are (passes, batch).
        """
        found = {name: getattr(item, name) for name in ("inputs", "labels", "puzzle_identifiers")}
        minimum = self._by_pass(step, lambda at: self._explored(at, gang))
        if minimum is not None:
            found["minimum_steps"] = minimum
        if self._is_drawn:
            slots = np.arange(self.config.training.global_batch_size)[gang.share(self.config.training.global_batch_size)]
            keys = self._by_pass(step, lambda at: device_keys(self.config.seed, DRAWS_STREAM, at, slots))
            assert keys is not None, "keys are always drawn"
            found["keys"] = keys
        return found

    def _by_pass(self, step: int, drawn: Callable[[int], np.ndarray | None]) -> np.ndarray | None:
        """What is drawn for the supervision steps of an update, which are counted on from those of the updates before."""
        passes = self.config.training.passes_per_update
        if passes == 1:
            return drawn(step)
        found = [one for number in range(passes) if (one := drawn(step * passes + number)) is not None]
        return np.stack(found) if found else None

    def passes(self, work: Work) -> Generator[Pass, None, Learned]:
        """Fresh puzzles into halted slots, one supervision step, one backward pass; as often as an update wants them.

        A slot that halts on the way takes the puzzle that the update's batch has for it, as at the update's beginning.
        """
        passes = self.config.training.passes_per_update
        carry, sums = work.carry, list[Mapping[str, Tensor]]()
        for number in range(passes):
            given = {name: array[number] if name in PER_PASS and passes > 1 else array for name, array in work.arrays.items()}
            draws = Draws(given["keys"], is_training=True) if self.config.model.draws_in_training else None
            held = carry
            carry = refill(held, given["inputs"], given["labels"], given["puzzle_identifiers"], work.model, draws)
            made = yield from self._in_parts(work, _Slots(held, carry, given.get("minimum_steps"), draws))
            work.answered(held.halted, made.carry.halted & made.is_labelled, made.is_exact)
            carry = made.carry if self.noise is None else self.noise(made.carry, given["keys"])
            sums.append(made.sums)
        return Learned(carry, _added(sums), passes)

    def _in_parts(self, work: Work, slots: "_Slots") -> "Generator[Pass, None, _Made]":
        """One supervision step of all slots, some of them after the others where memory is short."""
        parts, count = self.config.training.micro_batches, len(slots.carry.steps)
        if parts == 1:
            return (yield from self._learned(work, slots, count))
        made: list[_Made] = []
        for first in range(0, count, count // parts):
            made.append((yield from self._learned(work, slots.part(slice(first, first + count // parts)), count)))
        is_labelled, is_exact = (
            torch.cat(values) for values in zip(*((one.is_labelled, one.is_exact) for one in made), strict=True)
        )
        return _Made(Carry.joined([one.carry for one in made]), _added([one.sums for one in made]), is_labelled, is_exact)

    def _learned(self, work: Work, slots: "_Slots", count: int) -> "Generator[Pass, None, _Made]":
        """One supervision step of these slots, of `count` in all."""
        carry, draws, model, choice = slots.carry, slots.draws, self.config.model, None
        rows, before = work.rows(carry.puzzle_identifiers), carry.latents
        if self.hypotheses is not None:
            choice = self.hypotheses.choose(self.hypotheses.refilled(carry, slots.held, work, draws), work, rows, draws)
            before, draws = choice.latents, choice.draws
        latents, output = work.network(before, carry.inputs, rows, *(() if draws is None else (draws,)))
        carry = advance(carry, latents, output, model, slots.minimum_steps)
        losses = supervision_loss(
            output,
            carry.labels,
            cross_entropy=self.cross_entropies.trained,
            dtype=self.dtype,
            learns_halt=model.halting.learns_halt,
            continue_target=self._continue_target(work, carry, rows) if model.halting.learns_continue else None,
            objective=self.objective,
            steps=carry.steps,
            previous=carry.extras.get(PREVIOUS),
        )
        yield Pass(losses.loss / (count * self.config.training.passes_per_update))
        sums = sums_of(losses, output.q_halt, carry.halted, carry.steps)
        if self._tells_inner and not output.earlier:  # a stage of a depth schedule that has none
            sums[INTERMEDIATE] = torch.zeros_like(losses.answer_loss)
        if PREVIOUS in carry.extras:
            carry = replace(carry, extras={PREVIOUS: output.logits.detach()})
        if self.hypotheses is not None and choice is not None:
            carry, sums = self.hypotheses.carried(carry, choice), {**sums, **self.hypotheses.wins(choice.winner)}
        return _Made(carry, sums, losses.labelled_cells > 0, losses.is_exact)

    def of_answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The answer loss of labels as they are, (batch,)."""
        return answer_loss(logits, labels, self.cross_entropies.plain, self.dtype)

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
    found = dict(zip((*ROW_SUMS, HALTED, *HALTED_SUMS), (*parts, *(each @ is_counted).unbind()), strict=True))
    return found if losses.intermediate_loss is None else {**found, INTERMEDIATE: losses.intermediate_loss}


def _added(sums: Sequence[Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Sums of several passes; of one they are as they are."""
    return sums[0] if len(sums) == 1 else {name: torch.stack([one[name] for one in sums]).sum(0) for name in sums[0]}


def carried(config: RunConfig, shape: DataShape, slots: int, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """What the slots of such a run carry for their loss before the first step, by name."""
    if not config.carries_answers:
        return {}
    return {PREVIOUS: torch.zeros(slots, shape.seq_len, shape.vocab_size, dtype=dtype, device=device)}

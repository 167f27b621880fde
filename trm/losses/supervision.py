"""Deep supervision: right answer, right halting, one update a supervision step (arXiv 2510.04871, section 2.3)."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trm.config.losses import SupervisionLoss
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.distributed import Gang
from trm.errors import ConfigError
from trm.losses.answer import CrossEntropy, answer_loss
from trm.losses.carry_noise import CarryNoise
from trm.losses.hypotheses import Hypotheses
from trm.losses.loss import ROWS, Learned, Pass, Work
from trm.losses.objective import supervision_loss
from trm.losses.sums import INTERMEDIATE, METRICS, added, sums_of
from trm.models.halting import Carry, advance, continue_target, exploration_minimum, refill
from trm.models.network import Draws
from trm.models.precision import loss_dtype

DRAWS_STREAM = 0x64726177
"""Keeps what is drawn on the device in training apart from every other use of the seed."""
EXPLORED_STEPS = 32
"""Exploration is drawn for so many steps at once: one by one, each draw would find its code and tables gone from the cache."""
PREVIOUS = "previous_logits"
"""(batch, S, V), what a slot carries where the loss is of what an answer adds to the one before."""
PER_PASS = ("keys", "minimum_steps")
"""Arrays that every supervision step of an update has for itself."""


class CrossEntropies(NamedTuple):
    """What answers are judged by."""

    plain: CrossEntropy
    """Of labels as they are: what a validation calls `loss`."""
    trained: CrossEntropy
    """Of what training makes of them."""


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
        return Learned(carry, added(sums), passes)

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
        return _Made(Carry.joined([one.carry for one in made]), added([one.sums for one in made]), is_labelled, is_exact)

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
            _require_inner_answers(self.config)
            sums[INTERMEDIATE] = torch.zeros_like(losses.answer_loss)
        if PREVIOUS in carry.extras:
            carry = replace(carry, extras={PREVIOUS: output.logits.detach().clone()})  # a network may carry its logits too
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


def _require_inner_answers(config: RunConfig) -> None:
    """ConfigError where every step of a run has inner answers, which its network does not give."""
    if config.reads_cycles and all((part.model.cycles or (1, 1))[0] > 1 for part in config.depth_parts):
        raise ConfigError(
            f"training.loss.intermediate_weight is of answers after each H cycle, and {config.model.architecture} has them not in "
            f"Output.earlier",
            remedy="give them where the network `reads_cycles`, as trm.models.network says, or set the weight to 0",
        )


def carried(config: RunConfig, shape: DataShape, slots: int, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """What the slots of such a run carry for their loss before the first step, by name."""
    if not config.carries_answers:
        return {}
    return {PREVIOUS: torch.zeros(slots, shape.seq_len, shape.vocab_size, dtype=dtype, device=device)}

"""Halting and the carry: a slot holds one puzzle until it halts, then takes a fresh one from the next batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import assert_never

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from trm.config.networks import ModelConfig
from trm.models.hypotheses import latent_of, own_latents
from trm.models.network import Draws, Latents, Network, Output

EXPLORATION_STREAM = 0x68616C74
"""Keeps the draws of exploration apart from every other use of the seed."""


@dataclass(frozen=True)
class Carry:
    """What the slots of a batch hold between two steps."""

    latents: Latents
    steps: Tensor
    """(batch,) int32: supervision steps made on the puzzle."""
    halted: Tensor
    """(batch,) bool: the slot takes a fresh puzzle next."""
    inputs: Tensor
    """(batch, S) integer tokens."""
    labels: Tensor
    """(batch, S) integer tokens, -100 where ignored."""
    puzzle_identifiers: Tensor
    """(batch,) integer rows of the puzzle embedding."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """What a loss carries besides, by name, (batch, ...) each; 0 where a slot takes a fresh puzzle."""

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name: the latents by theirs, the others by their field's."""
        return {**self.latents, **{name: getattr(self, name) for name in SLOT_FIELDS}, **self.extras}

    def mapped(self, change: Callable[[str, Tensor], Tensor]) -> "Carry":
        """The carry whose tensors are `change` of each name and tensor."""
        latents = {name: change(name, value) for name, value in self.latents.items()}
        extras = {name: change(name, value) for name, value in self.extras.items()}
        return Carry(latents, **{name: change(name, getattr(self, name)) for name in SLOT_FIELDS}, extras=extras)

    def part(self, rows: slice) -> "Carry":
        """Some of the slots."""
        return self.mapped(lambda _, tensor: tensor[rows])

    @staticmethod
    def joined(parts: Sequence["Carry"]) -> "Carry":
        """The slots of all parts, in order."""
        held = [part.tensors() for part in parts]
        return parts[0].mapped(lambda name, _: torch.cat([one[name] for one in held]))


SLOT_FIELDS = tuple(one.name for one in fields(Carry) if one.name not in ("latents", "extras"))
"""What the carry of every network holds beside its latents."""


def initial_carry(
    model: Network,
    batch_size: int,
    seq_len: int,
    device: torch.device | str,
    *,
    hypotheses: int = 1,
    extras: Mapping[str, Tensor] | None = None,
) -> Carry:
    """The carry before the first step: all slots count as halted; `extras` are what the loss carries, zeros."""
    empty = torch.zeros(batch_size, seq_len, dtype=torch.int32, device=device)
    latents = model.initial_latents(batch_size)
    others = [(name, number) for number in range(1, hypotheses) for name in own_latents(list(latents))]
    return Carry(
        latents={**latents, **{latent_of(name, number): latents[name] for name, number in others}},
        steps=torch.zeros(batch_size, dtype=torch.int32, device=device),
        halted=torch.ones(batch_size, dtype=torch.bool, device=device),
        inputs=empty,
        labels=empty.clone(),
        puzzle_identifiers=torch.zeros(batch_size, dtype=torch.int32, device=device),
        extras=extras or {},
    )


@torch.no_grad()
def refill(
    carry: Carry,
    inputs: Int[Tensor, "batch cells"],
    labels: Int[Tensor, "batch cells"],
    puzzle_identifiers: Int[Tensor, " batch"],
    model: Network,
    draws: Draws | None = None,
) -> Carry:
    """Halted slots hold the incoming row, step 0 and the initial latents; the others keep what they have."""
    fresh = carry.halted
    start = model.starts(fresh.shape[0], draws)
    return Carry(
        latents={name: torch.where(fresh[:, None, None], new, carry.latents[name]) for name, new in start.items()},
        steps=carry.steps.masked_fill(fresh, 0),
        halted=torch.zeros_like(fresh),
        inputs=torch.where(fresh[:, None], inputs, carry.inputs),
        labels=torch.where(fresh[:, None], labels, carry.labels),
        puzzle_identifiers=torch.where(fresh, puzzle_identifiers, carry.puzzle_identifiers),
        extras={name: value.masked_fill(fresh.view(-1, *(1,) * (value.ndim - 1)), 0) for name, value in carry.extras.items()},
    )


def advance(carry: Carry, latents: Latents, output: Output, config: ModelConfig, minimum_steps: Tensor | None) -> Carry:
    """The carry after a supervision step of training that gave `latents` and `output`."""
    steps = carry.steps + 1
    halted = decide_halts(output, steps, config, minimum_steps)
    return replace(carry, latents=latents, steps=steps, halted=halted)


@torch.no_grad()
def decide_halts(
    output: Output,
    steps: Int[Tensor, " batch"],
    config: ModelConfig,
    minimum_steps: Int[Tensor, " batch"] | None = None,
) -> Bool[Tensor, " batch"]:
    """Which slots halt in training, `steps` counting the step just made.

    Always at `halt_max_steps`; where its network stops there also when a slot wants to, unless exploration demands more steps
    (`minimum_steps`, this rank's part of `exploration_minimum`); exploration only ever delays.
    """
    halted = steps >= config.halt_max_steps
    if not config.halting.stops_training:
        return halted
    halted |= wants_to_halt(output, config)
    return halted if minimum_steps is None else halted & (steps >= minimum_steps)


def wants_to_halt(output: Output, config: ModelConfig) -> Bool[Tensor, " batch"]:
    """Which rows say that they are done, by the rule of their network."""
    match config.halting.rule:
        case "q_halt > 0":
            return output.q_halt > 0
        case "q_halt > q_continue":
            return output.q_halt > output.q_continue
        case "never":
            return torch.zeros_like(output.q_halt, dtype=torch.bool)
        case _ as never:
            assert_never(never)


def exploration_minimum(seed: int, step: int, global_batch_size: int, config: ModelConfig) -> np.ndarray | None:
    """Steps that each slot of the global batch must have made before it may halt, (global_batch_size,) int32, 0 for none.

    With probability `halt_exploration_prob` uniform in 2..halt_max_steps, drawn anew at every step and keyed by
    (seed, step, slot), so that it does not depend on ranks. None when nothing is ever demanded.
    """
    if config.halt_exploration_prob == 0 or config.halt_max_steps < 2 or not config.halting.stops_training:
        return None
    generator = np.random.Generator(np.random.Philox(key=[seed, EXPLORATION_STREAM], counter=[0, 0, 0, step]))
    explores = generator.random(global_batch_size) < config.halt_exploration_prob
    minimum = generator.integers(2, config.halt_max_steps, size=global_batch_size, endpoint=True, dtype=np.int32)
    return np.where(explores, minimum, np.int32(0))


@torch.no_grad()
def continue_target(next_output: Output, steps: Int[Tensor, " batch"], config: ModelConfig) -> Tensor:
    """What q_continue should say where it is learned: the value of going on, (batch,), from one more forward.

    sigmoid(next q_halt) at the last step, else sigmoid of the larger of the next pair.
    """
    best = torch.maximum(next_output.q_halt, next_output.q_continue)
    return torch.sigmoid(torch.where(steps >= config.halt_max_steps, next_output.q_halt, best))

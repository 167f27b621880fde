"""What the host hands to the device for a step: a batch, exploration's demands, and numbers that change from step to step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trm.data.batches.plan import Batch
from trm.models.halting import exploration_minimum
from trm.optim.adam_atan2 import Factors, factors_at
from trm.optim.schedule import lr_at, puzzle_emb_lr_at
from trm.optim.sign_sgd import RowFactors
from trm.training.state import TrainingState

AHEAD_STEPS = 32
"""Exploration is drawn for so many steps at once: one by one, each draw would find its code and tables gone from the cache."""
RATES = 6
RATES_BYTES = 8 * RATES


class Rates(NamedTuple):
    """The numbers of a step that its tensors are multiplied by: floats on a CPU; () tensors on CUDA, where recordings read them."""

    backbone: Factors
    rows: RowFactors
    average: float | Tensor
    """Share of its way to the weights that the average goes."""


@dataclass(frozen=True)
class Fresh:
    """What a step takes besides the run's state."""

    inputs: Tensor
    """(batch, S) int32."""
    labels: Tensor
    """(batch, S) int32."""
    puzzle_identifiers: Tensor
    """(batch,) int32."""
    minimum_steps: Tensor | None
    """(batch,) int32: steps that exploration demands; None when it never demands any."""
    rates: Rates


def fresh(state: TrainingState, batch: Batch) -> Fresh:
    """What the next step takes, on the device; on CUDA by one copy that the host does not wait for."""
    if state.device.type == "cuda":
        return views(state, packed(state, batch).to(state.device, non_blocking=True), batch.inputs.shape)
    minimum = _minimum_steps(state)
    arrays = (batch.inputs, batch.labels, batch.puzzle_identifiers)
    inputs, labels, identifiers = (torch.from_numpy(array) for array in arrays)
    return Fresh(inputs, labels, identifiers, None if minimum is None else torch.from_numpy(minimum), rates(state))


def packed(state: TrainingState, batch: Batch) -> Tensor:
    """The same as bytes on the host, (n,) uint8: pinned for CUDA, so that the copy needs nobody to wait for it."""
    backbone, rows, average = rates(state)
    minimum = _minimum_steps(state)
    last = np.zeros_like(batch.puzzle_identifiers) if minimum is None else minimum
    integers = np.concatenate([part.ravel() for part in (batch.inputs, batch.labels, batch.puzzle_identifiers, last)])
    made = torch.empty(RATES_BYTES + integers.nbytes, dtype=torch.uint8, pin_memory=state.device.type == "cuda")
    made[:RATES_BYTES].view(torch.float64).numpy()[:] = (*backbone, *rows, average)
    made[RATES_BYTES:].view(torch.int32).numpy()[:] = integers
    return made


def views(state: TrainingState, there: Tensor, shape: tuple[int, ...]) -> Fresh:
    """What `packed` wrote, read in place as a batch of `shape`; the rates become () tensors of the weights' type."""
    rows, cells = shape
    numbers = there[:RATES_BYTES].view(torch.float64).to(state.parameters[0].dtype).unbind()
    inputs, labels, identifiers, minimum = torch.split(there[RATES_BYTES:].view(torch.int32), [rows * cells] * 2 + [rows] * 2)
    return Fresh(
        inputs.view(rows, cells),
        labels.view(rows, cells),
        identifiers,
        None if _minimum_steps(state) is None else minimum,
        Rates(Factors(*numbers[:3]), RowFactors(*numbers[3:5]), numbers[5]),
    )


def rates(state: TrainingState) -> Rates:
    """The numbers of the next step; the learning rate is that of the step then completed."""
    optim, step = state.config.optim, state.step + 1
    lr = lr_at(step, optim, state.max_steps)
    backbone = factors_at(step, lr=lr, betas=(optim.beta1, optim.beta2), weight_decay=optim.weight_decay)
    row_lr = puzzle_emb_lr_at(step, optim, state.max_steps)
    rows = RowFactors(1.0, 0.0) if state.table_optimizer is None else state.table_optimizer.factors(row_lr)
    return Rates(backbone, rows, 0.0 if state.average is None else 1 - state.average.rate_at(step))


def _minimum_steps(state: TrainingState) -> np.ndarray | None:
    """This worker's part of the exploration at the next step, which is drawn for the slots of the whole gang."""
    if state.step not in state.minimum_steps:
        seed, size, model = state.config.seed, state.config.training.global_batch_size, state.config.model
        share = state.gang.share(size)
        drawn = {step: exploration_minimum(seed, step, size, model) for step in range(state.step, state.step + AHEAD_STEPS)}
        state.minimum_steps = {step: None if one is None else one[share] for step, one in drawn.items()}
    return state.minimum_steps[state.step]

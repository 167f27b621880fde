"""The training loop. It knows neither Tune nor Train: it steps a state, and tells a reporter."""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trm.data.plan import Batch, BatchPlan
from trm.errors import DivergedError
from trm.losses import supervision_loss
from trm.models.devices import loss_dtype
from trm.models.halting import Carry, advance, continue_target, exploration_minimum, refill
from trm.optim.schedule import lr_at, puzzle_emb_lr_at
from trm.training.failures import memory_failures
from trm.training.gang import Gang
from trm.training.reporting import SILENT, Progress, Reporter
from trm.training.state import TrainingState

FLUSH_STEPS = 16
"""An accelerator is asked for its sums every so many steps: in between the host runs ahead. A CPU is asked at every step."""


@dataclass(frozen=True)
class Trained:
    """What a call of `train` did."""

    seconds: float
    """Wall clock, the device's work included."""
    is_interrupted: bool
    """Whether a reporter asked to stop; it may have been at `until_steps`."""


def train(state: TrainingState, plan: BatchPlan, *, until_steps: int, reporter: Reporter = SILENT) -> Trained:
    """Steps `state` to `until_steps` (counted from the run's start), or to where a reporter of any worker stops it.

    Raises DivergedError when the loss is no finite number (seen at most `FLUSH_STEPS` later) and OutOfMemoryError.
    """
    flush_every = 1 if state.device.type == "cpu" else FLUSH_STEPS
    start, first = time.perf_counter(), state.step
    loss, wants_stop, stops = math.nan, False, False
    with memory_failures():
        while state.step < until_steps and not stops:
            take_step(state, plan.batch(state.step))
            wants_stop |= reporter.on_step(_progress(state, until_steps, loss, time.perf_counter() - start, first))
            is_alone_and_stops = wants_stop and state.gang.world_size == 1
            if state.step % flush_every == 0 or state.step == until_steps or is_alone_and_stops:
                loss, stops = state.metrics.flush(state.gang, wants_stop)
                if not math.isfinite(loss):
                    raise DivergedError(f"the training loss is {loss} at step {state.step}, no finite number any more")
    state.position = plan.position()
    return Trained(seconds=time.perf_counter() - start, is_interrupted=stops)


def take_step(state: TrainingState, batch: Batch) -> None:
    """One optimizer step on this worker's share of a global batch: fresh puzzles in, one supervision step, one update."""
    config = state.config
    carry = refill(
        state.carry,
        to_device(batch.inputs, state.device),
        to_device(batch.labels, state.device),
        to_device(batch.puzzle_identifiers, state.device),
        state.model,
    )
    rows = None if state.table is None else state.table.rows(carry.puzzle_identifiers, requires_grad=True)
    latents, output = state.network(carry.latents, carry.inputs, rows)
    carry = advance(carry, latents, output, config.model, _minimum_steps(state), training=True)
    losses = supervision_loss(
        output,
        carry.labels,
        kind=config.training.loss,
        dtype=loss_dtype(config.training, state.device),
        continue_target=None if config.model.no_ACT_continue else _continue_target(state, carry, rows),
    )
    (losses.total / len(carry.steps)).backward()  # type: ignore[no-untyped-call]  # a gang averages: / global batch in all
    grad_norm = _clip(state)
    _update(state, carry.puzzle_identifiers, None if rows is None else rows.grad)
    state.metrics.add(losses, output.q_halt, carry.halted, carry.steps, grad_norm)
    state.carry = carry


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """The array's values on `device`; on CUDA through pinned memory, so that the host does not wait for the stream."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _minimum_steps(state: TrainingState) -> Tensor | None:
    """This worker's part of the exploration at this step, which is drawn for the slots of the whole gang."""
    global_batch_size = state.config.training.global_batch_size
    minimum = exploration_minimum(state.config.seed, state.step, global_batch_size, state.config.model)
    return None if minimum is None else to_device(minimum[state.gang.share(global_batch_size)], state.device)


@torch.no_grad()
def _continue_target(state: TrainingState, carry: Carry, rows: Tensor | None) -> Tensor:
    """What q_continue should have said: one more forward, past the gang's wrapper, whose turn the gradient is."""
    _, output = state.model(carry.latents, carry.inputs, rows)
    return continue_target(output, carry.steps, state.config.model)


def _clip(state: TrainingState) -> Tensor:
    """The norm of the gradient before it was clipped (if it is to be)."""
    gradients = [p.grad for p in state.parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if (largest := state.config.optim.grad_clip) is not None:
        torch.nn.utils.clip_grads_with_norm_(state.parameters, largest, norm)
    return norm


def _update(state: TrainingState, identifiers: Tensor, row_gradients: Tensor | None) -> None:
    """Both optimizers and the average; the learning rate is that of the step now completed."""
    optim, step = state.config.optim, state.step + 1
    for group in state.optimizer.param_groups:
        group["lr"] = lr_at(step, optim, state.max_steps)
    state.optimizer.step()
    for parameter in state.parameters:
        parameter.grad = None
    if state.table_optimizer is not None and row_gradients is not None:
        state.table_optimizer.lr = puzzle_emb_lr_at(step, optim, state.max_steps)
        state.table_optimizer.step(*exchange_rows(state.gang, identifiers, row_gradients))
    if state.average is not None:
        state.average.update(step)
    state.step = step


def exchange_rows(gang: Gang, identifiers: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Identifiers (batch,) and gradients (batch, ndim) of all workers' slots, in global order, by one exchange.

    The identifiers travel as the bits of a first column.
    """
    if gang.world_size == 1:
        return identifiers, gradients
    integer = torch.int64 if gradients.dtype == torch.float64 else torch.int32
    packed = torch.cat((identifiers.to(integer).view(gradients.dtype)[:, None], gradients), dim=1)
    packed = gang.all_gather(packed)
    return packed[:, 0].contiguous().view(integer), packed[:, 1:]


def _progress(state: TrainingState, until_steps: int, loss: float, seconds: float, first: int) -> Progress:
    return Progress(
        step=state.step,
        until_steps=until_steps,
        train_flops=state.train_flops,
        seconds=seconds,
        steps_per_second=(state.step - first) / seconds,
        loss=loss,
        lr=lr_at(state.step, state.config.optim, state.max_steps),
    )

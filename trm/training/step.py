"""One optimizer step. All but the handing over is work for the device: nothing waits for a tensor's value or decides by one."""

import torch
from torch import Tensor

from trm.data.batches.plan import Batch
from trm.distributed import Gang
from trm.losses.supervision import supervision_loss
from trm.models.halting import Carry, advance, continue_target, refill
from trm.models.precision import loss_dtype
from trm.training.state import TrainingState
from trm.training.step_inputs import Fresh, Rates, fresh


def plain_step(state: TrainingState, batch: Batch) -> None:
    """One step kernel by kernel, the host's counters included."""
    state.carry = device_step(state, fresh(state, batch))
    state.optimizer.count()
    state.step += 1


def device_step(state: TrainingState, given: Fresh) -> Carry:
    """Fresh puzzles in, one supervision step, one update in place of all that `state` holds but the carry, which is returned.

    The host's counters are left as they are.
    """
    config = state.config
    carry = refill(state.carry, given.inputs, given.labels, given.puzzle_identifiers, state.model)
    rows = None if state.table is None else state.table.rows(carry.puzzle_identifiers, requires_grad=True)
    latents, output = state.network(carry.latents, carry.inputs, rows)
    carry = advance(carry, latents, output, config.model, given.minimum_steps, training=True)
    losses = supervision_loss(
        output,
        carry.labels,
        kind=config.training.loss,
        dtype=loss_dtype(config.training, state.device),
        continue_target=None if config.model.no_ACT_continue else _continue_target(state, carry, rows),
    )
    (losses.total / len(carry.steps)).backward()  # type: ignore[no-untyped-call]  # a gang averages: / global batch in all
    grad_norm = _clip(state)
    _update(state, given.rates, carry.puzzle_identifiers, None if rows is None else rows.grad)
    state.metrics.add(losses, output.q_halt, carry.halted, carry.steps, grad_norm)
    return carry


@torch.no_grad()
def _continue_target(state: TrainingState, carry: Carry, rows: Tensor | None) -> Tensor:
    """What q_continue should have said: one more forward, past the gang's wrapper, whose turn the gradient is."""
    _, output = state.model(carry.latents, carry.inputs, rows)
    return continue_target(output, carry.steps, state.config.model)


def _clip(state: TrainingState) -> Tensor:
    """The norm of the gradient before it was clipped (if it is to be)."""
    gradients = [p.grad for p in state.parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if (largest := state.config.optim.grad_clip) is not None:
        torch.nn.utils.clip_grads_with_norm_(state.parameters, largest, norm)
    return norm


def _update(state: TrainingState, rates: Rates, identifiers: Tensor, row_gradients: Tensor | None) -> None:
    """Both optimizers and the average."""
    state.optimizer.apply(rates.backbone)
    for parameter in state.parameters:
        parameter.grad = None
    if state.table_optimizer is not None and row_gradients is not None:
        state.table_optimizer.apply(*exchange_rows(state.gang, identifiers, row_gradients), rates.rows)
    if state.average is not None:
        state.average.move(rates.average)


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

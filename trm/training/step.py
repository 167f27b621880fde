"""One optimizer step. All but the handing over is work for the device: nothing waits for a tensor's value or decides by one."""

from collections.abc import Generator

import torch
from torch import Tensor

from trm.distributed import Gang
from trm.errors import ConfigError
from trm.losses.loss import Learned, Pass, Work
from trm.models.halting import Carry
from trm.training.feed import Item
from trm.training.state import TrainingState
from trm.training.step_inputs import AVERAGE, StepInputs, fresh


def plain_step(state: TrainingState, item: Item) -> None:
    """One step kernel by kernel, the host's counters included."""
    state.carry = device_step(state, fresh(state, item))
    state.optimizer.count()
    state.step += 1


def device_step(state: TrainingState, given: StepInputs) -> Carry:
    """The passes of one update, and the update in place of all that `state` holds but the carry, which is returned.

    The host's counters are left as they are.
    """
    work = Work(
        given.arrays,
        state.carry,
        state.model,
        state.network,
        state.table,
        learns_rows=state.table_optimizer is not None,
        tally=state.tally,
    )
    with state.depths.at(state.step, state.model):
        learned = _backward(state.loss.passes(work))
    if state.tally is not None and not state.tally.is_told:
        raise ConfigError(
            f"data.difficulty weighs puzzles by their answers, which the loss {state.config.training.loss.type} does not tell",
            remedy="call work.answered in its passes, or set data.difficulty.strength: 0",
        )
    grad_norm = _clip(state)
    _update(state, given, work)
    rows = state.config.training.global_batch_size // state.gang.world_size
    state.metrics.add(rows * learned.passes, learned.sums, grad_norm)
    return learned.carry


def _backward(passes: Generator[Pass, None, Learned]) -> Learned:
    """Makes each pass backward as the loss yields it."""
    while True:
        try:
            one = next(passes)
        except StopIteration as end:
            learned: Learned = end.value
            return learned
        one.loss.backward(retain_graph=one.keeps_graph)  # type: ignore[no-untyped-call]


def _clip(state: TrainingState) -> Tensor:
    """The norm of the gradient before it was clipped (if it is to be)."""
    gradients = [p.grad for p in state.parameters if p.grad is not None]
    if not gradients:
        return torch.zeros((), device=state.device)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if (largest := state.config.optim.grad_clip) is not None:
        torch.nn.utils.clip_grads_with_norm_(state.parameters, largest, norm)
    return norm


def _update(state: TrainingState, given: StepInputs, work: Work) -> None:
    """Both optimizers and the average."""
    state.optimizer.apply(given.numbers)
    for parameter in state.parameters:
        parameter.grad = None
    touched = [(identifiers, rows.grad) for identifiers, rows in work.touched if rows.grad is not None]
    if state.table_optimizer is not None and touched:
        identifiers, gradients = (parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*touched, strict=True))
        numbers = given.numbers[state.table_optimizer.group.name]
        state.table_optimizer.apply(*exchange_rows(state.gang, identifiers, gradients), numbers)
    if state.average is not None:
        state.average.move(given.numbers[AVERAGE]["share"])


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

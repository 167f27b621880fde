"""What the host hands to the device for a step, by name: arrays that its loss reads, and numbers that change from step to step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trm.optim.optimizer import Numbers, learning_rates
from trm.optim.schedule import lr_factor
from trm.training.feed import Item
from trm.training.state import TrainingState

AVERAGE = "average"
"""Name of the weight average's numbers, of which `share` is the part of its way to the weights that it goes."""
ALIGNED_BYTES = 8
"""An array in a buffer starts at a multiple, so that it can be read as what it is."""


@dataclass(frozen=True)
class StepInputs:
    """What a step takes besides the run's state."""

    arrays: Mapping[str, Tensor]
    """What the loss made of the feed's item (`Loss.arrays`)."""
    numbers: Mapping[str, Numbers]
    """By the names of parameter groups, and `AVERAGE`: floats on a CPU; () tensors on CUDA, where recordings read them."""


@dataclass(frozen=True)
class Layout:
    """Where in a buffer each number and array of a step stands: the same at every step of a run."""

    numbers: tuple[tuple[str, str], ...]
    """Group and name of each float64 at the buffer's start."""
    arrays: tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]
    """Name, type and shape of each array behind them."""


def fresh(state: TrainingState, item: Item) -> StepInputs:
    """What the next step takes, on the device; on CUDA by one copy that the host does not wait for."""
    if state.device.type == "cuda":
        buffer, layout = packed(state, item)
        return views(state, buffer.to(state.device, non_blocking=True), layout)
    arrays = _arrays(state, item)
    return StepInputs({name: torch.from_numpy(array) for name, array in arrays.items()}, numbers_of(state))


def _arrays(state: TrainingState, item: Item) -> dict[str, np.ndarray]:
    """What the loss reads of the item, and where puzzles are weighed whose rows they are."""
    arrays = state.loss.arrays(item, state.step, state.gang)
    return arrays if state.tally is None else {**arrays, "groups": item.groups}


def packed(state: TrainingState, item: Item) -> tuple[Tensor, Layout]:
    """What a step needs of `item`, as bytes on the host, (n,) uint8: pinned for CUDA, so that nobody waits for the copy."""
    arrays = {name: torch.from_numpy(array) for name, array in _arrays(state, item).items()}
    numbers = {(group, name): number for group, own in numbers_of(state).items() for name, number in own.items()}
    layout = Layout(tuple(numbers), tuple((name, array.dtype, tuple(array.shape)) for name, array in arrays.items()))
    places, size = _places(layout)
    made = torch.empty(size, dtype=torch.uint8, pin_memory=state.device.type == "cuda")
    made[: ALIGNED_BYTES * len(numbers)].view(torch.float64).numpy()[:] = np.array(list(numbers.values()), dtype=np.float64)
    for array, place in zip(arrays.values(), places, strict=True):
        made[place : place + array.nbytes].view(array.dtype).view(array.shape).copy_(array)
    return made, layout


def views(state: TrainingState, buffer: Tensor, layout: Layout) -> StepInputs:
    """What `packed` wrote, read in place; the numbers become () tensors of the weights' type."""
    values = buffer[: ALIGNED_BYTES * len(layout.numbers)].view(torch.float64).to(next(state.model.parameters()).dtype).unbind()
    numbers: dict[str, dict[str, Tensor]] = {}
    for (group, name), value in zip(layout.numbers, values, strict=True):
        numbers.setdefault(group, {})[name] = value
    arrays = {}
    for (name, dtype, shape), place in zip(layout.arrays, _places(layout)[0], strict=True):
        arrays[name] = buffer[place : place + dtype.itemsize * _count(shape)].view(dtype).view(shape)
    return StepInputs(arrays, numbers)


def numbers_of(state: TrainingState) -> dict[str, dict[str, float]]:
    """The numbers of the next step; the learning rate is that of the step then completed."""
    step = state.step + 1
    share = lr_factor(step, state.config.optim, state.max_steps)
    found = {group.name: state.optimizer.numbers(group, step, lr) for group, lr in learning_rates(state.optimizer.groups, share)}
    if state.table_optimizer is not None:
        found[state.table_optimizer.group.name] = state.table_optimizer.numbers(state.table_optimizer.group.lr * share)
    if state.average is not None:
        found[AVERAGE] = {"share": 1 - state.average.rate_at(step)}
    return found


def _places(layout: Layout) -> tuple[list[int], int]:
    """Offset of every array in the buffer, and the buffer's bytes."""
    places, end = [], ALIGNED_BYTES * len(layout.numbers)
    for _, dtype, shape in layout.arrays:
        places.append(end)
        end += -(-dtype.itemsize * _count(shape) // ALIGNED_BYTES) * ALIGNED_BYTES
    return places, end


def _count(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))

"""Optimizers that keep one moving average of gradients a parameter: what SGD, Lion and Muon have in common."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trm.optim.groups import ParameterGroup
from trm.optim.optimizer import Group, Numbers

STATE = "momentum_buffer"
"""What the average of a parameter is called in a checkpoint, as by torch."""


class OneMoment:
    """p *= 1 - lr * wd; p -= lr * update(average, gradient), in groups at rates of their own.

    State of a parameter: `momentum_buffer`, as the parameter, made when it has a gradient first.
    """

    is_recordable = True

    def __init__(self, groups: Sequence[ParameterGroup], *, keeps_average: bool = True) -> None:
        """Of these parameters; one that keeps no average is handed none."""
        self._keeps_average = keeps_average
        self._own = {group.name: group for group in groups}
        self._buffers: dict[str, Tensor] = {}
        self.groups: tuple[Group, ...] = tuple(group.group for group in groups)

    def updates(self, buffers: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """New tensors to go against, at the learning rate; the averages are moved on in place."""
        raise NotImplementedError

    def numbers(self, group: Group, step: int, lr: float) -> dict[str, float]:
        """`keep`, what weight decay leaves of a parameter, and the learning rate."""
        return {"keep": 1 - lr * self._own[group.name].weight_decay, "lr": lr}

    @torch.no_grad()
    def apply(self, numbers: Mapping[str, Numbers]) -> None:
        """One update."""
        for group in self._own.values():
            moved = {name: value for name, value in group.parameters.items() if value.grad is not None}
            if not moved:
                continue
            params: list[Tensor] = list(moved.values())
            own = numbers[group.name]
            buffers = [self._buffer(name, value) for name, value in moved.items()] if self._keeps_average else []
            updates = self.updates(buffers, [p.grad for p in params if p.grad is not None])
            torch._foreach_mul_(params, own["keep"])
            torch._foreach_mul_(updates, own["lr"])
            torch._foreach_sub_(params, updates)

    def count(self) -> None:
        """Nothing: no step hangs on its number."""

    def saved(self) -> dict[str, Tensor]:
        """The averages."""
        return {f"{name}.{STATE}": buffer for name, buffer in self._buffers.items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Takes over what `saved` gave."""
        for group in self._own.values():
            for name, parameter in group.parameters.items():
                if self._keeps_average and (value := saved.get(f"{name}.{STATE}")) is not None:
                    self._buffers[name] = torch.zeros_like(parameter).copy_(value)

    def _buffer(self, name: str, parameter: Tensor) -> Tensor:
        if name not in self._buffers:
            self._buffers[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return self._buffers[name]

"""What an optimizer is to a training step: groups of parameters, each at a learning rate of its own, updated by numbers that the
host works out and the device reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from trm.errors import ConfigError

Numbers = Mapping[str, float | Tensor]
"""What the update of a step is multiplied by, by name: floats, or on CUDA () tensors that a recorded step reads anew."""
COUNTERS = ("step", "mu_product")
"""State that torch's optimizers keep as one number of a parameter: steps, and NAdam's product of momenta."""
BACKBONE = "backbone"
"""Name of the first group, whose learning rate reports show."""


@dataclass(frozen=True)
class Group:
    """Parameters that are updated at one learning rate."""

    name: str
    lr: float
    """Peak of the learning rate, of which the schedule takes a share."""


@runtime_checkable
class Optimizer(Protocol):
    """Updates every trained parameter but the puzzle embedding."""

    @property
    def groups(self) -> Sequence[Group]:
        """Groups of parameters, first the one whose learning rate is reported."""

    @property
    def is_recordable(self) -> bool:
        """Whether `apply` may stand in a CUDA graph: it reads its numbers from tensors and asks for no value."""

    def numbers(self, group: Group, step: int, lr: float) -> dict[str, float]:
        """What the update of step `step` (from 1) takes for a group at learning rate `lr`; the same names at every step."""

    def apply(self, numbers: Mapping[str, Numbers]) -> None:
        """One update of every parameter that has a gradient, by the numbers of each group; all of it the device's work."""

    def count(self) -> None:
        """The host's part of a step, which a recorded step leaves out."""

    def saved(self) -> dict[str, Tensor]:
        """Its state, `PARAMETER.KEY` -> tensor."""

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Takes over what `saved` gave; KeyError or RuntimeError where that is of other parameters."""


class TorchOptimizer:
    """An optimizer of torch's kind as `Optimizer`: each of its parameter groups is a group at a share of its own peak rate."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], names: Sequence[str] | None = None
    ) -> None:
        """`parameters` by their names; those of `optimizer` are among them. `names` of its groups, or `BACKBONE` and numbers."""
        self.optimizer, self._parameters = optimizer, dict(parameters)
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        names = names or [BACKBONE, *(f"group {number}" for number in range(1, len(rates)))]
        self.groups = tuple(Group(name, lr) for name, lr in zip(names, rates, strict=True))

    @property
    def is_recordable(self) -> bool:
        """Whether its learning rates are tensors and its steps can be captured."""
        return all(isinstance(group["lr"], Tensor) and group.get("capturable", False) for group in self.optimizer.param_groups)

    def numbers(self, group: Group, step: int, lr: float) -> dict[str, float]:
        """The learning rate."""
        return {"lr": lr}

    @torch.no_grad()
    def apply(self, numbers: Mapping[str, Numbers]) -> None:
        """One step of the optimizer at these learning rates."""
        for group, own in zip(self.groups, self.optimizer.param_groups, strict=True):
            lr = numbers[group.name]["lr"]
            if isinstance(own["lr"], Tensor):
                own["lr"].copy_(torch.as_tensor(lr))
            else:
                own["lr"] = float(lr)
        self.optimizer.step()

    def count(self) -> None:
        """Nothing: the optimizer counts for itself."""

    def saved(self) -> dict[str, Tensor]:
        """Its state, `PARAMETER.KEY` -> tensor. Raises ConfigError for state that is no tensor."""
        found: dict[str, Tensor] = {}
        for name, parameter in self._parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if value is None:
                    continue
                if not isinstance(value, Tensor):
                    raise ConfigError(
                        f"the state of an optimizer is tensors, so that a checkpoint holds it: {type(self.optimizer).__name__} "
                        f"keeps {key} as {type(value).__name__}",
                        remedy=f"keep {key} as a tensor, torch.zeros(()) for a number",
                    )
                found[f"{name}.{key}"] = value
        return found

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Takes over what `saved` gave."""
        for name, parameter in self._parameters.items():
            values = {key.removeprefix(f"{name}."): value for key, value in saved.items() if key.rpartition(".")[0] == name}
            if values:
                self.optimizer.state[parameter] = {key: self._placed(key, value, parameter) for key, value in values.items()}

    def _placed(self, key: str, value: Tensor, parameter: Tensor) -> Tensor:
        """A value of the state where its optimizer wants it: counters stay on the host, unless the device counts."""
        if key not in COUNTERS:
            return value.to(parameter, copy=True)
        is_counted_there = any(group.get("capturable") or group.get("fused") for group in self.optimizer.param_groups)
        return value.to(parameter.device, copy=True) if is_counted_there else value.clone()


def learning_rates(groups: Sequence[Group], share: float) -> list[tuple[Group, float]]:
    """Each group and its learning rate, at a share of its peak."""
    return [(group, group.lr * share) for group in groups]

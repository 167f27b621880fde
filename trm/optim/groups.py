"""Parameters in groups that are updated at one learning rate and one weight decay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from trm.config.optimizers import OptimConfig
from trm.config.parts import part_of
from trm.optim.optimizer import BACKBONE, Group


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters by name, and what they are updated with."""

    name: str
    parameters: dict[str, nn.Parameter]
    lr: float
    weight_decay: float

    @property
    def group(self) -> Group:
        """What a training step knows of it."""
        return Group(self.name, self.lr)


def grouped(config: OptimConfig, parameters: Mapping[str, nn.Parameter], *, prefix: str = "") -> list[ParameterGroup]:
    """The parameters by learning rate and weight decay, the blocks' matrices first; mostly one group.

    The first is called `BACKBONE`, others after the parts in them, all after `prefix`.
    """
    found: dict[tuple[float, float], dict[str, nn.Parameter]] = {}
    for name, parameter in sorted(parameters.items(), key=lambda item: (part_of(item[0]) != "block", item[1].dim() < 2)):
        found.setdefault(config.rates_of(name, tuple(parameter.shape)), {})[name] = parameter
    order = list(parameters)
    return [
        ParameterGroup(f"{prefix}{_parts(own) if number else BACKBONE}", {name: own[name] for name in order if name in own}, *rates)
        for number, (rates, own) in enumerate(found.items())
    ]


def for_torch(groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    """The groups as an optimizer of torch takes them."""
    return [{"params": list(one.parameters.values()), "lr": one.lr, "weight_decay": one.weight_decay} for one in groups]


def named(groups: Sequence[ParameterGroup]) -> tuple[dict[str, nn.Parameter], tuple[str, ...]]:
    """All parameters of the groups by name, and the names of the groups."""
    return {name: value for one in groups for name, value in one.parameters.items()}, tuple(one.name for one in groups)


def _parts(parameters: Mapping[str, nn.Parameter]) -> str:
    return " and ".join(dict.fromkeys(f"{part_of(name)}{' biases' if p.dim() == 1 else ''}" for name, p in parameters.items()))

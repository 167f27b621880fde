"""Landscapes without end: continuous knobs, so that no configuration comes twice, drawn from a number and with a known optimum.

Two kinds: `late` curves rise late and suddenly, as recursive models' do; `crowded` curves rise at once and end close to each other,
as on LCBench. A run's speed is its own where `slowness` says so: legs of one rung then take different times.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from benchmarks.search import synthetic
from benchmarks.search.tables import Key, Point, TableCost
from trm.config.run import RunConfig
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

Kind = Literal["late", "crowded"]
FLOPS_PER_SECOND = 1.5e10
SEEDS = tuple(range(8))
SPACE = {
    "name": "landscape",
    "data": synthetic.SPACE["data"],
    "base": synthetic.SPACE["base"],
    "search": {
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "model.L_cycles": {"type": "int", "low": 1, "high": 3},
        "model.halt_exploration_prob": {"type": "float", "low": 0.0, "high": 0.3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "optim.weight_decay": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
    },
    "budget": {"trials": 128, "per_trial": 8e10},
}


@dataclass(frozen=True)
class Course:
    """One run: how its accuracy and loss go with compute."""

    kind: Kind
    seed: int
    step_flops: float
    per_trial: float
    rise: float
    top: float
    slow: float
    """Seconds that it takes, as a multiple of what its FLOPs say."""

    def at(self, steps: int, examples: int) -> Point:
        """The run after `steps`, scored on so many examples."""
        flops = steps * self.step_flops
        share = min(1.0, flops / self.per_trial)
        draw = np.random.default_rng((self.seed, steps))
        accuracy = self.accuracy(share)
        scored = draw.binomial(examples, accuracy) / examples if accuracy >= 0.01 else 0.0
        loss = 2.0 - 1.2 * self.top / (1 + math.exp(-(math.log(share) - self.rise) / 1.0)) + draw.normal(0, 0.01)
        error = math.sqrt(scored * (1 - scored) / examples)
        return Point(steps, flops, scored, loss, error, flops / FLOPS_PER_SECOND * self.slow)

    def accuracy(self, share: float) -> float:
        """The expected score after that share of a whole trial."""
        if self.kind == "late":
            return self.top / (1 + math.exp(-(math.log(share) - self.rise) / 0.4))
        return self.top - (self.top - 0.3) * math.exp(-3.5 * (share / math.exp(self.rise)) ** 0.6)


@dataclass
class Landscape:
    """What `replay` needs of a table, of configurations that are met for the first time."""

    number: int
    kind: Kind = "late"
    slowness: float = 0.0
    """Standard deviation of the logarithm of a run's seconds."""
    examples: int = 200
    remembered: dict[str, dict[Key, Any]] = field(default_factory=dict)
    params: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.space = SearchSpace.model_validate(SPACE)
        draw = np.random.default_rng(self.number)
        self._ideal = {knob: draw.uniform(0.15, 0.85) for knob in self.space.search}
        self._weight = {knob: draw.gamma(2.0, 0.6) for knob in self.space.search} | {"optim.lr": draw.uniform(3.0, 8.0)}
        self._numbers: dict[Key, int] = {}
        self.best = max(self._truth(outer, inner) for outer in range(3) for inner in range(3))

    @property
    def curves(self) -> "Landscape":
        """Runs by (configuration, seed)."""
        return self

    def __getitem__(self, run: tuple[int, int]) -> Course:
        config, seed = run
        drawn = derived_seed(self.number, "run", *map(str, self.key(self.params[config])), seed, bits=32)
        draw = np.random.default_rng(drawn)
        rise, top = self._shape(self._distance(self.params[config]))
        rise, top = (
            rise + draw.normal(0, 0.2 if self.kind == "late" else 0.05),
            float(np.clip(top + draw.normal(0, 0.01), 0.05, 1.0)),
        )
        slow = math.exp(draw.normal(0, 1) * self.slowness)
        return Course(self.kind, drawn, self._step_flops(self.params[config]), self.space.budget.per_trial, rise, top, slow)

    def key(self, params: Mapping[str, Any]) -> Key:
        """What tells one configuration from another."""
        return tuple(params[knob] for knob in self.space.search)

    def config(self, params: Mapping[str, Any]) -> int:
        """Number of a configuration, by the order in which they are met."""
        key = self.key(params)
        if key not in self._numbers:
            self._numbers[key] = len(self.params)
            self.params.append(dict(params))
        return self._numbers[key]

    def seeds(self, config: int) -> list[int]:
        """Runs that there are of it."""
        return list(SEEDS)

    def cost_of(self, config: RunConfig) -> TableCost:
        """The cost of a configuration, for `Search`."""
        return TableCost(self._step_flops({"model.H_cycles": config.model.H_cycles, "model.L_cycles": config.model.L_cycles}))

    def regret(self, config: int | None) -> float:
        """Expected accuracy at full length that is lost by choosing `config`; by choosing nothing, all of it."""
        return self.best - (0.0 if config is None else self._expected(self._distance(self.params[config])))

    def _step_flops(self, params: Mapping[str, Any]) -> float:
        return 2.5e6 * (params["model.H_cycles"] + 2) * (params["model.L_cycles"] + 1)

    def _distance(self, params: Mapping[str, Any]) -> float:
        return sum(self._weight[knob] * (self._place(knob, params[knob]) - self._ideal[knob]) ** 2 for knob in params)

    def _place(self, path: str, value: float) -> float:
        knob: Any = self.space.search[path]
        low, high = (math.log(knob.low), math.log(knob.high)) if knob.log else (knob.low, knob.high)
        return float(((math.log(value) if knob.log else value) - low) / (high - low))

    def _truth(self, outer: int, inner: int) -> float:
        at = {"model.H_cycles": outer / 2, "model.L_cycles": inner / 2}
        return self._expected(sum(self._weight[knob] * (place - self._ideal[knob]) ** 2 for knob, place in at.items()))

    def _shape(self, distance: float) -> tuple[float, float]:
        if self.kind == "late":
            return math.log(0.3) + 0.8 * distance, 0.95 - 0.1 * distance
        return 0.3 * distance, 0.85 - 0.12 * distance

    def _expected(self, distance: float) -> float:
        rise, top = self._shape(distance)
        return Course(self.kind, 0, 1.0, 1.0, rise, max(0.05, top), 1.0).accuracy(1.0)

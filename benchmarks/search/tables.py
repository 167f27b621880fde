"""Recorded learning curves of every configuration of a small space: what a replayed sweep trains on.

A table is three files of one name in `tables/`: the space (`.yaml`, every knob a choice), the points (`.parquet`, a row a
configuration, seed and moment), how it was made (`.json`).
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from trm.config.run import RunConfig
from trm.config.step_costs import Share
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

TABLES = Path(__file__).parent / "tables"
Key = tuple[Hashable, ...]


@dataclass(frozen=True)
class TableCost:
    """What a step of a recorded configuration took."""

    step_flops: float
    params_count: int = 1
    inference_flops: float = 0.0
    memory_bytes: int = 0
    checkpoint_bytes: int = 0

    @property
    def stage_flops(self) -> tuple[Share, ...]:
        """All steps cost alike."""
        return (Share(1.0, self.step_flops),)


@dataclass(frozen=True)
class Point:
    """What was measured of a run at one moment."""

    steps: int
    train_flops: float
    accuracy: float
    loss: float
    standard_error: float
    seconds: float
    """Of training, since the run's start."""


@dataclass(frozen=True)
class Curve:
    """One run: a configuration trained with one seed; arrays over its recorded moments, growing."""

    steps: np.ndarray
    train_flops: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    seconds: np.ndarray

    def at(self, steps: int, examples: int) -> Point:
        """The run after `steps`: as recorded, or on the line between the moments around it."""
        assert self.steps[0] <= steps <= self.steps[-1], f"{steps} steps lie outside {self.steps[0]} .. {self.steps[-1]}"
        index = int(np.searchsorted(self.steps, steps))
        if self.steps[index] == steps:
            values = [float(column[index]) for column in (self.train_flops, self.accuracy, self.loss, self.seconds)]
        else:
            columns = (self.train_flops, self.accuracy, self.loss, self.seconds)
            values = [float(np.interp(steps, self.steps, column)) for column in columns]
        flops, accuracy, loss, seconds = values
        return Point(steps, flops, accuracy, loss, float(np.sqrt(accuracy * (1 - accuracy) / examples)), seconds)


@dataclass(frozen=True)
class Table:
    """Every configuration of `space`, each trained with several seeds."""

    space: SearchSpace
    params: Sequence[Mapping[str, Any]]
    """Searched path -> value, by configuration."""
    curves: Mapping[tuple[int, int], Curve]
    """(configuration, seed) -> its run."""
    noise: float
    """What a seed moves a score near the best by (one standard deviation, pooled), as a share of 1."""
    epoch_steps: int
    examples: int = 200
    """Validation examples behind a score."""
    remembered: dict[str, dict[Key, Any]] = field(default_factory=dict)
    """What parameters mean under the rules of a space: the same in every replay, and dear to find out."""
    _by_params: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_params.update({self.key(params): config for config, params in enumerate(self.params)})

    @staticmethod
    def load(path: str | Path) -> "Table":
        """The table of `path`, its three files' name with or without a suffix."""
        path = Path(path).with_suffix("")
        space, notes = load_space(path.with_suffix(".yaml")), json.loads(path.with_suffix(".json").read_text())
        columns = pq.read_table(path.with_suffix(".parquet")).to_pydict()
        rows = sorted(zip(columns["config"], columns["seed"], columns["step"], range(len(columns["step"])), strict=True))
        curves: dict[tuple[int, int], list[int]] = {}
        params: dict[int, dict[str, Any]] = {}
        for config, seed, _, row in rows:
            curves.setdefault((config, seed), []).append(row)
            params.setdefault(config, {knob: columns[knob][row] for knob in space.search if columns[knob][row] is not None})
        assert sorted(params) == list(range(len(params))), "configurations are numbered from 0"
        names = ("step", "train_flops", "exact_accuracy", "loss", "seconds")
        built = {run: Curve(*(np.array([columns[name][row] for row in taken]) for name in names)) for run, taken in curves.items()}
        return Table(
            space,
            [params[config] for config in sorted(params)],
            built,
            noise=notes["noise"],
            epoch_steps=notes["epoch_steps"],
            examples=notes.get("examples", 200),
        )

    def key(self, params: Mapping[str, Any]) -> Key:
        """What tells one configuration from another, whatever the order of the knobs."""
        return tuple(params.get(knob) for knob in self.space.search)

    def config(self, params: Mapping[str, Any]) -> int:
        """Number of the configuration."""
        return self._by_params[self.key(params)]

    def seeds(self, config: int) -> list[int]:
        """Recorded seeds of a configuration."""
        return self._seeds[config]

    def truth(self, config: int, *, without: Sequence[int] = ()) -> float:
        """Mean accuracy at full length over all recorded seeds but `without`."""
        if not without:
            return float(self.truths[config])
        return float(np.mean([self.final(config, seed) for seed in self.seeds(config) if seed not in without]))

    def final(self, config: int, seed: int) -> float:
        """Accuracy of one run at full length."""
        return float(self.curves[config, seed].accuracy[-1])

    def max_steps(self, config: int) -> int:
        """Steps of a whole run."""
        return int(self.curves[config, self.seeds(config)[0]].steps[-1])

    def recorded_steps(self, config: int) -> frozenset[int]:
        """Moments at which every run of a configuration was measured."""
        return self._recorded[config]

    def step_flops(self, config: int) -> float:
        """Training FLOPs of a step."""
        curve = self.curves[config, self.seeds(config)[0]]
        return float(curve.train_flops[-1] / curve.steps[-1])

    def regret(self, config: int | None) -> float:
        """True accuracy lost by choosing `config`; by choosing nothing, all of it."""
        return self.best - (0.0 if config is None else self.truth(config))

    @cached_property
    def truths(self) -> np.ndarray:
        """True accuracy by configuration."""
        means = [np.mean([self.final(config, seed) for seed in self.seeds(config)]) for config in range(len(self.params))]
        return np.array(means)

    @cached_property
    def best(self) -> float:
        """The highest true accuracy."""
        return float(self.truths.max())

    @cached_property
    def good(self) -> frozenset[int]:
        """Configurations whose true accuracy is within the noise of a seed of the best."""
        return frozenset(int(config) for config in np.flatnonzero(self.truths >= self.best - self.noise))

    @cached_property
    def _seeds(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for config, seed in sorted(self.curves):
            found.setdefault(config, []).append(seed)
        return found

    @cached_property
    def _recorded(self) -> list[frozenset[int]]:
        everyone = range(len(self.params))
        return [
            frozenset.intersection(*(frozenset(self.curves[config, seed].steps.tolist()) for seed in self.seeds(config)))
            for config in everyone
        ]

    def cost_of(self, config: RunConfig) -> TableCost:
        """The cost of a configuration of the space, for `Search`."""
        found = {knob: _at(config, knob) for knob in self.space.search}
        number = self._by_params.get(self.key(found))
        if number is None:  # a knob that means nothing here has its default in the configuration and no place in the key
            number = next(index for index, params in enumerate(self.params) if all(found[knob] == params[knob] for knob in params))
        return TableCost(self.step_flops(number))


class Runs:
    """Which recorded seed stands for which run of one sweep: never the same twice of a configuration while there are others."""

    def __init__(self, table: Table, sweep_seed: int) -> None:
        """Before the sweep's first run."""
        self._table, self._sweep_seed = table, sweep_seed
        self.taken: dict[int, list[int]] = {}
        """Configuration -> recorded seeds of its runs, in order."""
        self._of_trial: dict[int, Curve] = {}

    def curve(self, trial: int, config: int) -> Curve:
        """The run that is trial number `trial`, of that configuration; the same whenever it is asked."""
        if trial not in self._of_trial:
            before = self.taken.setdefault(config, [])
            seeds = self._table.seeds(config)
            order = sorted(seeds, key=lambda seed: derived_seed(self._sweep_seed, "recorded", config, seed))
            before.append(order[len(before) % len(order)])
            self._of_trial[trial] = self._table.curves[config, before[-1]]
        return self._of_trial[trial]


def _at(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = getattr(config, part)
    return config

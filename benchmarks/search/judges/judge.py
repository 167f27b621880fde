"""What a judge is: a problem on which every search tool is held to one accounting. Only numpy, so that peers' environments read it.

    judge = judges["lcbench_7593"]
    sweep = Sweep(judge, seed=3, limits=Limits(trials=25))
    run = sweep.begin({"learning_rate": 1e-3, ...})   # another configuration, or another seed of one
    run.train_to(6).score                             # pays the difference to what the run had trained
    sweep.report(run)                                 # what the tool would name as its best now
    sweep.moments[-1]                                 # trials, compute, points lost

Compute is counted in full lengths: training one typical configuration to its end. A run that is taken up again pays the difference
only, for every tool, whether or not its users could resume a checkpoint. Every run of a configuration has a seed of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

Value = float | int | str | bool
Params = Mapping[str, Value]
"""Knob -> value, of the knobs alone that are active."""


@dataclass(frozen=True)
class Knob:
    """One dimension of a judge's space."""

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 1.0
    """Both ends included."""
    is_log: bool = False
    values: tuple[Value, ...] = ()
    """Of a choice."""
    is_ordered: bool = False
    """Whether a choice's values stand in an order that means something."""
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """The knob is active where each of these knobs, all of them before it, is active and has one of these values."""

    def place(self, value: Value) -> float:
        """Where a value lies on the knob's own scale, 0 to 1; of a choice by the order of its values."""
        if self.kind == "choice":
            return self.values.index(value) / max(1, len(self.values) - 1)
        assert not isinstance(value, str), "a number"
        if self.low == self.high:
            return 0.0
        if self.is_log:
            return float(np.log(value / self.low) / np.log(self.high / self.low))
        return float((value - self.low) / (self.high - self.low))

    def at(self, place: float) -> Value:
        """The value nearest to a place, 0 to 1, on the knob's own scale."""
        place = min(1.0, max(0.0, place))
        if self.kind == "choice":
            return self.values[round(place * (len(self.values) - 1))]
        value = self.low * (self.high / self.low) ** place if self.is_log else self.low + place * (self.high - self.low)
        value = min(self.high, max(self.low, value))
        return round(value) if self.kind == "int" else float(value)

    def is_active(self, params: Params) -> bool:
        """Whether it means something beside these values."""
        return all(params.get(name) in values for name, values in self.when.items())

    def draw(self, generator: np.random.Generator) -> Value:
        """A value, uniformly on the knob's own scale."""
        if self.kind == "choice":
            return self.values[int(generator.integers(len(self.values)))]
        if self.kind == "int":
            low, high = (self.low - 0.5, self.high + 0.5)
            at = np.exp(generator.uniform(np.log(low), np.log(high))) if self.is_log else generator.uniform(low, high)
            return int(np.clip(round(float(at)), self.low, self.high))
        if self.is_log:
            return float(np.clip(np.exp(generator.uniform(np.log(self.low), np.log(self.high))), self.low, self.high))
        return float(generator.uniform(self.low, self.high))


def drawn(knobs: Sequence[Knob], generator: np.random.Generator) -> dict[str, Value]:
    """A configuration, each active knob drawn on its own scale."""
    params: dict[str, Value] = {}
    for knob in knobs:
        if knob.is_active(params):
            params[knob.name] = knob.draw(generator)
    return params


def require_inside(knobs: Sequence[Knob], params: Params) -> None:
    """AssertionError unless the knobs that are given are those that are active, each at a value of its own."""
    active = [knob for knob in knobs if knob.is_active(params)]
    assert {knob.name for knob in active} == set(params), f"active are {[knob.name for knob in active]}, given {list(params)}"
    for knob in active:
        value = params[knob.name]
        assert value in knob.values if knob.kind == "choice" else knob.low <= value <= knob.high, f"{knob.name} is {value!r}"


@dataclass(frozen=True)
class Score:
    """What a run is measured by at one moment."""

    score: float
    """The objective, larger is better, on a scale of 0 to 100 points."""
    loss: float
    """Breaks ties between equal scores; smaller is better."""
    standard_error: float = 0.0
    """Of the score, as the evaluation knows it; 0: it does not say."""


class Judge(Protocol):
    """A problem: a space, a learning curve for every configuration and seed, and the truth."""

    name: str
    family: str
    """Judges of one family are instances of one problem; figures are averaged within it first."""
    knobs: Sequence[Knob]
    epochs: int
    """Scores can be had at multiples of 1 / `epochs` of a full length."""
    noise: float
    """Points that a seed moves the final score of a good configuration by, one standard deviation."""
    best: float
    """The highest true score, in points."""
    default: Params
    """What a careful practitioner would try first; not the best."""

    def score(self, params: Params, seed: int, epoch: int) -> Score:
        """The run of that configuration and seed after so many epochs; the same whenever it is asked."""
        ...

    def truth(self, params: Params) -> float:
        """Expected final score, in points."""
        ...

    def cost(self, params: Params) -> float:
        """Compute of a run to its end, in full lengths."""
        ...


@dataclass(frozen=True)
class Limits:
    """When a sweep is over: whichever comes first."""

    trials: float = np.inf
    compute: float = np.inf
    """In full lengths."""


@dataclass(frozen=True)
class Moment:
    """Where a sweep stands after a run was trained further."""

    trials: int
    """Begun so far, confirmations apart."""
    compute: float
    """Spent so far, in full lengths; confirmations are paid too."""
    regret: float
    """Points of true score lost by what would be reported now; all of the best score while nothing would be."""
    confirmations: int = 0
    """Begun so far."""


@dataclass
class Run:
    """One configuration with one seed."""

    sweep: "Sweep"
    number: int
    params: Params
    seed: int
    epoch: int = 0
    is_confirmation: bool = False
    """Whether it trains again, with another seed, what a trial trained: paid, but no trial."""

    def train_to(self, epoch: int) -> Score:
        """Trains on to that epoch, which is paid, and scores it there; an earlier epoch is looked up and costs nothing."""
        judge = self.sweep.judge
        assert 1 <= epoch <= judge.epochs, f"{epoch} lies outside 1 .. {judge.epochs}"
        if epoch > self.epoch:
            self.sweep.compute += judge.cost(self.params) * (epoch - self.epoch) / judge.epochs
            self.epoch = epoch
        return judge.score(self.params, self.seed, epoch)


@dataclass
class Sweep:
    """What a tool's sweep has begun, paid and would report."""

    judge: Judge
    seed: int
    limits: Limits
    compute: float = 0.0
    runs: list[Run] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be begun; a tool also ends by itself when it has nothing left to do."""
        return self.trials >= self.limits.trials or self.compute >= self.limits.compute

    @property
    def trials(self) -> int:
        """Begun so far, confirmations apart."""
        return len(self.runs) - self.confirmations

    @property
    def confirmations(self) -> int:
        """Begun so far."""
        return sum(run.is_confirmation for run in self.runs)

    def begin(self, params: Params, *, is_confirmation: bool = False) -> Run:
        """A trial begins, or a run that trains again what one trained, with another seed."""
        require_inside(self.judge.knobs, params)
        number = len(self.runs)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        self.runs.append(Run(self, number, dict(params), seed, is_confirmation=is_confirmation))
        return self.runs[-1]

    def report(self, run: Run | None) -> None:
        """What the tool would report as its best now; to be called after every `train_to`."""
        best = self.judge.best
        lost = best if run is None else best - self.judge.truth(run.params)
        self.moments.append(Moment(self.trials, self.compute, float(lost), self.confirmations))

    def after(self, compute: float) -> float:
        """Regret of what was reported once so much compute was spent."""
        known = [moment.regret for moment in self.moments if moment.compute <= compute * (1 + 1e-9)]
        return known[-1] if known else self.judge.best

"""What the steps of a run take, in training FLOPs or another amount, and where an amount is reached: an integral over steps.

Most runs take as much at every step; with a depth schedule (`training.depth_schedule`) a step takes what its stage takes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

SLACK = 1e-12
"""An amount counts as reached so large a share before it: it was divided, and rounded, on its way here."""
ROUNDED = 1e-9
"""Shares are decimal fractions: a boundary so close below a whole step is that step."""

SPEED = "train/flops_per_second"
"""Under which name legs tell how fast they trained, all their workers together."""


class Share(NamedTuple):
    """A part of a run whose steps take as much as each other."""

    share: float
    """Of the run's steps."""
    each: float
    """What one of its steps takes."""


class Stage(NamedTuple):
    """Steps in a row that take as much as each other."""

    first: int
    """How many steps came before."""
    each: float
    """What one step takes."""


@dataclass(frozen=True)
class StepCosts:
    """What each step of a run takes. Sums of whole numbers below 2^53 are exact."""

    stages: tuple[Stage, ...]
    """The first begins at 0, the last never ends: a run that goes on beyond its length goes on as it ended."""

    @staticmethod
    def constant(each: float) -> "StepCosts":
        """Every step takes as much."""
        return StepCosts((Stage(0, each),))

    @staticmethod
    def of(shares: Sequence[Share], length: int) -> "StepCosts":
        """Costs of a run of `length` steps that is divided so; a share that is too small for a step has none."""
        firsts = [0, *boundaries([one.share for one in shares], length), length]
        found = [
            Stage(first, one.each)
            for one, (first, following) in zip(shares, pairwise(firsts), strict=True)
            if following > first or one is shares[-1]
        ]
        return StepCosts(tuple(found))

    @property
    def first(self) -> float:
        """What the first step takes."""
        return self.stages[0].each

    @property
    def last(self) -> float:
        """What the last step takes, and each beyond it."""
        return self.stages[-1].each

    @property
    def most(self) -> float:
        """What the dearest step takes."""
        return max(stage.each for stage in self.stages)

    def mean(self, last: int, first: int = 0) -> float:
        """What one of the steps after `first` up to `last` takes in the mean; there must be some."""
        return self.first if len(self.stages) == 1 else self.between(first, last) / (last - first)

    def at(self, step: int) -> float:
        """What the step takes that is made after `step` others."""
        return next((stage.each for stage in reversed(self.stages) if stage.first <= step), self.first)

    def counts(self, first: int, last: int) -> list[tuple[float, int]]:
        """What one takes and how many there are, stage by stage, of the steps after `first` up to `last`."""
        found = []
        for number, stage in enumerate(self.stages):
            begins = first if number == 0 else max(first, stage.first)
            ends = last if stage is self.stages[-1] else min(last, self.stages[number + 1].first)
            if ends > begins:
                found.append((stage.each, ends - begins))
        return found

    def between(self, first: int, last: int) -> float:
        """What the steps after `first` up to `last` take; 0 where there are none."""
        return sum((count * each for each, count in self.counts(first, last)), 0.0)

    def up_to(self, step: int) -> float:
        """What a run has taken when it has made `step` steps."""
        return self.between(0, step)

    def steps_for(self, amount: float, *, slack: float = 0.0) -> int:
        """The fewest steps, at least 1, that take `amount`, or all of it but a share of `slack`."""
        least = amount * (1 - slack)
        if len(self.stages) == 1 or self.up_to(self.stages[1].first) >= least:
            return max(1, math.ceil(amount / self.first * (1 - slack)))
        taken, stage = max((before, stage) for stage in self.stages[1:] if (before := self.up_to(stage.first)) < least)
        return stage.first + math.ceil((least - taken) / stage.each)

    def steps_back(self, last: int, amount: float) -> int:
        """How many of the steps up to `last` took `amount`, to the nearest; more than `last` where it is more than all took."""
        made = 0
        for number in reversed(range(len(self.stages))):
            stage = self.stages[number]
            here = last - made - stage.first
            if number == 0 or here * stage.each >= amount:
                return made + round(amount / stage.each)
            if here > 0:
                made, amount = made + here, amount - here * stage.each
        raise AssertionError("the first stage has no beginning")

    def mapped(self, change: Callable[[float], float]) -> "StepCosts":
        """The costs whose steps take `change` of what they take here."""
        return StepCosts(tuple(Stage(stage.first, change(stage.each)) for stage in self.stages))


def boundaries(shares: Sequence[float], length: int) -> list[int]:
    """Where a run of `length` steps that is divided into `shares` passes from each to the next: steps made before."""
    ends = [math.fsum(shares[: number + 1]) for number in range(len(shares) - 1)]
    return [min(length, math.floor(end * length + ROUNDED)) for end in ends]


def length_for(shares: Sequence[Share], amount: float, *, slack: float = 0.0) -> int:
    """The fewest steps, at least 1, of a run that is divided so and takes `amount` in all, or but a share of `slack`."""
    if len(shares) == 1:
        return StepCosts.constant(shares[0].each).steps_for(amount, slack=slack)
    mean = mean_of(shares)
    length = max(1, math.floor((amount - sum(one.each for one in shares)) / mean))  # a boundary is off by less than a step
    while StepCosts.of(shares, length).up_to(length) < amount * (1 - slack):
        length += 1
    return length


def mean_of(shares: Sequence[Share]) -> float:
    """What a step takes in the mean of the whole run."""
    return shares[0].each if len(shares) == 1 else math.fsum(one.share * one.each for one in shares)

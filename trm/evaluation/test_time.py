"""Settings at test time of weights that are trained: depth, breadth, noise, starts and selector, as accuracy against FLOPs.

One pass of K rollouts and D steps a noise holds every smaller depth and breadth, and every selector.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.evaluation.scores import Evaluation, Measured
from trm.stats.intervals import mean_of
from trm.stats.paired import Paired, paired
from trm.stats.pareto import Fronts

GIVEN = ("noise", "starts", "select", "forms", "rollouts", "steps", "inference_flops")
"""Of a setting, what is reported beside its accuracy."""


@dataclass(frozen=True, eq=False)
class Setting:
    """How an answer may be had of the same weights, and what it scores."""

    noise: float
    starts: str
    select: str
    """By whom one answer is chosen; empty: there is one."""
    forms: int
    rollouts: int
    """In each form."""
    steps: int
    inference_flops: float
    measured: Measured
    """What it scores, puzzle by puzzle."""
    exact_accuracy: float
    """Share of rows that are exact."""

    @property
    def value(self) -> float:
        """What it scores."""
        return self.measured.value

    def against(self, plain: "Setting") -> Paired:
        """What it gains over another setting, puzzle by puzzle."""
        weights = self.measured.weights, plain.measured.weights
        return paired(self.measured.puzzles, plain.measured.puzzles, weights)

    @property
    def overrides(self) -> str:
        """What `--set` makes it."""
        given = [f"steps={self.steps}"]
        if self.forms > 1:
            given.append(f"forms={self.forms}")
        if self.rollouts > 1 or self.noise:
            given += [f"noise={self.noise:g}", f"starts={self.starts}", f"rollouts={self.rollouts}"]
        if self.select:
            given.append(f"select={self.select}")
        return " ".join(f"--set evaluation.{one}" for one in given)

    def report(self) -> dict[str, Any]:
        """JSON: how the answer is had, its exactness, and the interval of what it scores."""
        own = {name: getattr(self, name) for name in GIVEN}
        ends = (end if math.isfinite(end) else self.value for end in (self.measured.low, self.measured.high))
        return own | {"exact_accuracy": self.exact_accuracy, **dict(zip(("low", "high"), ends, strict=True))}


def plain_settings(curve: Evaluation, step_flops: float) -> list[Setting]:
    """One answer a puzzle without noise, after each step of a curve."""
    return [
        Setting(0.0, "own", "", 1, 1, one.step, one.step * step_flops, one.measured, one.evaluation.metrics["exact_accuracy"])
        for one in curve.curve
    ]


def rolled_settings(found: Evaluation, noise: float, starts: str, step_flops: float) -> list[Setting]:
    """Every depth, breadth and selector of one pass with rollouts or forms."""
    rows = found.puzzle_rows
    assert rows is not None
    return [
        Setting(
            noise,
            starts,
            one.select,
            one.forms,
            one.rollouts,
            one.steps,
            one.forms * one.rollouts * one.steps * step_flops,
            one.measured,
            mean_of(np.repeat(one.puzzles, rows)),
        )
        for one in found.breadth
    ]


def on_front(places: Sequence[tuple[float, float]]) -> set[int]:
    """Of (cost, inference FLOPs), less being better, those that none beats in both; of equal ones the first."""
    fronts: Fronts[int] = Fronts()
    for number, place in enumerate(places):
        fronts.add(number, place)
    firsts = {fronts.point(number): number for number in sorted(fronts[0], reverse=True)} if places else {}
    return set(firsts.values())

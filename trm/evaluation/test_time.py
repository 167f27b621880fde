"""Settings at test time of weights that are trained: depth, breadth, noise, starts and selector, as accuracy against FLOPs.

One pass of K rollouts and D steps a noise holds every smaller depth and breadth, and every selector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.evaluation.scores import Evaluation
from trm.stats.intervals import Interval, mean_of, wilson
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
    puzzles: np.ndarray
    """Share of each puzzle's rows that are exact."""
    rows: np.ndarray
    """How many rows each puzzle has."""

    @property
    def accuracy(self) -> float:
        """Share of rows that are exact."""
        return mean_of(np.repeat(self.puzzles, self.rows))

    @property
    def interval(self) -> Interval:
        """Its 95 % interval, which counts puzzles."""
        return wilson(min(1.0, self.accuracy), len(self.puzzles))

    def against(self, plain: "Setting") -> Paired:
        """What it gains over another setting, puzzle by puzzle."""
        return paired(self.puzzles, plain.puzzles, (self.rows.astype(np.float64), plain.rows.astype(np.float64)))

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
        """JSON."""
        own = {name: getattr(self, name) for name in GIVEN}
        return own | {"exact_accuracy": self.accuracy, "low": self.interval.low, "high": self.interval.high}


def plain_settings(curve: Evaluation, step_flops: float) -> list[Setting]:
    """One answer a puzzle without noise, after each step of a curve."""
    assert curve.puzzle_rows is not None
    return [
        Setting(
            0.0, "own", "", 1, 1, point.step, point.step * step_flops, point.evaluation.puzzles["exact_accuracy"], curve.puzzle_rows
        )
        for point in curve.curve
    ]


def rolled_settings(found: Evaluation, noise: float, starts: str, step_flops: float) -> list[Setting]:
    """Every depth, breadth and selector of one pass with rollouts or forms."""
    assert found.puzzle_rows is not None
    return [
        Setting(
            noise,
            starts,
            one.select,
            one.forms,
            one.rollouts,
            one.steps,
            one.forms * one.rollouts * one.steps * step_flops,
            one.puzzles,
            found.puzzle_rows,
        )
        for one in found.breadth
    ]


def on_front(places: Sequence[tuple[float, float]]) -> set[int]:
    """Of (accuracy, inference FLOPs) those that none beats in both; of equal ones the first, which draws the least."""
    fronts: Fronts[int] = Fronts()
    for number, (accuracy, flops) in enumerate(places):
        fronts.add(number, (-accuracy, flops))
    firsts = {fronts.point(number): number for number in sorted(fronts[0], reverse=True)} if places else {}
    return set(firsts.values())

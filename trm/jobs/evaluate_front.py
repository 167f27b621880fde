"""`evaluate.py --front`: depth, breadth, noise and selector at test time, as accuracy against the FLOPs of an answer."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trm.evaluation.scores import Evaluation
from trm.jobs.evaluate_table import shown
from trm.stats.intervals import Interval, mean_of, wilson
from trm.stats.paired import paired
from trm.stats.pareto import Fronts

COLUMNS = (
    "noise",
    "starts",
    "select",
    "forms",
    "rollouts",
    "steps",
    "inference_flops",
    "exact_accuracy",
    "low",
    "high",
    "is_on_front",
)


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
        own = {name: getattr(self, name) for name in COLUMNS[:7]}
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


def front_report(settings: Sequence[Setting], trained_steps: int, split: str) -> dict[str, Any]:
    """JSON: every setting, which are on the front, and what those gain over the plain answer, puzzle by puzzle.

    The plain one is without noise after as many steps as the network was trained with. The best has the highest accuracy, of equal
    ones the fewest FLOPs.
    """
    plain = min(
        (one for one in settings if one.rollouts == one.forms == 1 and not one.noise),
        key=lambda one: abs(one.steps - trained_steps),
    )
    fronts: Fronts[int] = Fronts()
    for number, one in enumerate(settings):
        fronts.add(number, (-one.accuracy, one.inference_flops))
    firsts = {fronts.point(number): number for number in sorted(fronts[0], reverse=True)}
    on_front = set(firsts.values())  # of equal ones the first, which draws the least
    points = [one.report() | {"is_on_front": number in on_front} for number, one in enumerate(settings)]
    for number in on_front:
        one = settings[number]
        weights = one.rows.astype(np.float64), plain.rows.astype(np.float64)
        points[number]["against_plain"] = asdict(paired(one.puzzles, plain.puzzles, weights))
    best = max(on_front, key=lambda number: (settings[number].accuracy, -settings[number].inference_flops))
    return {
        "plain": plain.report(),
        "best": points[best] | {"overrides": settings[best].overrides},
        "points": points,
        "note": f"the best of {len(points)} settings, chosen on {split}: score it on puzzles that did not choose it",
    }


def front_lines(front: dict[str, Any]) -> list[str]:
    """The front as a person reads it, the cheapest first."""
    names = f"{'FLOPs':>9}  {'steps':>5} {'forms':>5} {'rollouts':>8} {'noise':>6} {'select':<11}"
    lines = ["", f"  {names} exact_accuracy              against plain"]
    members = [point for point in front["points"] if point["is_on_front"]]
    for point in sorted(members, key=lambda point: point["inference_flops"]):
        value, low, high = (shown("exact_accuracy", point[name]) for name in ("exact_accuracy", "low", "high"))
        one = point["against_plain"]
        gain, least, most = (f"{100 * each:+.2f}" for each in (one["difference"], *one["interval_95"]))
        lines.append(
            f"  {point['inference_flops']:>9.3g}  {point['steps']:>5} {point['forms']:>5} {point['rollouts']:>8} "
            f"{point['noise']:>6g} {point['select']:<11} {f'{value} ({low} to {high})':<27} {gain} ({least} to {most}), "
            f"{one['higher']} better, {one['lower']} worse"
        )
    return [*lines, f"  {front['note']}", f"  {front['best']['overrides']}"]


def front_text(front: dict[str, Any]) -> str:
    """A row a setting, for a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for point in front["points"]:
        rows.writerow([point[name] for name in COLUMNS])
    return text.getvalue()

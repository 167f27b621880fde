"""`evaluate.py --front`: depth, breadth, noise and selector at test time, as accuracy against the FLOPs of an answer."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from trm.evaluation.test_time import GIVEN, Setting, on_front
from trm.tasks.metrics import shown

COLUMNS = (*GIVEN, "exact_accuracy", "low", "high", "is_on_front")
NO_GAIN = "no setting gains more than chance over the plain answer; "


def front_report(settings: Sequence[Setting], trained_steps: int, split: str) -> dict[str, Any]:
    """JSON: every setting, which are on the front, and what those gain over the plain answer, puzzle by puzzle.

    The plain one is without noise after as many steps as the network was trained with. The best has the highest accuracy, of equal
    ones the fewest FLOPs.
    """
    plain = min(
        (one for one in settings if one.rollouts == one.forms == 1 and not one.noise),
        key=lambda one: abs(one.steps - trained_steps),
    )
    front = on_front([(-one.value, one.inference_flops) for one in settings])
    points = [one.report() | {"is_on_front": number in front} for number, one in enumerate(settings)]
    for number in front:
        points[number]["against_plain"] = asdict(settings[number].against(plain))
    chance = "" if any(settings[number].against(plain).interval_95[0] > 0 for number in front) else NO_GAIN
    best = max(front, key=lambda number: (settings[number].value, -settings[number].inference_flops))
    return {
        "plain": plain.report(),
        "best": points[best] | {"overrides": settings[best].overrides},
        "points": points,
        "note": f"{chance}the best of {len(points)} settings, chosen on {split}: score it on puzzles that did not choose it",
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

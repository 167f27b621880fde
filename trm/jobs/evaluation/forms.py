"""How many symmetric forms must be asked: accuracy against their number, from one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trm.evaluation.scores import Evaluation
from trm.stats.intervals import mean_of, wilson
from trm.stats.paired import paired
from trm.tasks.metrics import shown, weights_of

EXACT = "exact_accuracy"


def forms_curve(found: Evaluation, form_flops: float) -> list[dict[str, Any]]:
    """JSON: what an evaluation with so many forms gives, for powers of two and all, and what each gains over the first alone.

    `form_flops`: FLOPs of an answer in one form, all its rollouts counted.
    """
    points = [one for one in found.breadth if one.rollouts == found.breadth[-1].rollouts]
    if not points:
        return []
    assert found.puzzle_rows is not None
    rows, last = found.puzzle_rows, points[-1]
    points = [one for one in points if one.steps == last.steps and one.select in ("", last.select)]
    weights = weights_of(EXACT, rows)
    told = []
    for one in points:
        share = min(1.0, mean_of(np.repeat(one.puzzles, rows)))
        interval = wilson(share, len(rows))
        gain = paired(one.puzzles, points[0].puzzles, (weights, weights)).figures()
        figures = {"forms": one.forms, "inference_flops": one.forms * form_flops, EXACT: share}
        told.append(figures | {"low": interval.low, "high": interval.high, "against_one": gain})
    return told


def forms_lines(curve: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a number of forms, as a person reads it."""
    lines = [] if not curve else ["", f"  {'forms':>5} {'FLOPs':>9}  {EXACT:<28} against one form"]
    for point in curve:
        value, low, high = (shown(EXACT, point[name]) for name in (EXACT, "low", "high"))
        gain = point["against_one"]
        told = (
            ""
            if point["forms"] == 1
            else f"{100 * gain['difference']:+.2f} "
            + "({:+.2f} to {:+.2f})".format(*(100 * bound for bound in gain["interval_95"]))
        )
        lines.append(f"  {point['forms']:>5} {point['inference_flops']:>9.3g}  {f'{value} ({low} to {high})':<28} {told}".rstrip())
    return lines

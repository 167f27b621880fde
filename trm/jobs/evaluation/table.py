"""The report of an evaluation as a person reads it."""

import math
from collections.abc import Mapping
from typing import Any

from trm.jobs.evaluation.votes import vote_lines
from trm.tasks.metrics import shown
from trm.terminal.command_line import duration

MOST_POINTS = 24
"""Steps of a curve in the table; the folder has all."""


def table(report: Mapping[str, Any]) -> str:
    """A line a metric, with its 95 % interval or its standard error, and a line a step of a curve."""
    metrics, errors = report["metrics"], report["standard_errors"]
    origin = (
        f"step {report['step']}, {report['train_flops']:.3g} training FLOPs" if report["step"] else "weights of another program"
    )
    lines = [
        f"{report['path']} ({origin})",
        f"{report['split']} split of {report['data']['name']}: {metrics['examples']:.0f} examples, "
        f"{'at most ' if report['stops_halted'] else ''}{report['supervision_steps']} supervision steps, "
        f"{duration(report['seconds'])}",
    ]
    if report["is_quick"]:
        lines.append(f"ONE BATCH of {metrics['predictions']:.0f} rows (--quick): it shows that all works, and is no score")
    own = report["config"]["evaluation"]
    if own["rollouts"] * own["forms"] > 1:
        drawn = f"{own['rollouts']} rollouts a puzzle (noise {own['noise']:g}, {own['starts']} starts)"
        told = [drawn] * (own["rollouts"] > 1) + [f"{own['forms']} symmetric forms"] * (own["forms"] > 1)
        lines.append(f"{', in each of '.join(told)}, chosen by {own['select']}: {report['inference_flops']:.3g} FLOPs")
    if "puzzles" in report["counts"]:
        lines.append(f"intervals and standard errors count {report['counts']['puzzles']} puzzles, not rows")
    lines += metric_lines(metrics, errors)
    return "\n".join([*lines, *vote_lines(report.get("votes")), *_curve_lines(report.get("curve", []))])


def metric_lines(metrics: Mapping[str, float], errors: Mapping[str, float]) -> list[str]:
    """A line a metric, with its 95 % interval or its standard error."""
    lines = []
    for name, value in metrics.items():
        if name.endswith(("_low", "_high")) and name.rpartition("_")[0] in metrics:
            continue
        line = f"  {name:<24}{shown(name, value):>10}"
        if f"{name}_low" in metrics:
            line += f"   95 % interval {shown(name, metrics[f'{name}_low'])} to {shown(name, metrics[f'{name}_high'])}"
        elif name in errors:
            line += f"   standard error {shown(name, errors[name])}"
        lines.append(line)
    return lines


def _curve_lines(curve: list[dict[str, Any]]) -> list[str]:
    """A line a step: FLOPs a puzzle, each share with its interval, and what stopping at the halt scores and takes."""
    if not curve:
        return []
    names = list(curve[0]["bands"])
    thinned = curve[:: -(-len(curve) // MOST_POINTS)]
    has_halts = curve[0]["halted_inference_flops"] is not None
    ends = "halted   at the halt (FLOPs)" if has_halts else "halted"
    lines = ["", f"  {'step':>4} {'FLOPs':>9}  " + "".join(f"{name:<34}" for name in names) + ends]
    for point in thinned if thinned[-1] is curve[-1] else [*thinned, curve[-1]]:
        metrics = point["metrics"]
        line = f"  {point['step']:>4} {point['inference_flops']:>9.3g}  "
        for name in names:
            low, high = (shown(name, metrics[f"{name}_{end}"]) for end in ("low", "high"))
            line += f"{shown(name, metrics[name]) + f' ({low} to {high})':<34}"
        line += f"{100 * point['halted_share']:5.1f} %"
        if has_halts:
            line += f"   {shown('exact_accuracy', metrics['exact_accuracy_halted'])} ({point['halted_inference_flops']:.3g})"
        lines.append(line)
    return lines


def finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The metrics, null where they are no finite number."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}

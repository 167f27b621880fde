"""A picture of what can be had at test time of the same weights: accuracy against the FLOPs of an answer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.pictures.canvas import BEST, FADED, PLAIN, picture
from trm.terminal.display import figure_text


def draw_test_time(
    points: Sequence[Mapping[str, Any]], plain: Mapping[str, Any], path: Path, *, title: str, metric: str = "exact_accuracy"
) -> None:
    """Write `path` (PNG), whole or not at all: every setting, the front with its intervals, and the plain answer.

    A point has inference_flops, exact_accuracy, low, high, is_on_front, forms, rollouts, steps and noise, and the value of another
    metric.
    """
    with picture(path, size=(7.5, 4.8), title=title) as figure:
        axes = figure.subplots()
        behind = [point for point in points if not point["is_on_front"]]
        front = sorted((point for point in points if point["is_on_front"]), key=lambda point: point["inference_flops"])
        axes.plot(*_places(behind), "o", color=FADED, markersize=2.5, alpha=0.6, label="settings")
        axes.plot(*_places(front), "o-", color=PLAIN, markersize=4, linewidth=1.2, label="the front")
        flops, accuracies = _places(front)
        ends = [[abs(_score(point) - point[end]) for point in front] for end in ("low", "high")]
        axes.errorbar(flops, accuracies, yerr=ends, fmt="none", ecolor=PLAIN, alpha=0.4, linewidth=1)
        axes.plot(*_places([plain]), "*", color=BEST, markersize=11, label="as it was trained")
        for point in front[:: max(1, len(front) // 8)]:
            answers = point["forms"] * point["rollouts"]
            told = f"{point['steps']} x {answers}" + (f"\nnoise {point['noise']:g}" if point["noise"] else "")
            place = (point["inference_flops"], _score(point))
            axes.annotate(told, place, textcoords="offset points", xytext=(4, -4), fontsize=7, va="top")
        prices = [point["inference_flops"] for point in points]
        ticks = [min(prices), (min(prices) * max(prices)) ** 0.5, max(prices)]
        axes.set_xscale("log")
        axes.margins(x=0.09)  # the last label stays within
        axes.minorticks_off()
        axes.set_xticks(ticks, [figure_text("inference_flops", tick) for tick in ticks])
        axes.set_xlabel("inference FLOPs a puzzle (steps x answers told)")
        axes.set_ylabel(f"{metric}, 95 % over puzzles")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _places(points: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [point["inference_flops"] for point in points], [_score(point) for point in points]


def _score(point: Mapping[str, Any]) -> float:
    return float(point.get("value", point["exact_accuracy"]))

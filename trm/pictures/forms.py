"""A picture of how many symmetric forms must be asked: accuracy against their number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.pictures.canvas import PLAIN, picture


def draw_forms(curve: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: the share of puzzles that are exact, with its interval.

    A point has forms, exact_accuracy, low, high.
    """
    with picture(path, size=(7, 4.2), title=title) as figure:
        axes = figure.subplots()
        places = list(range(len(curve)))
        axes.plot(places, [point["exact_accuracy"] for point in curve], "o-", color=PLAIN, markersize=4, linewidth=1.3)
        axes.fill_between(
            places, [point["low"] for point in curve], [point["high"] for point in curve], color=PLAIN, alpha=0.18, linewidth=0
        )
        axes.set_xticks(places, [str(point["forms"]) for point in curve])
        axes.set_xlabel("symmetric forms asked of each puzzle, itself the first")
        axes.set_ylabel("exact_accuracy, 95 % over puzzles")
        axes.grid(alpha=0.25)

"""A picture of how many augmentations must vote: pass@K against their number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.pictures.canvas import GOOD, PLAIN, picture

COLOURS = (PLAIN, GOOD)
LINES = ("-", "--")
"""The smaller K is drawn last, over what may be equal to it."""


def draw_votes(curve: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: shares of tasks with their intervals, and what other choices of augmentations give.

    A point has augmentations, for each K `pass` by task, and `other_choices`.
    """
    with picture(path, size=(7, 4.2), title=title) as figure:
        axes = figure.subplots()
        places = list(range(len(curve)))
        for line, (k, colour) in zip(LINES, reversed(list(zip(curve[0]["pass"], COLOURS, strict=True))), strict=True):
            shares = [point["pass"][k]["by_task"] for point in curve]
            axes.plot(
                places,
                [one["share"] for one in shares],
                line,
                marker="o",
                color=colour,
                markersize=3,
                linewidth=1.3,
                label=f"pass@{k}",
            )
            axes.fill_between(
                places, [one["low"] for one in shares], [one["high"] for one in shares], color=colour, alpha=0.18, linewidth=0
            )
            for place, point in zip(places, curve, strict=True):
                others = point["other_choices"][k]
                axes.plot([place] * len(others), others, "_", color=colour, markersize=9, alpha=0.5)
        axes.set_xticks(places, [str(point["augmentations"]) for point in curve])
        axes.set_xlabel("augmentations that vote beside the task as it is")
        axes.set_ylabel("share of tasks, 95 %")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)

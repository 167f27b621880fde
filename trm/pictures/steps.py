"""A picture of what more supervision steps bring: shares of puzzles against steps, and against inference FLOPs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trm.pictures.canvas import BEST, FADED, GOOD, PLAIN, TROUBLE, picture

COLOURS = (PLAIN, GOOD, TROUBLE)


def draw_steps(curve: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: shares with their intervals and how many have halted; exactness against its price.

    A point of `curve` has step, inference_flops, halted_share, halted_inference_flops, metrics, and bands, which name the shares.
    """
    steps, names = [point["step"] for point in curve], list(curve[0]["bands"])
    with picture(path, size=(11, 4.2), title=title) as figure:
        shares, price = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
        for number, name in enumerate(names):
            colour = COLOURS[number % len(COLOURS)]
            shares.plot(steps, [point["metrics"][name] for point in curve], color=colour, linewidth=1.4, label=name)
            low, high = ([point["metrics"][f"{name}_{end}"] for point in curve] for end in ("low", "high"))
            shares.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
        shares.plot(steps, [point["halted_share"] for point in curve], color=FADED, linestyle="--", label="has halted")
        shares.set_xlabel("supervision steps")
        shares.locator_params(axis="x", integer=True)
        shares.set_ylabel("share, 95 % over puzzles")
        for label, key, metric, colour in (
            ("all steps", "inference_flops", "exact_accuracy", PLAIN),
            ("stopped at the halt", "halted_inference_flops", "exact_accuracy_halted", BEST),
        ):
            points = [(point[key], point["metrics"][metric]) for point in curve if point[key] is not None]
            if points:
                price.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, linewidth=1.2, label=label)
        price.set_xlabel("inference FLOPs a puzzle")
        price.set_ylabel("exact_accuracy")
        for axes in (shares, price):
            axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))  # shares are none below 0
            axes.grid(alpha=0.25)
            axes.legend(frameon=False, fontsize=8)

"""Pictures of training: the curve of a run with its evaluations, and the curves of a sweep's trials against compute."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from trm.pictures.canvas import BEST, FADED, GOOD, PLAIN, TROUBLE, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {"loss": "training loss", "exact_accuracy": "exact, of training rows that halted"}
MOST_DRAWN = 200
"""Trials in one picture; the first ones are left out."""


def draw_run(curve: pa.Table, evaluations: Sequence[dict[str, Any]], path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: loss, accuracy, halting, learning rate and gradient against steps.

    `evaluations` are rows of `evaluations.parquet`; they are drawn as dots.
    """
    split = next((row["split"] for row in evaluations if row["split"] is not None), None)
    with picture(path, size=(11, 6.4), title=title) as figure:
        loss, accuracy, halting, rates = (figure.add_subplot(2, 2, place) for place in (1, 2, 3, 4))
        _lines(loss, curve, {"loss": PLAIN, "lm_loss": GOOD, "q_halt_loss": FADED})
        _lines(accuracy, curve, {"exact_accuracy": PLAIN, "cell_accuracy": FADED})
        _lines(halting, curve, {"mean_halting_step": PLAIN})
        _lines(rates, curve, {"grad_norm": FADED})
        other = rates.twinx()
        _lines(other, curve, {"lr": PLAIN})
        dots = ((loss, "loss", TROUBLE), (accuracy, "exact_accuracy", BEST), (accuracy, "cell_accuracy", TROUBLE))
        for axes, name, colour in dots if split is not None else ():
            steps, values = [row["step"] for row in evaluations], [row.get(name, math.nan) for row in evaluations]
            axes.plot(steps, values, "o", color=colour, markersize=4, markeredgewidth=0, label=f"{split} {name}")
        other.legend(frameon=False, fontsize=8, loc="lower right")
        for axes in (loss, accuracy, halting, rates):
            axes.set_xlabel("step")
            axes.grid(alpha=0.25)
            axes.legend(frameon=False, fontsize=8)


def draw_trials(curves: pa.Table, path: Path, *, best: int | None, title: str) -> None:
    """Write `path` (PNG): the training loss and the accuracy of halted rows against training FLOPs, a line a trial."""
    trials = sorted(set(curves["trial"].to_pylist()))[-MOST_DRAWN:]
    with picture(path, size=(11, 4.2), title=title) as figure:
        for place, (name, label) in enumerate(
            (("loss", "training loss"), ("exact_accuracy", "exact, of training rows that halted"))
        ):
            axes = figure.add_subplot(1, 2, place + 1)
            x: list[float] = []
            y: list[float] = []
            known = curves.filter(pc.is_valid(curves[name]))
            for trial in trials:
                own = known.filter(pc.equal(known["trial"], trial))
                flops, values = own["train_flops"].to_pylist(), own[name].to_pylist()
                if trial == best:
                    axes.plot(flops, values, color=BEST, linewidth=1.6, zorder=3, label=f"best: trial {trial}")
                else:  # one line for all, broken between trials
                    x += [*flops, math.nan]
                    y += [*values, math.nan]
            axes.plot(x, y, color=PLAIN, linewidth=0.8, alpha=0.6)
            axes.set_xlabel("training FLOPs of the trial")
            axes.set_ylabel(label)
            axes.grid(alpha=0.25)
            if best in trials:
                axes.legend(frameon=False, fontsize=8)


def _lines(axes: "Axes", curve: pa.Table, colours: dict[str, str]) -> None:
    """Lines over the steps that have a value: between two points no row may have halted."""
    for name, colour in colours.items():
        known = curve.filter(pc.is_valid(curve[name]))
        axes.plot(known["step"].to_pylist(), known[name].to_pylist(), color=colour, linewidth=1.2, label=name)

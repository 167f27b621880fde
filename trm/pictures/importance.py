"""Pictures of what mattered in a sweep: a bar an axis, and objective by recursion at equal compute."""

from pathlib import Path
from typing import TYPE_CHECKING

from trm.pictures.canvas import GOOD, PLAIN, picture
from trm.search.findings.importance import DERIVED, LEAST_TRIALS, Importance, RungImportance
from trm.search.order import Order
from trm.terminal.display import flops as flops_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 16
UNCLEAR = "#6b7280"
DARKER_IS_BETTER = {"max": "YlGnBu", "min": "YlGnBu_r"}
DARK_SHARE = 0.55
"""Of the colour scale, beyond which a cell's text is white."""
TOO_FEW = f"nothing can be told yet: no rung was reached by {LEAST_TRIALS} trials"


def draw_bars(found: Importance, path: Path) -> None:
    """Write `path` (PNG): a bar an axis, for the rung that tells most; without one it says why."""
    _draw_bars(found.told, path, f"{found.name}: what told the trials apart ({_where(found)})")


def draw_map(found: Importance, path: Path) -> None:
    """Write `path` (PNG): the objective by H_cycles and L_cycles at the rung that tells most; without one it says why."""
    title = f"{found.name}: {found.metric} by recursion, at equal {found.fidelity} ({_where(found)})"
    _draw_map(found, found.told, path, title)


def _where(found: Importance) -> str:
    told = found.told
    return f"{told.trials} trials at rung {told.rung}, {_amount(found, told)}" if told else f"fewer than {LEAST_TRIALS} trials"


def _say(axes: "Axes", why: str) -> None:
    """A frame in which nothing is drawn, and why."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center")


def _amount(found: Importance, told: RungImportance) -> str:
    return flops_text(told.amount) if found.fidelity == "train_flops" else f"{told.amount:g} {found.fidelity}"


def _draw_bars(told: RungImportance | None, path: Path, title: str) -> None:
    axes_of_rung = told.axes[:MOST_BARS] if told else ()
    with picture(path, size=(8, 1.2 + 0.32 * max(3, len(axes_of_rung))), title=title) as figure:
        axes = figure.add_subplot()
        if not axes_of_rung:
            _say(axes, TOO_FEW if told is None else "trials differ in nothing")
            return
        for place, axis in enumerate(axes_of_rung):
            axes.barh(place, axis.importance, color=GOOD if axis.kind == "knob" else PLAIN)
            text = f" {axis.importance:.0%}" if axis.is_clear else f" not clear ({axis.probability:.0%} likely to matter)"
            axes.text(axis.importance, place, text, va="center", fontsize=8, color="black" if axis.is_clear else UNCLEAR)
        axes.set_yticks(range(len(axes_of_rung)), [DERIVED.get(axis.name, axis.name) for axis in axes_of_rung])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(axis.importance for axis in axes_of_rung) or 1.0)
        axes.set_xlabel("share of the trials' differences in rank that it accounts for by itself, beyond chance")
        for label, color in (("a knob", GOOD), ("what knobs imply", PLAIN)):
            axes.barh([0], [0], color=color, label=label)
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _draw_map(found: Importance, told: RungImportance | None, path: Path, title: str) -> None:
    cells = told.map if told else ()
    rows, columns = (sorted({getattr(cell, name) for cell in cells}) for name in ("H_cycles", "L_cycles"))
    with picture(path, size=(max(6.5, 1.6 + 1.1 * len(columns)), 1.8 + 0.75 * max(1, len(rows))), title=title) as figure:
        axes = figure.add_subplot()
        if not cells:
            _say(axes, TOO_FEW if told is None else "no trial has both H_cycles and L_cycles")
            return
        means = [[float("nan")] * len(columns) for _ in rows]
        for cell in cells:
            means[rows.index(cell.H_cycles)][columns.index(cell.L_cycles)] = cell.mean
        image = axes.imshow(means, cmap=DARKER_IS_BETTER[found.mode], aspect="auto")
        low, high = (end(cell.mean for cell in cells) for end in (min, max))
        worst = high if Order(found.mode).is_better(low, high) else low
        for cell in cells:
            share = abs(cell.mean - worst) / (high - low or 1.0)
            is_dark = share > DARK_SHARE
            text = f"{cell.mean:.3g}\nbest {cell.best:.3g}, n {cell.trials}"
            place = columns.index(cell.L_cycles), rows.index(cell.H_cycles)
            axes.text(*place, text, ha="center", va="center", fontsize=8, color="white" if is_dark else "black")
        axes.set_xticks(range(len(columns)), [str(value) for value in columns])
        axes.set_yticks(range(len(rows)), [str(value) for value in rows])
        axes.set_xlabel("L_cycles")
        axes.set_ylabel("H_cycles")
        axes.spines[:].set_visible(False)
        figure.colorbar(image, label=f"mean {found.metric}")

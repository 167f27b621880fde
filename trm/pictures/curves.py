"""Pictures of where a sweep stands: what compute bought, and which parameters mattered."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from trm.pictures.canvas import BEST, FADED, GOOD, PLAIN, TROUBLE, picture
from trm.search.findings.confirmed import winner
from trm.search.journal.trial import Trial
from trm.search.state import SweepState
from trm.stats.best_of import Confirmed
from trm.terminal.display import flops as flops_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_PARAMETERS = 12
"""Scatter plots at most; further parameters are left out."""
COLUMNS = 4
MANY_POINTS = 1000
"""Beyond so many, looking for the emptiest corner for the legend takes seconds."""
OUTCOMES = {"finished": GOOD, "stopped": FADED, "paused": FADED, "running": PLAIN}
"""Anything else is trouble: diverged, out of memory, failed."""


def draw_curves(state: SweepState, path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: the objective against training FLOPs, a line a trial, and against each parameter."""
    scored = {trial.number: trial for trial in state.trials if trial.scores}
    paths = _worth_plotting([trial.shown_params for trial in scored.values()])
    rows, metric, found = -(-len(paths) // COLUMNS), state.space.objective.metric, winner(state)
    best = None if found is None else found.trial.number
    with picture(path, size=(12, 4.6 + 2.4 * rows), title=title) as figure:
        grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[2.0] + [1.0] * rows)
        first: Axes | None = None
        _draw_lines(figure.add_subplot(grid[0, :]), scored, best, metric)
        for index, parameter in enumerate(paths):
            axes = figure.add_subplot(grid[1 + index // COLUMNS, index % COLUMNS], sharey=first)
            first = first or axes
            _draw_scatter(axes, scored, best, parameter)
            if index % COLUMNS == 0:
                axes.set_ylabel(metric)


def draw_confirmation(rows: Sequence[Confirmed], path: Path, *, metric: str, title: str) -> None:
    """Write `path` (PNG): a line a confirmed trial, best first, with a dot a fresh seed, the mean and its 95 % interval."""
    with picture(path, size=(8, 1.4 + 0.5 * len(rows)), title=f"{title}: the best trials on fresh seeds") as figure:
        axes = figure.subplots()
        for place, row in enumerate(rows):
            colour = BEST if place == 0 else PLAIN
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2, alpha=0.5, solid_capstyle="butt")
            axes.plot(row.scores, [place] * len(row.scores), "o", color=colour, markersize=5, alpha=0.6, markeredgewidth=0)
            if row.own:
                axes.plot(row.own, [place] * len(row.own), "o", color=colour, markersize=5, alpha=0.6, fillstyle="none")
            axes.plot([row.mean], [place], "|", color=colour, markersize=16, markeredgewidth=2)
        axes.set_yticks(range(len(rows)), [f"trial {row.trial}, P(best) {row.p_best:.2f}" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        ring = ", a ring the search's own" if any(row.own for row in rows) else ""
        axes.set_xlabel(f"{metric}: a dot a fresh seed{ring}, a bar the mean, a line its 95 % interval")


def _worth_plotting(params: Sequence[dict[str, Any]]) -> list[str]:
    """Paths with more than one value among the trials, in the order in which they first appear."""
    names = dict.fromkeys(path for one in params for path in one)
    return [path for path in names if len({repr(one.get(path)) for one in params}) > 1][:MAX_PARAMETERS]


def _by_style(trials: dict[int, Trial], best: int | None) -> dict[tuple[str, int], list[Trial]]:
    """Trials that look alike, by colour and by how far in front they are drawn."""
    found: dict[tuple[str, int], list[Trial]] = {}
    for number, trial in trials.items():
        color = BEST if number == best else OUTCOMES.get(trial.status, TROUBLE)
        order = 4 if number == best else 3 if trial.status == "finished" else 2
        found.setdefault((color, order), []).append(trial)
    return found


def _draw_lines(axes: "Axes", trials: dict[int, Trial], best: int | None, metric: str) -> None:
    axes.set_xlabel("training FLOPs of the trial")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.25)
    if not trials:
        axes.text(0.5, 0.5, "no trial has a result yet", transform=axes.transAxes, ha="center")
        return
    reached: dict[int, list[float]] = {}
    for trial in trials.values():
        for rung, score in trial.scores.items():
            reached.setdefault(rung, []).append(score.train_flops)
    _log_ticks(axes, {median(flops): f"rung {rung}\n{flops_text(median(flops))}" for rung, flops in sorted(reached.items())})
    every = [flops for flops_of_rung in reached.values() for flops in flops_of_rung]
    axes.set_xlim(min(every) / 1.15, max(every) * 1.15)
    for (color, order), alike in _by_style(trials, best).items():
        # One line a colour, broken between trials: ten thousand artists would take minutes.
        x = [flops for trial in alike for flops in (*(score.train_flops for score in trial.scores.values()), math.nan)]
        y = [value for trial in alike for value in (*(score.objective for score in trial.scores.values()), math.nan)]
        axes.plot(x, y, color=color, marker="o", markersize=4, linewidth=1.4, zorder=order)
    statuses = {trial.status for number, trial in trials.items() if number != best}
    labels = [
        (f"best: trial {best}", BEST, True),
        ("finished", OUTCOMES["finished"], "finished" in statuses),
        ("stopped or paused", FADED, bool(statuses & {"stopped", "paused"})),
        ("running", OUTCOMES["running"], "running" in statuses),
        ("in trouble", TROUBLE, bool(statuses - set(OUTCOMES))),
    ]
    for label, color, is_shown in labels:
        if is_shown:
            axes.plot([], [], color=color, marker="o", markersize=4, label=label)
    axes.legend(frameon=False, fontsize=8, loc="best" if len(every) <= MANY_POINTS else "lower right")


def _draw_scatter(axes: "Axes", trials: dict[int, Trial], best: int | None, path: str) -> None:
    having = {number: trial for number, trial in trials.items() if path in trial.shown_params}
    values = [trial.shown_params[path] for trial in having.values()]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    names = [] if is_number else sorted({str(value) for value in values})
    top = max(max(trial.scores) for trial in having.values())
    places = {name: float(place) for place, name in enumerate(names)}
    for (color, order), alike in _by_style(having, best).items():
        at = [trial.shown_params[path] for trial in alike]
        x = [float(value) if is_number else places[str(value)] for value in at]
        sizes = [12 + 26 * (max(trial.scores) + 1) / (top + 1) for trial in alike]
        axes.scatter(
            x,
            [trial.score.objective for trial in alike if trial.score is not None],
            s=sizes,
            color=color,
            zorder=order,
            linewidths=0,
        )
    if names:
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    elif is_number and all(isinstance(value, float) for value in values) and min(values) > 0 and max(values) >= 8 * min(values):
        low, high = min(values), max(values)
        _log_ticks(axes, {value: f"{value:.2g}" for value in (low, math.sqrt(low * high), high)})
    elif all(isinstance(value, int) for value in values):
        axes.set_xticks(sorted(set(values)))
    axes.set_title(path)
    axes.grid(alpha=0.25)


def _log_ticks(axes: "Axes", labels: dict[float, str]) -> None:
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(list(labels), list(labels.values()))

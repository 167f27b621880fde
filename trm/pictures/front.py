"""The picture of a sweep with several objectives: the trials' last scores, and the front of those that none beats in everything."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trm.pictures.canvas import BEST, FADED, PLAIN, picture
from trm.search.journal.trial import Trial
from trm.search.settings import COSTS
from trm.search.state import SweepState
from trm.terminal.display import figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 15
"""Members of the front whose numbers are written beside them; with more they would cover each other."""


def draw_front(state: SweepState, path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: the objective against each figure that it is weighed against."""
    found, objective = state.fronts(), state.space.objective
    front = found[0] if found else []
    behind = [trial for trials in found[1:] for trial in trials]
    names = [one.metric for one in objective.against]
    with picture(path, size=(1.5 + 5.5 * len(names), 4.8), title=title) as figure:
        first: Axes | None = None
        for index, name in enumerate(names):
            axes = figure.add_subplot(1, len(names), index + 1, sharey=first)
            _draw(state, axes, front, behind, name)
            if first is None:
                axes.set_ylabel(objective.metric)
            first = first or axes


def _draw(state: SweepState, axes: "Axes", front: Sequence[Trial], behind: Sequence[Trial], name: str) -> None:
    last = [trial for trial in behind if trial.rung == state.rungs.last]
    earlier = [trial for trial in behind if trial.rung != state.rungs.last]
    axes.set_xlabel(name)
    axes.grid(alpha=0.25)
    members = _places(state, front, name)
    for points, color, label, size in (
        (_places(state, earlier, name), FADED, "stopped early", 20),
        (_places(state, last, name), PLAIN, "to the last rung", 20),
        (members, BEST, "the front", 34),
    ):
        if points:
            across, up, _ = zip(*points, strict=True)
            axes.scatter(across, up, s=size, color=color, label=label, zorder=size, linewidths=0)
    if not members:
        axes.text(0.5, 0.5, "no trial has a result yet", transform=axes.transAxes, ha="center")
        return
    if len(state.space.objective.against) == 1:
        axes.plot([x for x, _, _ in members], [y for _, y, _ in members], color=BEST, linewidth=1.2)
    if len(members) <= MOST_NAMED:
        for x, y, number in members:
            axes.annotate(str(number), (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    if name in COSTS:
        _log_scale(axes, name, [x for x, _, _ in (*members, *_places(state, behind, name))])
    axes.legend(frameon=False, fontsize=8, loc="best")


def _places(state: SweepState, trials: Sequence[Trial], name: str) -> list[tuple[float, float, int]]:
    """(figure, objective, trial), growing, of those where both are known."""
    found = []
    for trial in trials:
        result = trial.result
        assert result is not None, "it was scored"
        value = state.figures(trial, result)[name]
        if value is not None and result.objective is not None:
            found.append((value, result.objective, trial.number))
    return sorted(found)


def _log_scale(axes: "Axes", name: str, values: Sequence[float]) -> None:
    """Ticks that read as the tables do: 12.3k, 4.5 GFLOP, 2 ms."""
    low, high = min(values), max(values)
    if low <= 0:
        return
    ticks = [low, (low * high) ** 0.5, high] if high > 1.5 * low else [low]
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(ticks, [figure_text(name, tick) for tick in ticks])

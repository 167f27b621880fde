"""The picture of a sweep with several objectives: the trials' last scores, and the front of those that none beats in everything."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trm.pictures.canvas import BEST, FADED, PLAIN, picture
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, Scalar
from trm.search.settings import COSTS
from trm.search.state import SweepState
from trm.terminal.display import figure_text, params_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 15
"""Members of the front that are named; with more they would cover each other."""
KIND = "model.architecture"
COLORS = ("#4878a8", "#e08e45", "#2e7d5b", "#8e5ea2", "#8c6d4f", "#d87fb0", "#5b6470", "#a3a13a", "#3fa7b5", "#20324d")
"""Of so many values of a choice; with more, the first serve again."""
LINE_HEIGHT, LINE_LETTERS = 0.17, 17
"""Inches of a line below the axes, and letters of it in an inch."""


def draw_front(state: SweepState, path: Path, *, title: str) -> None:
    """Write `path` (PNG), whole or not at all: the objective against each figure that it is weighed against.

    Where the network is searched, or else another choice of words, colours tell it. The front's members are told below.
    """
    found, objective = state.fronts(), state.space.objective
    front = found[0] if found else []
    behind = [trial for trials in found[1:] for trial in trials]
    names = [one.metric for one in objective.against]
    width, told = 2.5 + 5.2 * len(names), front if len(front) <= MOST_NAMED else []
    with picture(path, size=(width, 4.8 + LINE_HEIGHT * len(told)), title=title) as figure:
        first: Axes | None = None
        colors = _colors(state)
        for index, name in enumerate(names):
            axes = figure.add_subplot(1, len(names), index + 1, sharey=first)
            _draw(state, axes, (front, behind), name, colors)
            if first is None:
                axes.set_ylabel(objective.metric)
            first = first or axes
        if found:
            _legend(figure, colors)
        lines = [_line(state, trial, int(LINE_LETTERS * width)) for trial in sorted(told, key=lambda one: one.number)]
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7.5)


def _draw(
    state: SweepState, axes: "Axes", trials: tuple[Sequence[Trial], Sequence[Trial]], name: str, colors: Mapping[str, str]
) -> None:
    front, behind = trials
    axes.set_xlabel(name)
    axes.grid(alpha=0.25)
    members, others = _places(state, front, name), _places(state, behind, name)
    if not members:
        axes.text(0.5, 0.5, "no trial has a result yet", transform=axes.transAxes, ha="center")
        return
    for points, size in ((others, 20), (members, 46)):
        for is_last in (False, True):
            shown = [one for one in points if (state.trials[one[2]].rung == state.rungs.last) == is_last]
            edges = [colors.get(_kind(state, number), PLAIN) for _, _, number in shown]
            faces = edges if is_last else "white"
            rims = BEST if points is members else edges
            across, up = [x for x, _, _ in shown], [y for _, y, _ in shown]
            axes.scatter(across, up, s=size, facecolors=faces, edgecolors=rims, linewidths=1.4, zorder=size)
    if len(state.space.objective.against) == 1:
        axes.plot([x for x, _, _ in members], [y for _, y, _ in members], color=BEST, linewidth=1.2)
    if len(members) <= MOST_NAMED:
        for x, y in dict.fromkeys((x, y) for x, y, _ in members):
            here = [number for *place, number in members if place == [x, y]]
            kinds = dict.fromkeys(_kind(state, number) for number in here)
            text = f"{', '.join(map(str, here))} {', '.join(kinds)}".strip()
            axes.annotate(text, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    if name in COSTS:
        _log_scale(axes, name, [x for x, _, _ in (*members, *others)])
    axes.margins(x=0.12, y=0.08)


def _kind_knob(state: SweepState) -> str | None:
    """The choice that colours tell: the network, else the first whose values are words; null: none is searched."""
    words = [path for path, knob in state.space.search.items() if isinstance(knob, ChoiceKnob) and all(map(_is_word, knob.values))]
    return KIND if KIND in state.space.search else next(iter(words), None)


def _is_word(value: Scalar) -> bool:
    return isinstance(value, str) and value[:1].isalpha()


def _kind(state: SweepState, number: int) -> str:
    knob = _kind_knob(state)
    return "" if knob is None else str(state.trials[number].params.get(knob, ""))


def _colors(state: SweepState) -> dict[str, str]:
    """Value of the choice that is told -> its colour, of those that trials have."""
    kinds = dict.fromkeys(_kind(state, trial.number) for trial in state.searched if trial.result is not None)
    return {kind: COLORS[place % len(COLORS)] for place, kind in enumerate(kinds) if kind}


def _legend(figure: "Figure", colors: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    def mark(label: str, face: str, edge: str) -> Line2D:
        return Line2D([], [], linestyle="", marker="o", markersize=6, markerfacecolor=face, markeredgecolor=edge, label=label)

    marks = [mark("the front", FADED, BEST), mark("to the last rung", FADED, FADED), mark("stopped early", "white", FADED)]
    marks = [*(mark(kind, color, color) for kind, color in colors.items()), *marks]
    figure.legend(handles=marks, frameon=False, fontsize=8, loc="outside right upper")


def _line(state: SweepState, trial: Trial, most: int) -> str:
    """A member of the front in a line: its score, what it is weighed against, its knobs."""
    result, objective = trial.result, state.space.objective
    assert result is not None, "it was scored"
    score = "unknown" if result.objective is None else f"{result.objective:.3g}"
    against = "".join(f", {name} {figure_text(name, value) or 'unknown'}" for name, value in state.figures(trial, result).items())
    early = "" if trial.rung == state.rungs.last else f" (rung {trial.rung})"
    text = f"{trial.number}: {objective.metric} {score}{early}{against}: {params_text(trial.asked.shown_params)}"
    return text if len(text) <= most else text[: most - 1] + "…"


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

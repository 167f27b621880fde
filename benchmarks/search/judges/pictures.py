"""Points lost against compute: a picture of each judge, one with a panel a family, one of all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.search.judges.figures import GRID
from benchmarks.search.judges.traces import Trace

COLOURS = {"ours": "#d62728", "random": "#888888", "grid": "#bbbbbb"}
PEERS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22", "#000000", "#7f7fff", "#006400")
"""Colours of the others, in turn."""
RESAMPLES = 500
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)
Curves = Mapping[str, np.ndarray]
"""Tool -> points lost over `GRID`, a row a sweep."""


def draw_all(traces: Sequence[Trace], folder: Path) -> None:
    """`judge_NAME.png` of each judge whose sweeps compute limits, `families.png`, and `judges.png`, the mean over those."""
    sweeps = [trace for trace in traces if trace.limit.startswith("compute:")]
    folder.mkdir(parents=True, exist_ok=True)
    tools, families = list(dict.fromkeys(trace.tool for trace in sweeps)), {trace.judge: trace.family for trace in sweeps}
    curves = {judge: _curves([trace for trace in sweeps if trace.judge == judge], tools) for judge in families}
    noises = {trace.judge: trace.noise for trace in sweeps}
    for judge, each in curves.items():
        _save([(judge, each, noises[judge])], tools, folder / f"judge_{judge}.png")
    whole = [tool for tool in tools if all(tool in one for one in curves.values())]
    if whole:
        means = {
            family: {tool: _mean([one[tool] for judge, one in curves.items() if families[judge] == family]) for tool in whole}
            for family in dict.fromkeys(families.values())
        }
        counts = {family: sum(one == family for one in families.values()) for family in means}
        panels = [(f"{family}: {counts[family]}", each, None) for family, each in means.items()]
        _save(panels, whole, folder / "families.png")
        mean = {tool: _mean([each[tool] for each in means.values()]) for tool in whole}
        _save([(f"mean over {len(curves)} judges, by families", mean, None)], whole, folder / "judges.png")


def _save(panels: Sequence[tuple[str, Curves, float | None]], tools: Sequence[str], path: Path) -> None:
    """Panels of a title, curves and the noise of a seed, three in a row, with one legend."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 if columns == 1 else 4.2 * columns, 4.0 if rows == 1 else 3.0 * rows), layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    colours = dict(zip((tool for tool in tools if tool not in COLOURS), PEERS * 3, strict=False)) | COLOURS
    for axes, (title, curves, noise) in zip(all_axes, panels, strict=False):
        _panel(axes, curves, colours, noise)
        axes.set_title(title, fontsize=10)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside right upper")
    figure.supxlabel("compute spent, full lengths", fontsize=9)
    figure.supylabel("points of true score lost", fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _panel(axes: Axes, curves: Curves, colours: Mapping[str, str], noise: float | None) -> None:
    """Mean of each tool over its sweeps, with its 95 % bootstrap band; the noise of a seed as a line."""
    for tool, sweeps in curves.items():
        picked = np.random.default_rng(0).integers(0, len(sweeps), (RESAMPLES, len(sweeps)))
        low, high = np.percentile(sweeps[picked].mean(axis=1), [2.5, 97.5], axis=0)
        width = 2.2 if tool == "ours" else 1.2
        axes.plot(GRID, sweeps.mean(axis=0), label=tool, color=colours[tool], linewidth=width)
        if len(sweeps) > 1:
            axes.fill_between(GRID, low, high, color=colours[tool], alpha=0.12, linewidth=0)
    if noise is not None:
        axes.axhline(noise, color="black", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlim=(TICKS[0], TICKS[-1]), ylim=(0, None))
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()


def _curves(traces: Sequence[Trace], tools: Sequence[str]) -> dict[str, np.ndarray]:
    ran = {trace.tool for trace in traces}
    return {tool: np.array([[one.after(at) for at in GRID] for one in traces if one.tool == tool]) for tool in tools if tool in ran}


def _mean(curves: Sequence[np.ndarray]) -> np.ndarray:
    """One row: the mean over some of their means over sweeps."""
    return np.asarray(np.mean([one.mean(axis=0) for one in curves], axis=0))[None]

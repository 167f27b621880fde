"""Points lost against compute, a picture of each judge and one of all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.search.judges.figures import GRID
from benchmarks.search.judges.traces import Trace

COLOURS = {"ours": "#d62728", "random": "#888888", "grid": "#bbbbbb"}
RESAMPLES = 500
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)


def draw_all(traces: Sequence[Trace], folder: Path) -> None:
    """`judge_NAME.png` of each judge whose sweeps were limited by compute, and `judges.png`, the mean over families."""
    sweeps = [trace for trace in traces if trace.limit.startswith("compute:")]
    folder.mkdir(parents=True, exist_ok=True)
    curves: dict[str, dict[str, np.ndarray]] = {}
    for judge in dict.fromkeys(trace.judge for trace in sweeps):
        ones = [trace for trace in sweeps if trace.judge == judge]
        curves[judge] = {tool: _curves(ones, tool) for tool in dict.fromkeys(trace.tool for trace in ones)}
        draw(curves[judge], folder / f"judge_{judge}.png", title=judge, noise=ones[0].noise)
    families = {trace.judge: trace.family for trace in sweeps}
    whole = [tool for tool in dict.fromkeys(trace.tool for trace in sweeps) if all(tool in one for one in curves.values())]
    means = {tool: _over_families({judge: one[tool].mean(axis=0) for judge, one in curves.items()}, families) for tool in whole}
    if means:
        draw(means, folder / "judges.png", title=f"mean over {len(curves)} judges, by families")


def draw(curves: Mapping[str, np.ndarray], path: Path, *, title: str, noise: float | None = None) -> None:
    """Mean of each tool over its sweeps, with its 95 % bootstrap band; the noise of a seed as a line."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for tool, sweeps in curves.items():
        picked = np.random.default_rng(0).integers(0, len(sweeps), (RESAMPLES, len(sweeps)))
        low, high = np.percentile(sweeps[picked].mean(axis=1), [2.5, 97.5], axis=0)
        (line,) = axes.plot(
            GRID, sweeps.mean(axis=0), label=tool, color=COLOURS.get(tool), linewidth=2.2 if tool == "ours" else 1.4
        )
        axes.fill_between(GRID, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    if noise is not None:
        axes.axhline(noise, color="black", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlim=(TICKS[0], TICKS[-1]), ylim=(0, None), title=title)
    axes.set(xlabel="compute spent, full lengths", ylabel="points of true score lost")
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _curves(traces: Sequence[Trace], tool: str) -> np.ndarray:
    return np.array([[trace.after(at) for at in GRID] for trace in traces if trace.tool == tool])


def _over_families(means: Mapping[str, np.ndarray], families: Mapping[str, str]) -> np.ndarray:
    """A row: the mean over families of the mean over judges."""
    each = np.array(
        [np.mean([means[judge] for judge in means if families[judge] == one], axis=0) for one in dict.fromkeys(families.values())]
    )
    return each.mean(axis=0, keepdims=True)

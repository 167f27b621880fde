"""Regret against training FLOPs, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.search.figures import BUDGETS, Outcome
from benchmarks.search.tables import Table

NAMES = {
    "random": "random search, full length",
    "grid": "grid in file order, full length",
    "ray_tune": "Ray Tune: ASHA in epochs, OptunaSearch",
    "optuna_hyperband": "Optuna: TPE, Hyperband in epochs",
    "ours": "TRM Search, defaults",
}
COLOURS = {"random": "#888888", "grid": "#bbbbbb", "ray_tune": "#1f77b4", "optuna_hyperband": "#2ca02c", "ours": "#d62728"}
RESAMPLES = 500


def draw(table: Table, outcomes: Mapping[str, Sequence[Outcome]], path: Path) -> None:
    """Mean regret of each contender over what it had spent, with its 95 % bootstrap band; the noise of a seed as a line."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, ones in outcomes.items():
        regrets = 100 * np.array([one.by_budget for one in ones])
        picked = np.random.default_rng(0).integers(0, len(regrets), (RESAMPLES, len(regrets)))
        low, high = np.percentile(regrets[picked].mean(axis=1), [2.5, 97.5], axis=0)
        axes.plot(BUDGETS, regrets.mean(axis=0), label=NAMES.get(name, name), color=COLOURS.get(name), linewidth=1.8)
        axes.fill_between(BUDGETS, low, high, color=COLOURS.get(name), alpha=0.18, linewidth=0)
    axes.axhline(100 * table.noise, color="black", linestyle=":", linewidth=1, label="noise of a seed")
    axes.set(xscale="log", ylim=(0, None), xlabel="training FLOPs spent, in trials of full length")
    axes.set_ylabel("true accuracy lost, points")
    axes.set_title(f"{table.space.name}: mean of {len(next(iter(outcomes.values())))} sweeps", fontsize=10)
    axes.set_xticks(ticks := [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64], [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})

"""A run's page: its scores, its training curve, its evaluations, the examples it kept, and its configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trm.pages.evaluation import metric_rows
from trm.pages.page import Section
from trm.pages.puzzle_facts import cell_facts
from trm.pages.puzzles import Answered, ShownPuzzle, puzzles_section
from trm.tasks.choice import task_named

MOST_POINTS = 1500
"""Of a curve: more are thinned evenly."""
SHOWN = {
    "loss": ("loss", "lm_loss"),
    "share": ("exact_accuracy", "cell_accuracy", "q_halt_accuracy", "halted_share"),
    "supervision steps": ("mean_halting_step",),
}
"""Figures of a training curve that are drawn, those of one scale together."""


def scores_sections(report: Mapping[str, Any]) -> list[Section]:
    """A section for each split that a run's or a winner's report scores."""
    return [
        Section("values", f"Scores on {split}", {"rows": metric_rows(report[split], {})})
        for split in ("validation", "test")
        if report.get(split)
    ]


def curve_sections(curve: Mapping[str, Sequence[Any]]) -> list[Section]:
    """The training curve, against optimizer steps."""
    steps = list(curve.get("step", ()))
    every = max(1, -(-len(steps) // MOST_POINTS))
    plots = []
    for scale, names in SHOWN.items():
        there = [name for name in names if name in curve]
        series = [{"name": name, "x": steps[::every], "y": list(curve[name])[::every]} for name in there]
        plots += [{"x": "optimizer step", "y": scale, "series": series}] if series else []
    if not steps or not plots:
        return []
    told = [f"{len(steps):,} points, of which every {every}th is drawn."] if every > 1 else []
    return [Section("lines", "Training curve", {"plots": plots, "lines": told}, needs_charts=True)]


def evaluations_section(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    """A row an evaluation on the way."""
    kept = ("step", "train_flops", "label", "exact_accuracy", "cell_accuracy", "loss", "mean_halting_step", "is_best")
    shown = [{name: row[name] for name in kept if name in row} for row in rows]
    return [Section("values", "Evaluations on the way", {"rows": shown})] if shown else []


def config_section(config: Mapping[str, Any]) -> Section:
    """Every knob, by its path."""
    rows = [{"knob": path, "value": "null" if value is None else str(value)} for path, value in flat(config).items()]
    return Section("values", "Configuration", {"rows": rows})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by their paths."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found


def examples_section(values: Mapping[str, Any]) -> Section:
    """The examples that a run keeps of its best evaluation. KeyError, TypeError or ValueError for what is no such file."""
    vocabulary = tuple(map(str, values["vocabulary"]))
    puzzles: list[ShownPuzzle] = []
    grid, task = (0, 0), task_named(str(values["task"]))
    kinds = {kind: list(values[kind]) for kind in ("solved", "failed")}
    for kind, some in kinds.items():
        for one in some:
            question, answered, right = (np.array(one[name], dtype=np.uint8) for name in ("question", "answered", "right"))
            most = max(int(cells.max(initial=0)) for cells in (question, answered, right))
            if not question.shape == answered.shape == right.shape or question.ndim != 2 or most >= len(vocabulary):
                raise ValueError(f"grids of {question.shape}, {answered.shape} and {right.shape}")
            grid = (question.shape[0], question.shape[1])
            legend = task.legend(grid, vocabulary)
            said = Answered([answered.reshape(-1)], [0.0], kind == "solved")
            facts = cell_facts(question.reshape(-1), right.reshape(-1), grid, legend)
            puzzles.append(ShownPuzzle(f"row {int(one['row'])}", question.reshape(-1), right.reshape(-1), [said], facts))
    counts = f"{len(kinds['solved'])} solved and {len(kinds['failed'])} failed"
    chosen = f"{counts}: the first of each kind in {values['split']} of {values['data']}, at step {values['step']}."
    return puzzles_section(
        "Examples of the best evaluation", task.legend(grid, vocabulary), grid, puzzles, chosen=chosen, sides=["run"], key="example"
    )

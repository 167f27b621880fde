"""The names of the metrics that an evaluation reports, for who must know them before there is one. Imports no torch."""

import math
import re
from typing import Literal

from trm.data.format.manifest import Task

Direction = Literal["max", "min"]

MEANS = ("cell_accuracy", "loss", "q_halt_accuracy", "mean_halting_step")
COUNTS = ("examples", "predictions")
PATH_MEANS = ("path_recall", "path_precision", "path_f1")
PASSES = (1, 2)
"""K of ARC's pass@K; the published score is pass@2."""

TASK_MEANS: dict[Task, tuple[str, ...]] = {"sudoku": ("fill_accuracy",), "maze": PATH_MEANS, "arc": (), "other": ()}
TASK_SHARES: dict[Task, tuple[str, ...]] = {
    "sudoku": (),
    "maze": ("shortest_path_accuracy",),
    "arc": tuple(f"pass_at_{k}" for k in PASSES),
    "other": (),
}
TASK_COUNTS: dict[Task, tuple[str, ...]] = {"sudoku": (), "maze": (), "arc": ("tasks", "test_pairs"), "other": ()}
HALTED_FLOPS_SAVED = "halted_flops_saved"
"""Share of an evaluation's FLOPs that are saved by rows that stop at their first halt."""


def halted_name(name: str) -> str:
    """The name of a metric of the answers at each row's first halt; the same where these have no figure of their own."""
    if name in ("puzzle", "mean_halting_step", *COUNTS, *TASK_COUNTS["arc"]):
        return name
    base, end = next(((name.removesuffix(end), end) for end in ("_low", "_high") if name.endswith(end)), (name, ""))
    return f"{base}_halted{end}"


LESS_IS_BETTER = {"loss": 0.0, "mean_halting_step": 1.0}
"""Metrics that are good when they are small, and the least that they can be; of all others more is better."""
_SHARES = {name for names in (*TASK_MEANS.values(), *TASK_SHARES.values()) for name in names}


def _plain(metric: str) -> str:
    """The metric whose bound, or whose figure at each row's halt, this one is."""
    return metric.removesuffix("_low").removesuffix("_high").removesuffix("_halted")


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    known = _SHARES | {"exact_accuracy", "cell_accuracy", "q_halt_accuracy", HALTED_FLOPS_SAVED}
    return _plain(metric) in known or re.fullmatch(r"exact_accuracy_at_[0-9]+", metric) is not None


def is_count(metric: str) -> bool:
    """Whether the metric counts what was scored, and says nothing of how well."""
    return metric in COUNTS or any(metric in names for names in TASK_COUNTS.values())


def direction(metric: str) -> Direction | None:
    """Whether the metric is good when it is large or small; None of a name that no evaluation reports, and of a count."""
    if _plain(metric) in LESS_IS_BETTER:
        return "min"
    return "max" if is_share(metric) else None


def bounds(metric: str) -> tuple[float, float]:
    """The least and the most that the metric can be."""
    return (0.0, 1.0) if is_share(metric) else (LESS_IS_BETTER.get(_plain(metric), -math.inf), math.inf)


def is_scored_early(step: int, steps: int) -> bool:
    """Whether exactness is reported after `step` of `steps` supervision steps, as `exact_accuracy_at_STEP`."""
    return step < steps and step.bit_count() == 1


def metric_names(task: Task, steps: int, *, has_halted: bool = False) -> list[str]:
    """Every metric of an evaluation with `steps` supervision steps; `has_halted`: with those of the answers at each row's halt."""
    shares = [f"{name}{end}" for name in ("exact_accuracy", *TASK_SHARES[task]) for end in ("", "_low", "_high")]
    early = [f"exact_accuracy_at_{step}" for step in range(1, steps) if is_scored_early(step, steps)]
    means = [*MEANS, *TASK_MEANS[task], *COUNTS, *TASK_COUNTS[task]]
    halted = [halted_name(name) for name in (*shares, *means) if halted_name(name) != name]
    return [*shares, *early, *means, *([*halted, HALTED_FLOPS_SAVED] if has_halted else [])]

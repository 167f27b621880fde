"""The names of the metrics that an evaluation reports, for who must know them before there is one. Imports no torch."""

from trm.data.manifest import Task

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


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    shares = {name for names in (*TASK_MEANS.values(), *TASK_SHARES.values()) for name in names}
    return metric.startswith("exact_accuracy") or metric in shares | {"cell_accuracy", "q_halt_accuracy"}


def is_scored_early(step: int, steps: int) -> bool:
    """Whether exactness is reported after `step` of `steps` supervision steps, as `exact_accuracy_at_STEP`."""
    return step < steps and step.bit_count() == 1


def metric_names(task: Task, steps: int) -> list[str]:
    """Every metric of an evaluation with `steps` supervision steps."""
    shares = [f"{name}{end}" for name in ("exact_accuracy", *TASK_SHARES[task]) for end in ("", "_low", "_high")]
    early = [f"exact_accuracy_at_{step}" for step in range(1, steps) if is_scored_early(step, steps)]
    return [*shares, *early, *MEANS, *TASK_MEANS[task], *COUNTS, *TASK_COUNTS[task]]

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
HALTED_FLOPS_SAVED = "halted_flops_saved"
"""Share of an evaluation's FLOPs that are saved by rows that stop at their first halt."""


def halted_name(name: str) -> str:
    """The name of a metric of the answers at each row's first halt; the same where these have no figure of their own."""
    if name in ("puzzle", "mean_halting_step", *COUNTS, *TASK_COUNTS["arc"]):
        return name
    base, end = next(((name.removesuffix(end), end) for end in ("_low", "_high") if name.endswith(end)), (name, ""))
    return f"{base}_halted{end}"


def is_share(metric: str) -> bool:
    """Whether the metric lies between 0 and 1."""
    shares = {name for names in (*TASK_MEANS.values(), *TASK_SHARES.values()) for name in names}
    known = shares | {"cell_accuracy", "q_halt_accuracy", HALTED_FLOPS_SAVED}
    return metric.startswith("exact_accuracy") or metric.removesuffix("_halted") in known


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

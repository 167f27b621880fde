"""How many augmentations must vote: pass@K against their number, from the votes of one pass."""

from typing import Any

import numpy as np

from trm.data.batches.plan import EvaluationPlan
from trm.evaluation.scores import Columns
from trm.tasks.task import Ballot, Task
from trm.training.scoring import SUBSET_SEED

AUGMENTATIONS = (0, 1, 4, 16, 64, 256, 576, 1000)
"""How many vote beside the task as it is."""
SHOWN_PASSES = ("1", "2")


def vote_curve(task: Task[Any], plan: EvaluationPlan, rows: Columns, resamples: int) -> list[dict[str, Any]]:
    """JSON: for each number of augmentations what an evaluation with so many votes gives, and of `resamples` other choices of them.

    The task as it is always votes. Empty where rows have no augmentation of their own.
    """
    if plan.split.identifier_codes is None:
        return []
    most = int(np.unique(rows["row"], return_counts=True)[1].max()) - 1
    levels = sorted({level for level in AUGMENTATIONS if level < most} | {most})
    return [_point(task, plan, rows, level, 0 if level in (0, most) else resamples) for level in levels]


def _point(task: Task[Any], plan: EvaluationPlan, rows: Columns, level: int, resamples: int) -> dict[str, Any]:
    figures = [_ballot(task, plan, rows, level, seed).figures() for seed in range(SUBSET_SEED, SUBSET_SEED + resamples + 1)]
    others = {k: [one["pass"][k]["by_task"]["share"] for one in figures[1:]] for k in SHOWN_PASSES}
    passes = {k: figures[0]["pass"][k] for k in SHOWN_PASSES}
    return {"augmentations": level, "votes": figures[0]["votes"], "pass": passes, "other_choices": others}


def _ballot(task: Task[Any], plan: EvaluationPlan, rows: Columns, level: int, seed: int) -> Ballot:
    kept = plan.first_votes(rows["row"], rows["identifier"], level + 1, seed)
    found = task.ballot(plan.split, {name: column[kept] for name, column in rows.items()}, plan.examples)
    assert found is not None, "the puzzle has votes"
    return found


def vote_lines(votes: dict[str, Any] | None) -> list[str]:
    """A line a K, and a line a number of augmentations."""
    if votes is None:
        return []
    without = votes["pairs_without_votes"]
    lines = [
        "",
        f"  {votes['votes']} votes for {votes['pairs']} test pairs of {votes['tasks']} tasks"
        + (f", {without} pairs without any" if without else ""),
    ]
    for k, each in votes["pass"].items():
        lines.append(f"  pass@{k:<5} by task {_share(each['by_task']):<28} by pair {_share(each['by_pair'])}")
    for point in votes.get("curve", []):
        told = f"  {point['augmentations']:>5} augmentations"
        for k, each in point["pass"].items():
            told += f"  pass@{k} {_share(each['by_task']):<26}"
            if others := point["other_choices"][k]:
                told += f" other choices {100 * min(others):.2f} to {100 * max(others):.2f}"
        lines.append(told)
    return lines


def _share(one: dict[str, float]) -> str:
    return f"{100 * one['share']:.2f} % ({100 * one['low']:.2f} to {100 * one['high']:.2f})"

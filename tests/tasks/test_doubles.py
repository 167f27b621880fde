"""Puzzles that a folder or a mixture has twice: told, given back as they were, and counted once in scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays_cases import Puzzle, files_of, spelt, write_arc_set, write_folder
from evaluation_cases import PreparedAnswers, config_of, score

from tests.tasks.test_arrays import imported, recipe_for, round_trip, silent
from trm.data.batches.split import SAME_AS, load_split
from trm.data.format.manifest import read_manifest
from trm.errors import DatasetError
from trm.stats.intervals import wilson
from trm.tasks.ensure import build_into
from trm.tasks.making.equal_rows import contradictions
from trm.tasks.published.export import export_dataset
from trm.tasks.recipes import recipe_of
from trm.tasks.repeated import first_groups
from trm.tasks.sudoku.build import build_sudoku
from trm.tasks.sudoku.recipe import SudokuRecipe

DOUBLED: dict[str, list[list[Puzzle]]] = {
    "train": [[(0, [0])], [(0, [1]), (0, [2])], [(0, [0])], [(0, [3])]],
    "test": [[(0, [8])], [(0, [9])], [(0, [8])], [(0, [8])]],
}


def test_a_folder_with_doubled_rows_is_kept_and_told_and_comes_back(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "source", DOUBLED, 1)
    built = imported(root)
    assert built.doubled == {"a puzzle that stands in train before": 1, "a puzzle that stands in test before": 2}
    assert built.splits["test"].groups.tolist() == [4, 5, 6, 7]
    assert built.splits["test"].extras[SAME_AS].tolist() == [4, 5, 4, 4]
    assert round_trip(root, tmp_path) == files_of(root)
    manifest = read_manifest(str(tmp_path / "set"))
    assert manifest.doubled == built.doubled
    assert load_split(str(tmp_path / "set"), manifest, "test").clusters.tolist() == [4, 5, 4, 4]


def test_a_score_counts_a_doubled_puzzle_once(tmp_path: Path) -> None:
    folder = str(tmp_path / "set")
    build_into(recipe_for(write_folder(tmp_path / "source", DOUBLED, 1)), folder, silent)
    manifest = read_manifest(folder)
    split = load_split(folder, manifest, "test")
    answers = {row.tobytes(): [label] for row, label in zip(split.inputs, split.labels, strict=True)}
    answers[split.inputs[1].tobytes()] = [np.zeros_like(split.labels[1])]
    model = PreparedAnswers(manifest.shape, answers, {key: [1.0] for key in answers})
    found = score(model, split, manifest, config_of(1))[0]
    assert found.metrics["exact_accuracy"] == 1 / 2
    assert found.metrics["examples"] == 2
    assert found.metrics["exact_accuracy_low"] == wilson(1 / 2, 2).low
    assert found.puzzles["puzzle"].tolist() == [4, 5]
    assert found.puzzles["exact_accuracy"].tolist() == [1.0, 0.0]


def test_a_question_with_two_labels_is_refused_unless_identifiers_tell_them_apart(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "source", DOUBLED, 3)
    labels = np.load(root / "test" / "all__labels.npy")
    labels[3] = spelt(77)
    np.save(root / "test" / "all__labels.npy", labels)
    with pytest.raises(DatasetError, match=r"must have one answer: rows 0 and 3 of .*test/all__inputs.npy are one question"):
        imported(root)
    assert imported(root, skip_bad=True).splits["test"].groups.tolist() == [5]
    np.save(root / "test" / "all__puzzle_identifiers.npy", np.array([0, 0, 0, 2], dtype=np.int32))
    assert imported(root).splits["test"].extras[SAME_AS].tolist() == [4, 5, 4, 7]


def test_an_arc_folder_with_a_task_under_two_names_counts_it_once(tmp_path: Path) -> None:
    write_arc_set(tmp_path / "own")
    export_dataset(str(tmp_path / "own"), str(root := tmp_path / "arc"), num_aug=0, joins_validation=True)
    built = imported(root, puzzle="arc", grid=None)
    assert not built.doubled
    test = built.splits["test"]
    first, second = np.unique(test.groups)[:2]
    rows = np.flatnonzero(test.groups == first)
    again = {name: np.load(root / "test" / f"all__{name}.npy") for name in ("inputs", "labels")}
    others = np.flatnonzero(test.groups == second)
    for name, array in again.items():
        array[others] = array[np.resize(rows, len(others))]
        np.save(root / "test" / f"all__{name}.npy", array)
    built = imported(root, puzzle="arc", grid=None)
    assert built.doubled["a puzzle that stands in test before"] == len(others)
    assert set(built.splits["test"].extras[SAME_AS][others]) == {first}
    assert round_trip(root, tmp_path, puzzle="arc", grid=None) == files_of(root)


def test_different_boards_are_groups_of_their_own() -> None:
    built = build_sudoku(SudokuRecipe(name="s", size=4, train=6, validation=0, test=2))
    train = built.splits["train"]
    assert (first_groups(built, train) == train.groups).all()


def test_contradictions_are_found_by_question_and_identifier() -> None:
    inputs = np.array([[1], [2], [1], [1]], dtype=np.uint8)
    labels = np.array([[5], [5], [6], [5]], dtype=np.uint8)
    found, rows = contradictions(inputs, labels, np.zeros(4, dtype=np.int32))
    assert (found.tolist(), rows) == ([True, False, True, True], (0, 2))
    found, rows = contradictions(inputs, labels, np.array([0, 0, 1, 0], dtype=np.int32))
    assert (found.any(), rows) == (False, None)


def test_parts_of_a_mixture_that_overlap_are_told_and_counted_once(tmp_path: Path) -> None:
    folders = []
    for name, fields in (("one", {}), ("two", {"train": 30})):
        recipe = SudokuRecipe.model_validate({"name": name, "size": 4, "train": 20, "validation": 0, "test": 5} | fields)
        build_into(recipe, str(tmp_path / name), silent)
        folders.append({"folder": str(tmp_path / name)})
    mapping: dict[str, Any] = {"name": "both", "task": "mixture", "parts": folders, "skip_bad": True}
    build_into(recipe_of(mapping, "case"), str(tmp_path / "both"), silent)
    manifest = read_manifest(str(tmp_path / "both"))
    assert manifest.splits["train"].rows == 20 + 25  # the second part's other five are the first one's tests
    assert manifest.doubled == {"a puzzle that stands in train before": 20}
    same = {"name": "two", "size": 4, "train": 20, "validation": 0, "test": 5}
    build_into(SudokuRecipe.model_validate(same), str(tmp_path / "same"), silent)
    mapping["parts"] = [folders[0], {"folder": str(tmp_path / "same")}]
    build_into(recipe_of(mapping, "case"), str(tmp_path / "twice"), silent)
    manifest = read_manifest(str(tmp_path / "twice"))
    split = load_split(str(tmp_path / "twice"), manifest, "test")
    assert len(np.unique(split.groups)) == 10
    assert len(np.unique(split.clusters)) == 5
    assert manifest.doubled == {"a puzzle that stands in train before": 20, "a puzzle that stands in test before": 5}
    assert json.loads((tmp_path / "twice" / "manifest.json").read_text())["doubled"] == manifest.doubled


def test_test_puzzles_that_are_not_those_of_the_arrays_are_refused(tmp_path: Path) -> None:
    write_arc_set(tmp_path / "own")
    export_dataset(str(tmp_path / "own"), str(root := tmp_path / "arc"), num_aug=0, joins_validation=True)
    path = root / "test_puzzles.json"
    names = json.loads(path.read_text())
    path.write_text(json.dumps(names | {"stranger": {}}))
    with pytest.raises(DatasetError, match=r"the tasks of the test split: .*test_puzzles.json has stranger, .*test has not"):
        imported(root, puzzle="arc", grid=None)
    path.write_text(json.dumps(dict(list(names.items())[1:])))
    with pytest.raises(DatasetError, match=rf"the tasks of the test split: .*test has {next(iter(names))}, .*json has not"):
        imported(root, puzzle="arc", grid=None)

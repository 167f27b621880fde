"""The reference's array folders: imported as they are, given back byte for byte, and every fault in them named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from arrays_cases import CELLS, Puzzle, files_of, spelt, write_arc_set, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from trm.data.batches.plan import EvaluationPlan, TrainPlan
from trm.data.batches.split import load_split
from trm.data.format.built import BuiltDataset
from trm.data.format.manifest import read_manifest
from trm.errors import DatasetError
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import build_into
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.published import arrays_arc
from trm.tasks.published.arrays import build_arrays
from trm.tasks.published.export import export_dataset
from trm.tasks.published.recipe import ArraysRecipe
from trm.tasks.sudoku.recipe import SudokuRecipe

SMALL = {"train": [[(1, [0, 1]), (2, [2, 3, 4])], [(3, [5])], [(1, [6, 7])]], "test": [[(2, [8])], [(3, [9, 10])]]}


def silent(*_: object) -> None:
    """A report that nobody hears."""


def recipe_for(root: Path, **fields: Any) -> ArraysRecipe:
    values: dict[str, Any] = {"name": "case", "path": str(root), "puzzle": "other", "grid": (2, 3), "validation": 0}
    return ArraysRecipe.model_validate(values | fields)


def imported(root: Path, **fields: Any) -> BuiltDataset:
    return build_arrays(recipe_for(root, **fields))


def round_trip(root: Path, scratch: Path, **fields: Any) -> dict[str, bytes]:
    for folder in ("set", "back"):
        shutil.rmtree(scratch / folder, ignore_errors=True)
    build_into(recipe_for(root, **fields), str(scratch / "set"), silent)
    export_dataset(str(scratch / "set"), str(scratch / "back"), joins_validation=True)
    return files_of(scratch / "back")


@st.composite
def folders(draw: st.DrawFn) -> tuple[dict[str, list[list[Puzzle]]], str]:
    """Groups of puzzles of examples, no example twice."""
    numbers = iter(draw(st.permutations(range(200))))
    puzzle = st.tuples(st.integers(0, 3), st.integers(1, 3))
    groups = st.lists(st.lists(puzzle, min_size=1, max_size=3), min_size=2, max_size=4)
    splits = {
        name: [[(identifier, [next(numbers) for _ in range(size)]) for identifier, size in group] for group in draw(groups)]
        for name in ("train", "test")
    }
    return splits, draw(st.sampled_from(["uint8", "int64", "int32"]))


@settings(max_examples=15)
@given(case=folders(), validation=st.integers(0, 1), seed=st.integers(0, 99))
def test_a_folder_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[dict[str, list[list[Puzzle]]], str], validation: int, seed: int
) -> None:
    scratch = tmp_path_factory.mktemp("round")
    root = write_folder(scratch / "source", case[0], 4, case[1])
    assert round_trip(root, scratch, validation=validation, seed=seed) == files_of(root)


def test_rows_keep_puzzle_group_and_identifier(tmp_path: Path) -> None:
    train = imported(write_folder(tmp_path / "source", SMALL, 4)).splits["train"]
    assert train.groups.tolist() == [0, 0, 0, 0, 0, 1, 2, 2]
    assert train.puzzles is not None
    assert train.puzzle_identifiers is not None
    assert train.puzzles.tolist() == [0, 0, 1, 1, 1, 2, 3, 3]
    assert train.puzzle_identifiers.tolist() == [1, 1, 2, 2, 2, 3, 1, 1]
    assert (train.inputs == [spelt(number) for number in range(8)]).all()
    test = imported(tmp_path / "source").splits["test"]
    assert test.groups.tolist() == [3, 4, 4]


def test_whole_groups_validate_and_a_tenth_is_the_default(tmp_path: Path) -> None:
    groups: list[list[Puzzle]] = [[(0, [2 * k]), (0, [2 * k + 1])] for k in range(40)]
    root = write_folder(tmp_path / "source", {"train": groups, "test": [[(0, [99])]]}, 1)
    built = imported(root, validation=None)
    train, validation = built.splits["train"], built.splits["validation"]
    assert len(np.unique(validation.groups)) == 4
    assert not set(train.groups) & set(validation.groups)
    assert sorted([*train.extras["source_row"], *validation.extras["source_row"]]) == list(range(80))
    other = imported(root, validation=None, seed=1).splits["validation"]
    assert set(other.groups) != set(validation.groups)


def test_a_visit_takes_one_stored_puzzle_whole(tmp_path: Path) -> None:
    build_into(recipe_for(write_folder(tmp_path / "source", SMALL, 4)), str(tmp_path / "set"), silent)
    manifest = read_manifest(str(tmp_path / "set"))
    assert manifest.num_puzzle_identifiers == 4
    split = load_split(str(tmp_path / "set"), manifest, "train")
    batch = TrainPlan(split, manifest, augmenter_for, global_batch_size=200, seed=0).batch(0)
    numbers = ((batch.inputs - 1) * 4 ** np.arange(CELLS)).sum(1).tolist()
    assert set(numbers) == set(range(8))
    assert all(
        {0: 1, 1: 1, 2: 2, 3: 2, 4: 2, 5: 3, 6: 1, 7: 1}[n] == i for n, i in zip(numbers, batch.puzzle_identifiers, strict=True)
    )
    scored = load_split(str(tmp_path / "set"), manifest, "test")
    plan = EvaluationPlan(scored, manifest, augmenter_for, batch_size=2, max_examples=None, seed=0)
    assert [b.batch.puzzle_identifiers.tolist() for b in plan] == [[2, 3], [3]]


def test_every_stored_form_is_drawn_about_equally_often(tmp_path: Path) -> None:
    groups: list[list[Puzzle]] = [[(0, [4 * group + form]) for form in range(4)] for group in range(3)]
    root = write_folder(tmp_path / "source", {"train": groups, "test": [[(0, [99])]]}, 1)
    build_into(recipe_for(root), str(tmp_path / "set"), silent)
    manifest = read_manifest(str(tmp_path / "set"))
    plan = TrainPlan(load_split(str(tmp_path / "set"), manifest, "train"), manifest, augmenter_for, global_batch_size=3, seed=0)
    numbers = ((np.stack([plan.batch(step).inputs for step in range(800)]) - 1) * 4 ** np.arange(CELLS)).sum(2)
    assert (np.sort(numbers // 4, axis=1) == [0, 1, 2]).all()  # an epoch visits each group once
    counts = np.bincount(numbers.reshape(-1), minlength=12)
    assert counts.min() > 200 - 4.5 * np.sqrt(150)
    assert counts.max() < 200 + 4.5 * np.sqrt(150)


def test_a_folder_behind_a_url_is_the_same_data_set(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "source", SMALL, 4)
    files = fsspec.filesystem("memory")
    files.put(str(root), "/arrays", recursive=True)
    try:
        here, there = imported(root, validation=1), build_arrays(recipe_for(root, validation=1, path="memory://arrays"))
        with pytest.raises(DatasetError, match=r"must exist: memory://nowhere/train/dataset\.json"):
            build_arrays(recipe_for(root, path="memory://nowhere"))
    finally:
        files.rm("/arrays", recursive=True)
    assert there.attachments == here.attachments
    for name, split in here.splits.items():
        theirs = there.splits[name].columns()
        assert all((column == theirs[key]).all() for key, column in split.columns().items())


def test_a_symmetric_form_of_a_test_board_is_a_leak_too(tmp_path: Path) -> None:
    build_into(SudokuRecipe(name="boards", size=4, train=20, validation=0, test=5), str(tmp_path / "set"), silent)
    export_dataset(str(tmp_path / "set"), str(tmp_path / "out"), num_aug=2)
    assert imported(tmp_path / "out", puzzle="sudoku", grid=None).splits["train"].groups.tolist() == sorted([*range(20)] * 3)
    for name in ("inputs", "labels"):
        board = np.load(tmp_path / f"out/test/all__{name}.npy")[2].reshape(4, 4)
        set_array(tmp_path / "out", f"train/all__{name}", put(slice(21, 24), board[::-1].reshape(-1)))
    with pytest.raises(DatasetError, match=r"a test puzzle must not be trained on: row 21 of .* \(1 puzzles in all\)"):
        imported(tmp_path / "out", puzzle="sudoku", grid=None)
    built = imported(tmp_path / "out", puzzle="sudoku", grid=None, skip_bad=True)
    assert sorted(set(range(20)) - set(built.splits["train"].groups.tolist())) == [7]
    set_array(tmp_path / "out", "test/all__inputs", put(3, 1))
    with pytest.raises(DatasetError, match=r"a board must have only one solution: row 3 of .*test/all__inputs\.npy"):
        imported(tmp_path / "out", puzzle="sudoku", grid=None)
    set_array(tmp_path / "out", "test/all__labels", put((0, 0), 6))
    with pytest.raises(DatasetError, match=r"tokens must be 0 to 5: row 0 of .*test/all__inputs\.npy"):
        imported(tmp_path / "out", puzzle="sudoku", grid=None)


def arc_folder(tmp_path: Path) -> Path:
    write_arc_set(tmp_path / "own")
    export_dataset(str(tmp_path / "own"), str(tmp_path / "arc"), joins_validation=True)
    return tmp_path / "arc"


@pytest.mark.parametrize("validation", [0, 2, None])
def test_an_arc_folder_comes_back_as_it_was(tmp_path: Path, validation: int | None) -> None:
    root = arc_folder(tmp_path)
    assert round_trip(root, tmp_path, puzzle="arc", grid=None, validation=validation) == files_of(root)


def test_the_last_examples_of_arc_tasks_validate_in_the_corner(tmp_path: Path) -> None:
    built = imported(arc_folder(tmp_path), puzzle="arc", grid=None, validation=2)
    train, validation, test = (built.splits[name] for name in ("train", "validation", "test"))  # type: ignore[index]
    held = np.unique(validation.groups)
    assert len(held) == 2
    assert set(held) <= set(train.groups)
    assert not set(held) & set(test.groups)
    assert (validation.inputs[:, 0] >= 2).all()
    assert built.identifiers is not None
    for row in range(len(validation.groups)):
        base = validation.extras["pair_row"][row]
        code = built.identifiers.codes[validation.puzzle_identifiers[[row]]]  # type: ignore[index]
        assert (arrays_arc.invert(validation.inputs[[row]], code) == validation.inputs[base]).all()
        assert built.identifiers.codes[validation.puzzle_identifiers[base]] == 0  # type: ignore[index]


def test_no_last_example_validates_that_another_task_tests(tmp_path: Path) -> None:
    write_arc_set(tmp_path / "own")
    export_dataset(str(tmp_path / "own"), str(root := tmp_path / "arc"), num_aug=0, joins_validation=True)
    ends = np.load(root / "train" / "all__puzzle_indices.npy")
    for side in ("inputs", "labels"):
        tested = np.load(root / "test" / f"all__{side}.npy")[0]
        set_array(root, f"train/all__{side}", put(ends[1] - 1, tested))
    built = imported(root, puzzle="arc", grid=None, validation=2)
    assert np.unique(built.splits["validation"].groups).tolist() == [1, 2]
    assert 0 in built.splits["train"].groups
    with pytest.raises(DatasetError, match="held out of the 2 training puzzles that can be spared: 3 leave nothing"):
        imported(root, puzzle="arc", grid=None, validation=3)


def set_json(root: Path, file: str, **values: object) -> None:
    path = root / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def set_array(root: Path, file: str, change: Callable[[np.ndarray], Any]) -> None:
    path = root / f"{file}.npy"
    array = np.load(path)
    changed = change(array)
    np.save(path, array if changed is None else changed)


def put(row: Any, value: object) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[row] = value

    return change


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no test": (lambda root: shutil.rmtree(root / "test"), r"must exist: .*test/dataset.json"),
    "no array": (lambda root: (root / "train/all__labels.npy").unlink(), r"must exist: .*train/all__labels.npy"),
    "text": (
        lambda root: (root / "train/all__labels.npy").write_text("text"),
        r"train/all__labels.npy must be a whole NumPy array",
    ),
    "cut": (
        lambda root: (root / "train/all__inputs.npy").write_bytes((root / "train/all__inputs.npy").read_bytes()[:-4]),
        r"train/all__inputs.npy must be a whole NumPy array",
    ),
    "pickle": (
        lambda root: np.save(root / "train/all__inputs.npy", np.array([{}, []], dtype=object), allow_pickle=True),
        r"train/all__inputs.npy must be a whole NumPy array",
    ),
    "floats": (lambda root: set_array(root, "test/all__labels", lambda a: a * 0.5), "test/all__labels.npy must hold whole numbers"),
    "fewer labels": (
        lambda root: set_array(root, "train/all__labels", lambda a: a[1:]),
        r"all__labels.npy has shape \(7, 6\), not",
    ),
    "falling": (
        lambda root: set_array(root, "train/all__puzzle_indices", put(2, 2)),
        r"indices must rise, so that nothing is without examples: .*puzzle_indices.npy has 2 in row 1 and 2 in row 2",
    ),
    "short": (lambda root: set_array(root, "train/all__group_indices", lambda a: a[:-1]), "must run from 0 to the 4 puzzles"),
    "empty": (lambda root: set_array(root, "train/all__group_indices", lambda a: a[:0]), "group_indices.npy has nothing"),
    "identifier": (
        lambda root: set_array(root, "train/all__puzzle_identifiers", put(1, 4)),
        "identifiers must be below the count 4: .*puzzle_identifiers.npy row 1 has 4",
    ),
    "identifiers": (
        lambda root: set_array(root, "train/all__puzzle_identifiers", lambda a: a[1:]),
        "every puzzle must have an identifier: .* has 3 for 4 puzzles",
    ),
    "token": (
        lambda root: set_array(root, "train/all__inputs", put((3, 2), 5)),
        r"tokens must be 0 to 4: row 3 of .*train/all__inp",
    ),
    "groups": (lambda root: set_json(root, "train/dataset.json", total_groups=9), "has total_groups 9, they 3"),
    "mean": (lambda root: set_json(root, "test/dataset.json", mean_puzzle_examples=7), "has mean_puzzle_examples 7.0, they 1.5"),
    "pad": (lambda root: set_json(root, "train/dataset.json", pad_id=3), "pad_id must be 0: .* has 3"),
    "ignored": (lambda root: set_json(root, "train/dataset.json", ignore_label_id=2), "ignore_label_id must be 0: .* has 2"),
    "sets": (lambda root: set_json(root, "train/dataset.json", sets=["a", "b"]), r'sets must be \["all"\]'),
    "fields": (lambda root: (root / "train/dataset.json").write_text("{}"), "train/dataset.json, pad_id: Field required"),
    "not JSON": (lambda root: (root / "identifiers.json").write_text("["), "identifiers.json must be JSON"),
    "not a list": (lambda root: (root / "identifiers.json").write_text("{}"), "identifiers.json must hold a list"),
    "names": (
        lambda root: (root / "identifiers.json").write_text('["a"]'),
        "must name each of the 4 identifiers: .* has 1 entries",
    ),
    "vocabularies": (
        lambda root: set_json(root, "test/dataset.json", vocab_size=6),
        "one vocab_size: .* says 5, test/dataset.json 6",
    ),
    "leak": (
        lambda root: set_array(root, "train/all__inputs", put(6, spelt(9))),
        r"a test puzzle must not be trained on: row 6 of .*train/all__inputs.npy is in the test split too \(1 puzzles",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_file_and_row(tmp_path: Path, fault: str) -> None:
    root = write_folder(tmp_path / "source", SMALL, 4)
    damage, message = FAULTS[fault]
    damage(root)
    with pytest.raises(DatasetError, match=message):
        imported(root)


def test_bad_rows_are_left_out_and_counted_when_asked(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "source", SMALL, 4)
    FAULTS["token"][0](root)
    FAULTS["leak"][0](root)
    built = imported(root, skip_bad=True)
    assert built.skipped == {"tokens must be 0 to 4": 1, "a test puzzle must not be trained on": 2}
    assert built.splits["train"].groups.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [("sudoku", "must hold puzzles of the kind sudoku: it has 6 cells and 5 tokens"), ("arc", "must hold puzzles of the kind arc")],
)
def test_another_kind_of_puzzle_is_refused(tmp_path: Path, puzzle: str, message: str) -> None:
    root = write_folder(tmp_path / "source", SMALL, 4)
    with pytest.raises(DatasetError, match=message):
        imported(root, puzzle=puzzle)
    with pytest.raises(DatasetError, match="a canvas must be square or said"):
        imported(root, grid=None)


NAMES: list[tuple[list[str], str]] = [
    (["<blank>", "a|||t1|||0123456789"], "the first identifier of a task must be the unaugmented one: here entry 1"),
    (["<blank>", "a", "b", "a|||t1|||0123456789"], "the identifiers of a task must follow each other: here entry 3 is a again"),
    (["<blank>", "a", "a|||t9|||0123456789"], "an augmentation's name must be NAME|||tK|||PERMUTATION: here entry 2"),
    (["<blank>", "a", "a|||t1|||0123456788"], "an augmentation's name must be NAME|||tK|||PERMUTATION: here entry 2"),
]


@pytest.mark.parametrize(("names", "message"), NAMES)
def test_arc_names_that_do_not_fit_are_named(names: list[str], message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        arrays_arc.identifier_table_of(names, "here")
    assert message in str(caught.value)


def test_unused_identifiers_are_kept() -> None:
    table = arrays_arc.identifier_table_of(["<blank>", "<blank>", "<blank>", "a", "a|||t3|||0213456789"], "here")
    assert table.names == ("<blank>", "a")
    assert table.starts.tolist() == [1, 3, 5]
    assert table.codes[:4].tolist() == [0, 0, 0, 0]
    assert table.codes[4] == 8 * 40320 + 3


MAZE_FAULTS: list[tuple[str, Callable[[np.ndarray], Any], str]] = [
    ("inputs", put(0, 2), "walls, spaces, one S and one G: row 0 of .*train/all__inputs.npy"),
    ("labels", put(2, 1), "the question with a path drawn in: row 2"),
    ("labels", lambda labels: np.where(labels == 5, 2, labels), "draw a shortest path: row 0 .* \\(5 rows in all\\)"),
]


@pytest.mark.parametrize(("array", "change", "message"), MAZE_FAULTS)
def test_a_wrong_maze_is_named(tmp_path: Path, array: str, change: Callable[[np.ndarray], Any], message: str) -> None:
    recipe = MazeRecipe(name="mazes", size=6, train=5, validation=0, test=2, wall_fraction=0.3, min_path=3)
    build_into(recipe, str(tmp_path / "set"), silent)
    export_dataset(str(tmp_path / "set"), str(tmp_path / "out"))
    assert len(imported(tmp_path / "out", puzzle="maze", grid=None).splits["train"].groups) == 5
    set_array(tmp_path / "out", f"train/all__{array}", change)
    with pytest.raises(DatasetError, match=message):
        imported(tmp_path / "out", puzzle="maze", grid=None)

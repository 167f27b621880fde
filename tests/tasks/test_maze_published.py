"""The published mazes, arrays or CSV: imported without a leak, and every bad row named, or left out and counted."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from trm.errors import DatasetError
from trm.tasks.making.dihedral import apply
from trm.tasks.maze.build import build_maze
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.solver import shortest_paths, solve
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, VOCABULARY, WALL

SMALL = {"name": "m", "size": 7, "min_path": 8, "train": 40, "validation": 10, "test": 20}
HEADER = "source,question,answer,rating"
LEAKED = "a symmetric form of a test maze"


def publish_arrays(folder: Path, name: str, inputs: np.ndarray, labels: np.ndarray) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / name / "all__inputs.npy", inputs)
    np.save(folder / name / "all__labels.npy", labels)


def publish_csv(folder: Path, name: str, inputs: np.ndarray, labels: np.ndarray) -> None:
    texts = [["".join(VOCABULARY[token] for token in row) for row in column] for column in (inputs, labels)]
    rows = [f"case,{question},{answer},{number}" for number, (question, answer) in enumerate(zip(*texts, strict=True))]
    (folder / f"{name}.csv").write_text("\n".join([HEADER, *rows]) + "\n")


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Questions and labels of 43 training mazes, the last three symmetric forms of the first three, and of 20 test mazes."""
    splits = build_maze(MazeRecipe.model_validate(SMALL)).splits
    train, test = splits["train"], splits["test"]
    doubled = apply(train.inputs[:3], np.array([1, 4, 6]))  # they must go where those go
    inputs = np.concatenate([train.inputs, doubled])
    return {"train": (inputs, solve(inputs, (7, 7))), "test": (test.inputs, test.labels)}


@pytest.fixture(params=[publish_arrays, publish_csv], ids=["arrays", "csv"])
def published(request: pytest.FixtureRequest, tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    for name, columns in made.items():
        request.param(tmp_path, name, *columns)
    return tmp_path


def recipe_of(folder: Path, **values: object) -> MazeRecipe:
    return MazeRecipe.model_validate(SMALL | {"path": str(folder), "train": None, "test": None} | values)


def test_import_keeps_the_test_set_and_holds_validation_out_of_train(
    published: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    built = build_maze(recipe_of(published))
    assert (built.splits["test"].inputs == made["test"][0]).all()
    assert (built.splits["test"].labels == made["test"][1]).all()
    classes = {name: set(symmetry_classes(split.inputs, 7)) for name, split in built.splits.items()}
    assert [len(classes[name]) for name in ("train", "validation", "test")] == [30, 10, 20]
    assert len(built.splits["train"].inputs) + len(built.splits["validation"].inputs) == 43
    assert not classes["train"] & classes["validation"]
    assert not built.skipped
    for split in built.splits.values():
        assert (np.diff(split.groups) >= 0).all()


def test_both_formats_and_a_url_are_one_data_set(tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    memory = fsspec.filesystem("memory")
    for name, columns in made.items():
        publish_arrays(tmp_path / "arrays", name, *columns)
        publish_csv(tmp_path, name, *columns)
        memory.pipe_file(f"/mazes/{name}.csv", (tmp_path / f"{name}.csv").read_bytes())
    arrays, csv, url = (
        build_maze(recipe_of(tmp_path, path=path)) for path in (f"{tmp_path}/arrays", str(tmp_path), "memory://mazes")
    )
    for name, split in arrays.splits.items():
        for other in (csv, url):
            columns = other.splits[name].columns()
            assert set(columns) == {*split.columns(), "rating"}
            assert all((column == columns[key]).all() for key, column in split.columns().items())


def test_import_leaves_out_training_mazes_that_are_forms_of_test_mazes(
    tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    turned = apply(made["train"][0][5:6], np.array([2]))
    publish_arrays(tmp_path, "train", *made["train"])
    publish_arrays(tmp_path, "test", turned, solve(turned, (7, 7)))
    built = build_maze(recipe_of(tmp_path))
    assert len(built.splits["test"].inputs) == 1
    assert built.skipped == {LEAKED: 1}
    kept = {key for name in ("train", "validation") for key in symmetry_classes(built.splits[name].inputs, 7)}
    assert len(kept) == 39
    assert symmetry_classes(turned, 7)[0] not in kept


def spoilt(made: dict[str, tuple[np.ndarray, np.ndarray]], how: str) -> tuple[np.ndarray, np.ndarray]:
    """The test mazes, the fifth of them spoilt."""
    inputs, labels = (column.copy() for column in made["test"])
    question, label = inputs[4], labels[4]
    if how == "path through a wall":
        label[np.flatnonzero(label == WALL)[0]] = PATH
    elif how == "two starts":
        question[np.flatnonzero(question == SPACE)[0]] = START
    elif how == "no goal":
        question[question == GOAL] = SPACE
    elif how == "closed":
        question[question == SPACE] = WALL
    elif how == "path in the question":
        question[np.flatnonzero(label == PATH)[0]] = PATH
    elif how == "no label":
        labels[4] = question
    elif how == "not shortest":
        label[label == SPACE] = PATH
    return inputs, labels


BAD = {
    "path through a wall": "a label must be the maze with a shortest path",
    "two starts": "a maze must have one S and one G",
    "no goal": "a maze must have one S and one G",
    "closed": "a maze must have a path from S to G",
    "path in the question": "a maze must hold #, space, S and G",
    "no label": "a label must be the maze with a shortest path",
    "not shortest": "a label must be the maze with a shortest path",
}


@pytest.mark.parametrize("publish", [publish_arrays, publish_csv])
@pytest.mark.parametrize("how", BAD)
def test_a_bad_maze_is_named_or_left_out_and_counted(
    tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]], how: str, publish: object
) -> None:
    write = publish_arrays if publish is publish_arrays else publish_csv
    write(tmp_path, "train", *made["train"])
    write(tmp_path, "test", *spoilt(made, how))
    row = 4 if write is publish_arrays else 5
    remedy = "mend or remove the row, or leave it out with skip_bad: true"
    with pytest.raises(DatasetError, match=rf"^{BAD[how]}: .*test.* row {row} breaks that; {remedy}"):
        build_maze(recipe_of(tmp_path))
    built = build_maze(recipe_of(tmp_path, skip_bad=True))
    assert built.skipped == {BAD[how]: 1}
    assert len(built.splits["test"].inputs) == 19


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (f"s,{'#' * 48},{'#' * 49},1", "a question must have 49 characters"),
        (f"s,{'#' * 48}x,{'#' * 49},1", "a question must hold #, space, S, G and o"),
        ("s,S", "a row must have as many columns as the header"),
    ],
)
def test_a_bad_line_is_named_or_left_out_and_counted(
    tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]], line: str, rule: str
) -> None:
    for name, columns in made.items():
        publish_csv(tmp_path, name, *columns)
    with open(tmp_path / "train.csv", "a") as file:
        file.write(line)
    with pytest.raises(DatasetError, match=rf"{rule}: .*train.csv row 44 breaks that"):
        build_maze(recipe_of(tmp_path))
    built = build_maze(recipe_of(tmp_path, skip_bad=True))
    assert built.skipped == {rule: 1}
    assert len(built.splits["train"].inputs) + len(built.splits["validation"].inputs) == 43


def test_a_maze_in_both_files_is_refused_and_both_rows_are_named(
    tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]
) -> None:
    publish_arrays(tmp_path, "train", *made["train"])
    publish_arrays(tmp_path, "test", *(np.concatenate([made["test"][k], made["train"][k][6:7]]) for k in range(2)))
    rule = "a puzzle must not be in both train and test"
    with pytest.raises(DatasetError, match=rf"{rule}: .*train/all__inputs.npy row 6, which is .*test/all__inputs.npy row 20,"):
        build_maze(recipe_of(tmp_path))
    assert build_maze(recipe_of(tmp_path, skip_bad=True)).skipped == {rule: 1}


def test_files_that_hold_no_such_mazes_are_refused(tmp_path: Path, made: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    with pytest.raises(DatasetError, match=r"holds train/all__inputs.npy or train.csv: .*nowhere holds neither"):
        build_maze(recipe_of(tmp_path / "nowhere"))
    for name, columns in made.items():
        publish_arrays(tmp_path, name, *columns)
    with pytest.raises(DatasetError, match=r"whole numbers \(mazes, 64\), it holds uint8"):
        build_maze(recipe_of(tmp_path, size=8))
    with pytest.raises(
        DatasetError, match=r"train split must hold 41 different mazes for train and validation: .* has 40 that fit"
    ):
        build_maze(recipe_of(tmp_path, validation=40))
    with pytest.raises(DatasetError, match=r"train split must hold 41 different mazes"):
        build_maze(recipe_of(tmp_path, train=31, validation=10))
    with pytest.raises(DatasetError, match=r"test split must hold 21 different mazes: .* has 20 that fit"):
        build_maze(recipe_of(tmp_path, test=21))
    inputs, labels = made["test"]
    publish_arrays(tmp_path, "test", inputs.astype(np.int64) + 256, labels)
    with pytest.raises(DatasetError, match=r"a maze must hold #, space, S and G: .*all__inputs.npy row 0 breaks"):
        build_maze(recipe_of(tmp_path))
    publish_arrays(tmp_path, "test", inputs, labels[:-1])
    with pytest.raises(DatasetError, match=r"a label for every maze: .* holds 20, .* 19"):
        build_maze(recipe_of(tmp_path))
    (tmp_path / "test" / "all__labels.npy").write_bytes(b"torn")
    with pytest.raises(DatasetError, match="must be a whole NumPy array"):
        build_maze(recipe_of(tmp_path))


def test_another_shortest_path_than_the_rules_is_a_label_too(tmp_path: Path) -> None:
    question = np.full((2, 25), SPACE, dtype=np.uint8)
    question[:, 0], question[0, 24], question[1, 20] = START, GOAL, GOAL
    labels = question.copy()
    labels[0, [1, 2, 3, 4, 9, 14, 19]] = PATH  # right first, where the rule says down
    labels[1, [5, 10, 15]] = PATH
    assert (labels[0] != solve(question, (5, 5))[0]).any()
    other = question[:1].copy()
    other[0, 12] = WALL
    publish_arrays(tmp_path, "test", question, labels)
    publish_arrays(tmp_path, "train", other, solve(other, (5, 5)))
    built = build_maze(recipe_of(tmp_path, size=5, validation=0))
    assert (built.splits["test"].labels == labels).all()
    assert shortest_paths(question, (5, 5)).lengths.tolist() == [7, 3]

"""Mazes: the labelling rule, the generator's promises, and the importer of the published arrays."""

from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.data.augmentation.dihedral import SYMMETRIES, apply
from trm.data.builders.maze import build_maze, symmetry_classes
from trm.data.builders.maze_solver import GOAL, PATH, SPACE, START, UNREACHABLE, WALL, draws_shortest_path, shortest_paths, solve
from trm.data.recipes import MazeRecipe
from trm.errors import DatasetError

SMALL = {"name": "m", "size": 7, "min_path": 8, "train": 40, "validation": 10, "test": 20}


def parse(text: str) -> tuple[np.ndarray, tuple[int, int]]:
    rows = text.strip("\n").split("\n")
    tokens = {"#": WALL, ".": SPACE, "S": START, "G": GOAL, "o": PATH}
    return np.array([[tokens[c] for row in rows for c in row]], dtype=np.uint8), (len(rows), len(rows[0]))


def plain_search(maze: np.ndarray, grid: tuple[int, int]) -> list[int] | None:
    """The rule as TRM.md says it, written for reading: path cells from S to G."""
    height, width = grid
    cells = maze.reshape(grid)
    start, goal = (tuple(int(i) for i in np.argwhere(cells == token)[0]) for token in (START, GOAL))
    parents, queue = {start: start}, deque([start])
    while queue:
        row, column = queue.popleft()
        for near in ((row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column)):
            if 0 <= near[0] < height and 0 <= near[1] < width and cells[near] != WALL and near not in parents:
                parents[near] = (row, column)
                queue.append(near)
    if goal not in parents:
        return None
    path, at = [], parents[goal]
    while at != start:
        path.append(at[0] * width + at[1])
        at = parents[at]
    return path[::-1]


@st.composite
def mazes(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int]]:
    grid = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cells = np.where(rng.random(grid[0] * grid[1]) < draw(st.floats(0, 0.6)), WALL, SPACE).astype(np.uint8)
    start, goal = rng.choice(len(cells), 2, replace=False)
    cells[start], cells[goal] = START, GOAL
    return cells[None], grid


def test_down_then_left_then_right_then_up_decides_among_equal_paths() -> None:
    maze, grid = parse("S..\n...\n..G")
    assert (solve(maze, grid)[0] == parse("S..\no..\nooG")[0]).all()
    maze, grid = parse("..S\n...\nG..")
    assert (solve(maze, grid)[0] == parse("..S\n..o\nGoo")[0]).all()
    maze, grid = parse("..G\n...\nS..")
    assert (solve(maze, grid)[0] == parse("..G\n..o\nSoo")[0]).all()


@given(mazes())
def test_solver_equals_the_rule_written_plainly(case: tuple[np.ndarray, tuple[int, int]]) -> None:
    maze, grid = case
    labels, lengths = shortest_paths(maze, grid)
    path = plain_search(maze[0], grid)
    if path is None:
        assert lengths[0] == UNREACHABLE
        assert (labels == maze).all()
        return
    assert lengths[0] == len(path)
    expected = maze.copy()
    expected[0, path] = PATH
    assert (labels == expected).all()


@given(mazes())
def test_a_label_is_a_shortest_path_and_stays_one_under_every_symmetry(case: tuple[np.ndarray, tuple[int, int]]) -> None:
    maze, grid = case
    label, length = shortest_paths(maze, grid)
    assert draws_shortest_path(maze, label == PATH, grid)[0] == (length[0] != UNREACHABLE)
    if grid[0] == grid[1]:
        every = np.arange(SYMMETRIES)
        turned, drawn = apply(np.repeat(maze, SYMMETRIES, 0), every), apply(np.repeat(label, SYMMETRIES, 0), every) == PATH
        assert (draws_shortest_path(turned, drawn, grid) == (length[0] != UNREACHABLE)).all()
        assert (shortest_paths(turned, grid).lengths == length[0]).all()


def test_what_is_no_shortest_path() -> None:
    maze, grid = parse("S..\n.#.\n..G")
    wrong = ["S..\no#.\n.oG", "Soo\no#o\nooG", "S..\n.#.\n..G", "So.\n.o.\n..G"]
    drawn = np.concatenate([parse(text)[0] for text in (*wrong, "Soo\n.#o\n..G")]) == PATH
    assert draws_shortest_path(np.repeat(maze, 5, 0), drawn, grid).tolist() == [False, False, False, False, True]


def test_a_detour_is_no_shortest_path() -> None:
    maze, grid = parse("S.G\n...")
    assert not draws_shortest_path(maze, parse("S.G\nooo")[0] == PATH, grid)[0]


def test_splits_have_the_sizes_asked_for_and_share_no_maze_under_any_symmetry() -> None:
    built = build_maze(MazeRecipe.model_validate(SMALL))
    classes = {name: symmetry_classes(split.inputs, 7) for name, split in built.splits.items()}
    assert {name: len(keys) for name, keys in classes.items()} == {"train": 40, "validation": 10, "test": 20}
    assert len({key for keys in classes.values() for key in keys}) == 70
    assert len({group for split in built.splits.values() for group in split.groups.tolist()}) == 70


def test_generated_mazes_keep_their_promises() -> None:
    built = build_maze(MazeRecipe.model_validate(SMALL | {"size": 12, "min_path": 20}))
    for split in built.splits.values():
        labels, lengths = shortest_paths(split.inputs, (12, 12))
        assert (labels == split.labels).all()
        assert lengths.min() >= 20
        assert ((split.inputs == START).sum(1) == 1).all()
        assert ((split.inputs == GOAL).sum(1) == 1).all()
        assert set(np.unique(split.inputs)) == {WALL, SPACE, START, GOAL}
        assert 0.3 < (split.inputs == WALL).mean() < 0.42


def test_the_seed_decides_the_mazes() -> None:
    one, again, other = (build_maze(MazeRecipe.model_validate(SMALL | {"seed": seed})).splits["test"].inputs for seed in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()


def test_symmetry_classes_are_equal_exactly_for_symmetric_mazes() -> None:
    maze = build_maze(MazeRecipe.model_validate(SMALL)).splits["train"].inputs[:2]
    first = symmetry_classes(apply(np.repeat(maze[:1], SYMMETRIES, 0), np.arange(SYMMETRIES)), 7)
    assert len(set(first)) == 1
    assert first[0] != symmetry_classes(maze[1:], 7)[0]


def test_mazes_that_cannot_exist_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.data.builders.maze.FRUITLESS_ROUNDS", 2)
    with pytest.raises(DatasetError, match="ran out: 0 of 70"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 40}))
    with pytest.raises(DatasetError, match="room for S and G"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 48}))


def publish(folder: Path, name: str, inputs: np.ndarray, labels: np.ndarray) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / name / "all__inputs.npy", inputs)
    np.save(folder / name / "all__labels.npy", labels)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    made = build_maze(MazeRecipe.model_validate(SMALL)).splits
    train, test = made["train"], made["test"]
    doubled = apply(train.inputs[:3], np.array([1, 4, 6]))  # symmetric forms of three rows must go where those go
    publish(tmp_path, "train", np.concatenate([train.inputs, doubled]), np.concatenate([train.labels, solve(doubled, (7, 7))]))
    publish(tmp_path, "test", test.inputs, test.labels)
    return tmp_path


def test_import_keeps_the_test_set_and_holds_validation_out_of_train(published: Path) -> None:
    recipe = MazeRecipe.model_validate(SMALL | {"path": str(published), "train": None, "test": None})
    built = build_maze(recipe)
    assert (built.splits["test"].inputs == np.load(published / "test" / "all__inputs.npy")).all()
    assert (built.splits["test"].labels == np.load(published / "test" / "all__labels.npy")).all()
    classes = {name: set(symmetry_classes(split.inputs, 7)) for name, split in built.splits.items()}
    assert [len(classes[name]) for name in ("train", "validation", "test")] == [30, 10, 20]
    assert len(built.splits["train"].inputs) + len(built.splits["validation"].inputs) == 43
    assert not classes["train"] & classes["validation"]
    for split in built.splits.values():
        assert (np.diff(split.groups) >= 0).all()


def test_import_drops_training_mazes_that_are_in_the_test_set(published: Path) -> None:
    inputs = np.load(published / "train" / "all__inputs.npy")
    turned = apply(inputs[5:6], np.array([2]))
    publish(published, "test", turned, solve(turned, (7, 7)))
    built = build_maze(MazeRecipe.model_validate(SMALL | {"path": str(published), "train": None, "test": None}))
    assert len(symmetry_classes(built.splits["test"].inputs, 7)) == 1
    kept = {key for name in ("train", "validation") for key in symmetry_classes(built.splits[name].inputs, 7)}
    assert len(kept) == 39
    assert symmetry_classes(turned, 7)[0] not in kept


def test_import_of_what_is_no_maze_is_refused(published: Path) -> None:
    recipe = SMALL | {"path": str(published), "train": None, "test": None}
    with pytest.raises(DatasetError, match=r"must exist: .*nowhere"):
        build_maze(MazeRecipe.model_validate(recipe | {"path": str(published / "nowhere")}))
    with pytest.raises(DatasetError, match=r"whole numbers \(mazes, 64\), it is uint8"):
        build_maze(MazeRecipe.model_validate(recipe | {"size": 8}))
    with pytest.raises(DatasetError, match="leave none to train on"):
        build_maze(MazeRecipe.model_validate(recipe | {"validation": 40}))
    labels = np.load(published / "test" / "all__labels.npy")
    labels[4, np.flatnonzero(labels[4] == WALL)[0]] = PATH
    np.save(published / "test" / "all__labels.npy", labels)
    with pytest.raises(DatasetError, match=r"maze 4 of .*test is not so \(1 in all\)"):
        build_maze(MazeRecipe.model_validate(recipe))
    (published / "test" / "all__labels.npy").write_bytes(b"torn")
    with pytest.raises(DatasetError, match="must be a NumPy array"):
        build_maze(MazeRecipe.model_validate(recipe))

"""Mazes with one path each: what carving promises, and what a recipe of them may not say."""

import numpy as np
import pytest
from data_cases import HalfStore
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trm.data.batches.augmenter import PlainRows, RowDraw
from trm.data.batches.keyed_random import hashed
from trm.errors import DatasetError
from trm.tasks.making.chunks import remade
from trm.tasks.maze.augment import MazeRows
from trm.tasks.maze.build import build_maze, maker
from trm.tasks.maze.carving import carve_mazes
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.solver import shortest_paths
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import GOAL, START, WALL

SMALL = {"name": "m", "style": "perfect", "size": 9, "min_path": 9, "max_path": 21, "train": 40, "validation": 10, "test": 20}


def joined(maze: np.ndarray, side: int) -> int:
    """Pairs of free cells that touch."""
    free = (maze != WALL).reshape(side, side)
    return int((free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum())


@given(st.integers(3, 9), st.integers(0, 1 << 40))
def test_a_carved_maze_is_a_tree_of_all_rooms_with_its_ends_in_rooms(rooms: int, seed: int) -> None:
    side = 2 * rooms - 1
    mazes = carve_mazes(seed, side, (3, side * side), tries=30, most=8)
    _, lengths = shortest_paths(mazes, (side, side))
    assert len(mazes) == 8
    assert lengths.min() >= 3
    for maze in mazes:
        free = np.flatnonzero(maze != WALL)
        assert len(free) == 2 * rooms**2 - 1, "every room, and a wall broken for each but the first"
        assert joined(maze, side) == len(free) - 1, "a tree: between two cells leads one path"
        for end in (START, GOAL):
            place = int((maze == end).argmax())
            assert place // side % 2 == place % side % 2 == 0


def test_paths_keep_their_bounds_and_no_maze_is_another_turned() -> None:
    built = build_maze(MazeRecipe.model_validate(SMALL))
    mazes = np.concatenate([split.inputs for split in built.splits.values()])
    labels, lengths = shortest_paths(mazes, (9, 9))
    assert (labels == np.concatenate([split.labels for split in built.splits.values()])).all()
    assert (lengths.min(), lengths.max()) == (9, 21)
    assert len(set(symmetry_classes(mazes, 9))) == len(mazes) == 70


def test_random_mazes_keep_a_greatest_path_too() -> None:
    built = build_maze(MazeRecipe.model_validate(SMALL | {"style": "random", "max_path": 10}))
    _, lengths = shortest_paths(built.splits["train"].inputs, (9, 9))
    assert set(lengths.tolist()) <= {9, 10}


def test_a_label_is_turned_with_its_maze_and_is_what_solving_anew_gives() -> None:
    split = build_maze(MazeRecipe.model_validate(SMALL)).splits["train"]
    plain, rows = PlainRows(split.inputs, split.labels), np.arange(40)
    draw = RowDraw(rows, np.zeros(40, dtype=np.int32), hashed(5, rows))
    turned, solved = MazeRows(plain, have_one_path=True).train(draw), MazeRows(plain).train(draw)
    assert all((one == other).all() for one, other in zip(turned, solved, strict=True))


def test_a_build_through_a_store_is_the_same_build_and_shards_can_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.maze.build.PIECE_MAZES", 16)
    recipe = MazeRecipe.model_validate(SMALL | {"size": 5, "min_path": 5, "max_path": None})  # so small that some come twice
    store = HalfStore()
    first, again, alone = build_maze(recipe, store=store), build_maze(recipe, store=store), build_maze(recipe)
    pieces = maker(recipe)
    assert store.loads
    assert first.duplicates
    assert pieces is not None
    for name, split in first.splits.items():
        for other in (again.splits[name], alone.splits[name]):
            assert (split.inputs == other.inputs).all()
            assert (split.draws == other.draws).all()
        made = remade(pieces, int(split.draws[0]), int(split.draws[-1]), first.duplicates)
        assert (made["inputs"] == split.inputs).all()
        assert (made["labels"] == split.labels).all()


def test_recipes_of_random_mazes_keep_their_digests() -> None:
    assert MazeRecipe(name="m").digest().startswith("3b3cc5fa79bd")
    assert MazeRecipe(name="m", max_path=200).digest() != MazeRecipe(name="m").digest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 10}, "mazes of style perfect have an odd size, got 10; try 9 or 11"),
        ({"max_path": 8}, "max_path must be at least min_path, got 8 and 9"),
        ({"min_path": 10, "max_path": 10}, "an odd number of cells, got 10 as min_path and max_path"),
        ({"wall_fraction": 0.3}, "wall_fraction is of mazes of random walls, got 0.3 with style perfect"),
        ({"path": "somewhere"}, "style perfect is how mazes are generated, and path 'somewhere' imports some"),
        ({"style": "braided"}, "Input should be 'random' or 'perfect'"),
    ],
)
def test_recipes_that_mean_nothing_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MazeRecipe.model_validate(SMALL | changes)


def test_mazes_that_cannot_exist_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.maze.build.CARVED_TRIES", 100)
    with pytest.raises(DatasetError, match="room for S and G: 49 path cells in 81, of perfect style"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 49, "max_path": None}))
    with pytest.raises(DatasetError, match=r"with one path each and min_path 47 ran out: \d+ of 70"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 47, "max_path": None}))

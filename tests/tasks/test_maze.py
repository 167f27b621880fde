"""Mazes: the labelling rule, the generator's promises, and how hard mazes are distributed."""

from collections import deque

import numpy as np
import pytest
from data_cases import HalfStore
from hypothesis import given, settings
from hypothesis import strategies as st

from trm.errors import DatasetError
from trm.tasks.making.chunks import remade
from trm.tasks.making.dihedral import SYMMETRIES, apply
from trm.tasks.maze.build import build_maze, maker
from trm.tasks.maze.generator import draw_mazes
from trm.tasks.maze.recipe import MazeRecipe
from trm.tasks.maze.solver import UNREACHABLE, draws_shortest_path, shortest_paths, solve, spread
from trm.tasks.maze.symmetry import symmetry_classes
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, WALL

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


@settings(max_examples=12)
@given(st.integers(5, 8), st.integers(0, 1 << 40), st.lists(st.integers(1, 12), min_size=3, max_size=3))
def test_no_symmetry_takes_a_maze_of_one_split_to_one_of_another(side: int, seed: int, counts: list[int]) -> None:
    train, validation, test = counts
    recipe = MazeRecipe(name="m", size=side, min_path=4, seed=seed, train=train, validation=validation, test=test)
    mazes = np.concatenate([split.inputs for split in build_maze(recipe).splits.values()])
    every = apply(np.repeat(mazes, SYMMETRIES, 0), np.tile(np.arange(SYMMETRIES), len(mazes)))
    owners: dict[bytes, int] = {}
    assert all(owners.setdefault(form.tobytes(), k // SYMMETRIES) == k // SYMMETRIES for k, form in enumerate(every))


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
    monkeypatch.setattr("trm.tasks.maze.build.PIECE_TRIES", 1000)
    with pytest.raises(DatasetError, match="ran out: 0 of 70 different ones after 8000 tries without another"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 40}))
    with pytest.raises(DatasetError, match="room for S and G"):
        build_maze(MazeRecipe.model_validate(SMALL | {"min_path": 48}))
    with pytest.raises(DatasetError, match=r"ran out: \d+ of 100000 "):
        build_maze(MazeRecipe.model_validate(SMALL | {"size": 5, "min_path": 11, "train": 99_970}))


def test_a_build_through_a_store_of_half_the_pieces_is_the_same_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.tasks.maze.build.PIECE_MAZES", 16)
    recipe = MazeRecipe.model_validate(
        SMALL | {"size": 5, "min_path": 7, "wall_fraction": 0.05}
    )  # so small that some are drawn twice
    store = HalfStore()
    first, again, alone = build_maze(recipe, store=store), build_maze(recipe, store=store), build_maze(recipe)
    assert store.loads
    pieces = maker(recipe)
    assert pieces is not None
    assert first.duplicates
    for name, split in first.splits.items():
        for other in (again, alone):
            pairs = zip(split.columns().values(), other.splits[name].columns().values(), strict=True)
            assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)
            assert (split.draws == other.splits[name].draws).all()
            assert first.duplicates == other.duplicates
        made = remade(pieces, int(split.draws[0]), int(split.draws[-1]), first.duplicates)
        assert all((made[key] == column).all() for key, column in split.columns().items() if key != "groups")


def test_only_generated_mazes_come_in_pieces() -> None:
    assert maker(MazeRecipe(name="m", path="somewhere")) is None


@given(st.integers(5, 8), st.integers(1, 14), st.integers(0, 1 << 40))
def test_drawn_mazes_are_far_apart_and_none_is_missed(side: int, min_path: int, seed: int) -> None:
    mazes = draw_mazes(seed, side, (0.2, 0.5), min_path, tries=400, most=20)
    _, lengths = shortest_paths(mazes, (side, side))
    assert (lengths >= min_path).all()
    assert len(mazes) == 20 or min_path > 2


def test_ends_are_uniform_over_all_pairs_far_enough_apart() -> None:
    mazes = draw_mazes(1, 5, (0.0, 0.0), 6, tries=10**6, most=3000)
    starts, goals = (mazes == START).argmax(axis=1), (mazes == GOAL).argmax(axis=1)
    steps = abs(starts // 5 - goals // 5) + abs(starts % 5 - goals % 5)
    _, counts = np.unique(starts * 25 + goals, return_counts=True)
    assert steps.min() == 7
    assert len(counts) == 20  # from each corner of the empty square to the opposite one and its two neighbours, and back
    assert abs(counts - 150).max() < 5 * 150**0.5


PUBLISHED = {
    "walls": (0.3717, 0.0267, ((0.3378, 0.106), (0.3533, 0.240), (0.3722, 0.499), (0.3900, 0.759), (0.4056, 0.902))),
    "path": (112.79, 5.06, ((108, 0.160), (109, 0.296), (111, 0.519), (115, 0.776), (119, 0.902))),
    "apart": (19.88, 9.86, ((8, 0.107), (12, 0.254), (19, 0.543), (26, 0.765), (33, 0.898))),
    "reached": (0.8817, 0.0659, ((0.7883, 0.100), (0.8443, 0.251), (0.8949, 0.499), (0.9307, 0.750), (0.9549, 0.900))),
    "far": (43.60, 32.86, ((10, 0.111), (19, 0.256), (36, 0.509), (61, 0.756), (87, 0.899))),
}
"""Mean, deviation, and share at or below a value, of the 2000 published Maze-Hard mazes: share of walls, path cells, steps
between the ends if there were no walls, share of free cells that S reaches, and cells more than 108 steps from S."""


def figures(mazes: np.ndarray, side: int, min_path: int) -> dict[str, np.ndarray]:
    starts, goals = (mazes == START).argmax(axis=1), (mazes == GOAL).argmax(axis=1)
    reached, far = [], []
    for maze, start in zip(mazes, starts, strict=True):
        parents, queue, steps = (np.zeros(side * side, dtype=np.int32) for _ in range(3))
        met = spread(maze != WALL, side, int(start), -1, parents, queue)
        for cell in queue[1:met]:
            steps[cell] = steps[parents[cell]] + 1
        reached.append(met / (maze != WALL).sum())
        far.append((steps > min_path).sum())
    return {
        "walls": (mazes == WALL).mean(axis=1),
        "path": shortest_paths(mazes, (side, side)).lengths,
        "apart": abs(starts // side - goals // side) + abs(starts % side - goals % side),
        "reached": np.array(reached),
        "far": np.array(far),
    }


def differences(mazes: np.ndarray) -> set[str]:
    """Figures in which these mazes are not distributed as the published ones: means, deviations and shares beyond chance."""
    different = set()
    for name, values in figures(mazes, 30, 108).items():
        mean, deviation, shares = PUBLISHED[name]
        if abs(values.mean() - mean) > 3.5 * deviation / len(mazes) ** 0.5 or abs(values.std() / deviation - 1) > 0.25:
            different.add(name)
        if any(abs((values <= value + 1e-4).mean() - share) > 1.7 / len(mazes) ** 0.5 for value, share in shares):
            different.add(name)
    return different


def test_hard_mazes_are_distributed_as_the_published_ones() -> None:
    pieces = maker(MazeRecipe(name="m"))
    assert pieces is not None
    mazes = np.concatenate([pieces.piece(number)["inputs"] for number in range(4)])
    assert len(mazes) > 200
    assert differences(mazes) == set()


@pytest.mark.parametrize(
    ("densities", "far_ends", "figure"),
    [((0.37, 0.37), 24, "walls"), ((0.4, 0.45), 24, "walls"), ((0.25, 0.49), 1, "far")],
    ids=["one density", "too many walls", "ends not in proportion"],
)
def test_mazes_drawn_in_another_way_are_told_apart(
    densities: tuple[float, float], far_ends: int, figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.tasks.maze.generator.FAR_ENDS", far_ends)
    assert figure in differences(draw_mazes(0, 30, densities, 108, tries=10**8, most=150))

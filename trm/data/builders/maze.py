"""Mazes: a generator in the manner of the published Maze-Hard set, and an importer of its arrays.

The splits are disjoint up to the eight symmetries of the square; mazes that are symmetric forms of each other are one group.
"""

import io
from collections.abc import Mapping
from typing import no_type_check

import numpy as np
from jaxtyping import Integer, UInt8
from numba import njit

from trm.data import storage
from trm.data.augmentation.dihedral import source_cells
from trm.data.builders.built import BuiltDataset, BuiltSplit, Report, silent
from trm.data.builders.maze_solver import GOAL, PATH, SPACE, START, VOCABULARY, WALL, solve, spread
from trm.data.manifest import DihedralAugmentation, NoAugmentation, SplitName
from trm.data.recipes import MazeRecipe
from trm.errors import DatasetError

__all__ = ["build_maze", "solve", "symmetry_classes"]

DENSITY_SPREAD = 0.05
"""A maze's wall density is uniform within this of `wall_fraction`; the published ones vary more than a coin per cell would."""
FAR_ENDS = 16
"""A start is taken in proportion to its far ends, up to so many: the published pairs are uniform over both, but a higher
cap costs more than the lengths it would change (published mean 112.8 path cells; 16: 111.6; 1: 110.3)."""
TRIES_A_ROUND = 20_000
FRUITLESS_ROUNDS = 100
"""Rounds without one new maze after which generation gives up."""


def build_maze(recipe: MazeRecipe, report: Report = silent) -> BuiltDataset:
    """The data set of `recipe`: imported when it has a path, else generated. Raises DatasetError."""
    rng = np.random.default_rng([recipe.seed, 0x6D617A65])
    splits = _generated(recipe, rng, report) if recipe.path is None else _imported(recipe, recipe.path, rng, report)
    return BuiltDataset(
        task="maze",
        grid=(recipe.size, recipe.size),
        vocabulary=VOCABULARY,
        splits=splits,
        augmentation=DihedralAugmentation() if recipe.augment else NoAugmentation(),
    )


def symmetry_classes(inputs: UInt8[np.ndarray, "mazes cells"], side: int) -> list[bytes]:
    """For every maze the least of its eight symmetric forms: equal for two mazes that are one maze turned or mirrored."""
    flat = np.ascontiguousarray(inputs[:, source_cells(side)])  # (mazes, 8, cells)
    return [min(form.tobytes() for form in eight) for eight in flat]


def _generated(recipe: MazeRecipe, rng: np.random.Generator, report: Report) -> dict[SplitName, BuiltSplit]:
    assert recipe.train is not None
    assert recipe.test is not None
    wanted: dict[SplitName, int] = {"train": recipe.train, "validation": recipe.validation, "test": recipe.test}
    inputs = _distinct_mazes(recipe, sum(wanted.values()), rng, report)
    labels = solve(inputs, (recipe.size, recipe.size))
    groups = np.arange(len(inputs), dtype=np.int32)
    borders = np.cumsum(list(wanted.values()))[:-1]
    parts = zip(wanted, *(np.split(column, borders) for column in (inputs, labels, groups)), strict=True)
    return {name: BuiltSplit(*columns) for name, *columns in parts if len(columns[0])}


def _distinct_mazes(recipe: MazeRecipe, wanted: int, rng: np.random.Generator, report: Report) -> np.ndarray:
    """(wanted, cells) uint8 questions, no two of them symmetric forms of each other."""
    if recipe.min_path > recipe.size**2 - 2:
        raise DatasetError(
            f"min_path must leave room for S and G: {recipe.min_path} path cells in {recipe.size**2}",
            remedy=f"use at most {recipe.size**2 // 2}",
        )
    margin = min(DENSITY_SPREAD, recipe.wall_fraction)
    densities = (recipe.wall_fraction - margin, recipe.wall_fraction + margin)
    kept: list[np.ndarray] = []
    seen: set[bytes] = set()
    fruitless = 0
    while len(kept) < wanted:
        room = np.empty((min(wanted - len(kept), 1000), recipe.size**2), dtype=np.uint8)
        found = _draw_mazes(rng, room, recipe.size, *densities, recipe.min_path, TRIES_A_ROUND)
        before = len(kept)
        for maze, key in zip(room[:found], symmetry_classes(room[:found], recipe.size), strict=True):
            if key not in seen:
                seen.add(key)
                kept.append(maze)
        fruitless = 0 if len(kept) > before else fruitless + 1
        if fruitless == FRUITLESS_ROUNDS:
            raise DatasetError(
                f"mazes of size {recipe.size} with wall_fraction {recipe.wall_fraction} and min_path {recipe.min_path} ran out: "
                f"{len(kept)} of {wanted} different ones after {TRIES_A_ROUND * FRUITLESS_ROUNDS} tries without another",
                remedy="lower min_path, bring wall_fraction nearer 0.37, or ask for fewer",
            )
        report("mazes", len(kept), wanted)
    return np.stack(kept)


@njit(cache=True)
@no_type_check
def _draw_mazes(rng: np.random.Generator, room: np.ndarray, side: int, least: float, most: float, min_path: int, tries: int) -> int:
    """Fill `room` with mazes whose shortest path has at least `min_path` cells, in at most `tries` tries; gives how many."""
    cells = side * side
    free = np.empty(cells, dtype=np.bool_)
    parents = np.empty(cells, dtype=np.int32)
    queue = np.empty(cells, dtype=np.int32)
    distance = np.empty(cells, dtype=np.int32)
    found = 0
    for _ in range(tries):
        if found == len(room):
            break
        density = least + (most - least) * rng.random()
        for cell in range(cells):
            free[cell] = rng.random() >= density
        start = rng.integers(0, cells)
        if not free[start]:
            continue
        met = spread(free, side, start, -1, parents, queue)
        distance[start] = 0
        for place in range(1, met):
            distance[queue[place]] = distance[parents[queue[place]]] + 1
        far = 0  # cells at the queue's end that are far enough for G
        while far < met and distance[queue[met - 1 - far]] > min_path:
            far += 1
        if far == 0 or rng.random() * FAR_ENDS >= far:
            continue
        for cell in range(cells):
            room[found, cell] = SPACE if free[cell] else WALL
        room[found, start] = START
        room[found, queue[met - 1 - rng.integers(0, far)]] = GOAL
        found += 1
    return found


def _imported(recipe: MazeRecipe, path: str, rng: np.random.Generator, report: Report) -> dict[SplitName, BuiltSplit]:
    """The published test set whole; validation is held out of the published training set, class by class."""
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for number, name in enumerate(("train", "test")):
        columns[name] = _read_published(storage.join(path, name), recipe.size)
        report("published splits", number + 1, 2)
    numbers: dict[bytes, int] = {}
    groups = {
        name: np.array([numbers.setdefault(key, len(numbers)) for key in symmetry_classes(inputs, recipe.size)], dtype=np.int32)
        for name, (inputs, _) in columns.items()
    }
    test = _first_groups(rng.permutation(np.unique(groups["test"])), recipe.test)
    trainable = rng.permutation(np.setdiff1d(groups["train"], groups["test"]))
    if len(trainable) <= recipe.validation:
        raise DatasetError(
            f"validation is held out of the {len(trainable)} published training mazes: {recipe.validation} leave none to train on",
            remedy="lower validation",
        )
    chosen: dict[SplitName, tuple[str, np.ndarray]] = {
        "train": ("train", _first_groups(trainable[recipe.validation :], recipe.train)),
        "validation": ("train", trainable[: recipe.validation]),
        "test": ("test", test),
    }
    return {name: _taken(*columns[source], groups[source], wanted) for name, (source, wanted) in chosen.items() if len(wanted)}


def _first_groups(shuffled: Integer[np.ndarray, "_"], most: int | None) -> np.ndarray:
    return shuffled if most is None else shuffled[:most]


def _taken(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray, wanted: np.ndarray) -> BuiltSplit:
    """The rows of the `wanted` groups, sorted by group."""
    rows = np.flatnonzero(np.isin(groups, wanted))
    rows = rows[np.argsort(groups[rows], kind="stable")]
    return BuiltSplit(inputs[rows], labels[rows], groups[rows])


def _read_published(folder: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Questions and labels of one published split, (mazes, cells) uint8 each. Raises DatasetError when they are not mazes."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("inputs", "labels"):
        file = storage.join(folder, f"all__{name}.npy")
        data = storage.read_bytes(file, what="published maze array", remedy="give the folder that holds train/ and test/")
        try:
            arrays[name] = np.load(io.BytesIO(data), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DatasetError(f"{file} must be a NumPy array: {error}", remedy="download it again") from None
    _check_published(folder, arrays, side)
    return arrays["inputs"].astype(np.uint8), arrays["labels"].astype(np.uint8)


def _check_published(folder: str, arrays: Mapping[str, np.ndarray], side: int) -> None:
    inputs, labels = arrays["inputs"], arrays["labels"]
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != side * side or array.dtype.kind not in "iu":
            raise DatasetError(
                f"all__{name}.npy in {folder} must be whole numbers (mazes, {side * side}), it is {array.dtype} {array.shape}",
                remedy="set the recipe's size to the mazes' side, or give the folder of the published mazes",
            )
    if inputs.shape != labels.shape or not len(inputs):
        raise DatasetError(
            f"{folder} must hold a label for every maze: inputs {inputs.shape}, labels {labels.shape}", remedy="download it again"
        )
    is_question = ((inputs >= WALL) & (inputs <= GOAL)).all(1)
    has_ends = ((inputs == START).sum(1) == 1) & ((inputs == GOAL).sum(1) == 1)
    is_answer = ((labels == inputs) | ((labels == PATH) & (inputs == SPACE))).all(1)
    if len(wrong := np.flatnonzero(~(is_question & has_ends & is_answer))):
        raise DatasetError(
            f"a maze has tokens {WALL}-{GOAL}, one S, one G, and a label that only adds path: maze {wrong[0]} of {folder} "
            f"is not so ({len(wrong)} in all)",
            remedy="give the folder of the published mazes",
        )

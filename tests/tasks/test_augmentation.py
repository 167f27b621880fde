"""Augmentations: what they mean, and that they are undone exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.data.batches.augmenter import IGNORED, PlainRows, RowDraw
from trm.data.batches.keyed_random import below, hashed, permutations, shuffled
from trm.data.batches.split import IDENTIFIER_COLUMNS, Split
from trm.tasks.arc import augment as arc
from trm.tasks.arc.build import numbered
from trm.tasks.arc.pairs import Pair
from trm.tasks.making import dihedral
from trm.tasks.maze.augment import MazeRows
from trm.tasks.maze.tokens import GOAL, PATH, SPACE, START, WALL
from trm.tasks.sudoku import augment as sudoku
from trm.tasks.sudoku.solver import count_solutions

SEEDS = st.integers(0, 2**63 - 1)


def solved_board(size: int) -> np.ndarray:
    box_rows, box_columns = sudoku.BOXES[size]
    rows, columns = np.divmod(np.arange(size * size), size)
    return ((rows % box_rows * box_columns + rows // box_rows + columns) % size + 2).astype(np.uint8)


def is_solved(board: np.ndarray, size: int) -> bool:
    box_rows, box_columns = sudoku.BOXES[size]
    grid = board.reshape(size, size)
    boxes = grid.reshape(size // box_rows, box_rows, size // box_columns, box_columns).swapaxes(1, 2).reshape(size, size)
    return all((np.sort(lines, axis=1) == np.arange(2, size + 2)).all() for lines in (grid, grid.T, boxes))


def turned(grid: np.ndarray, symmetry: int) -> np.ndarray:
    """The symmetry by numpy's own words."""
    flips = [np.fliplr(grid), np.flipud(grid), grid.T, np.fliplr(np.rot90(grid))]
    return np.rot90(grid, symmetry) if symmetry < 4 else flips[symmetry - 4]


def random_grids(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [(int(rng.integers(1, 31)), int(rng.integers(1, 31))) for _ in range(count - 2)]
    return [rng.integers(0, 10, shape).astype(np.uint8) for shape in [(30, 30), (1, 1), *shapes]]


def random_codes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = hashed(seed, np.arange(count))
    colours = np.concatenate([np.zeros((count, 1), dtype=np.int64), permutations(keys, 9, 0) + 1], axis=1)
    symmetries = below(keys, 8)
    return arc.encode(symmetries, colours), symmetries, colours


@pytest.mark.parametrize("size", [4, 6, 9])
@given(seed=SEEDS)
def test_sudoku_forms_are_solved_boards_and_are_undone(size: int, seed: int) -> None:
    forms = sudoku.draw_forms(hashed(seed, np.arange(8)), size)
    rng = np.random.default_rng(seed)
    questions = np.where(rng.random((8, size * size)) < 0.5, solved_board(size), 1).astype(np.uint8)
    answers = np.tile(solved_board(size), (8, 1))
    moved_answers, moved_questions = sudoku.apply(answers, forms), sudoku.apply(questions, forms)
    assert all(is_solved(board, size) for board in moved_answers)
    assert ((moved_questions == moved_answers) | (moved_questions == 1)).all()
    assert (sudoku.invert(moved_questions, forms) == questions).all()


@pytest.mark.parametrize("size", [4, 6, 9])
@given(seed=SEEDS)
def test_sudoku_forms_keep_the_number_of_solutions(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.2, 0.7, (8, 1))
    questions = np.where(rng.random((8, size * size)) < share, solved_board(size), 1).astype(np.uint8)
    questions[0, np.flatnonzero(questions[0] > 1)[:1]] = 2  # maybe a contradiction
    moved = sudoku.apply(questions, sudoku.draw_forms(hashed(seed, np.arange(8)), size))
    assert (count_solutions(moved, size, limit=50)[0] == count_solutions(questions, size, limit=50)[0]).all()


def test_sudoku_forms_are_all_symmetries_of_the_4x4_board() -> None:
    forms = sudoku.draw_forms(hashed(3, np.arange(100_000)), 4)
    moves, counts = np.unique(forms.cells, axis=0, return_counts=True)
    assert len(moves) == 128
    assert len(np.unique(forms.tokens, axis=0)) == 24
    assert 0.8 * 100_000 / 128 < counts.min() <= counts.max() < 1.2 * 100_000 / 128


def test_six_by_six_is_never_transposed() -> None:
    cells = sudoku.draw_forms(hashed(0, np.arange(200)), 6).cells.reshape(200, 6, 6)
    assert (cells[:, 0, :] // 6 == cells[:, 0, :1] // 6).all()  # a row of the new board is a row of the old one


@pytest.mark.parametrize("symmetry", range(8))
def test_dihedral_is_numpys(symmetry: int) -> None:
    grid = np.arange(25, dtype=np.uint8)[None]
    moved = dihedral.apply(grid, np.array([symmetry]))
    assert (moved.reshape(5, 5) == turned(grid.reshape(5, 5), symmetry)).all()
    assert (dihedral.invert(moved, np.array([symmetry])) == grid).all()


def plain_label(maze: np.ndarray) -> np.ndarray | None:
    """The maze with the path that looking down, left, right, up from S finds first, written for reading."""
    start, goal = (tuple(map(int, np.argwhere(maze == token)[0])) for token in (START, GOAL))
    came_from, queue = {start: start}, [start]
    for row, column in queue:
        for near in ((row + 1, column), (row, column - 1), (row, column + 1), (row - 1, column)):
            if near not in came_from and 0 <= min(near) <= max(near) < len(maze) and maze[near] != WALL:
                came_from[near] = (row, column)
                queue.append(near)
    if goal not in came_from:
        return None
    label, at = maze.copy(), came_from[goal]
    while at != start:
        label[at], at = PATH, came_from[at]
    return label


@given(seed=SEEDS, size=st.integers(3, 9))
def test_an_augmented_maze_is_turned_back_and_its_label_is_by_the_rule(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    mazes = np.where(rng.random((40, size * size)) < rng.uniform(0, 0.4), WALL, SPACE).astype(np.uint8)
    for maze in mazes:
        maze[rng.choice(size * size, 2, replace=False)] = START, GOAL
    plain = [(maze, label) for maze in mazes if (label := plain_label(maze.reshape(size, size))) is not None]
    questions, labels = np.array([maze for maze, _ in plain]), np.array([label.reshape(-1) for _, label in plain])
    draw = RowDraw(np.arange(len(plain)), np.zeros(len(plain), dtype=np.int32), hashed(seed, np.arange(len(plain))))
    turned_questions, turned_labels = MazeRows(PlainRows(questions, labels)).train(draw)
    symmetries = below(draw.keys, 8)
    assert (dihedral.invert(turned_questions.astype(np.uint8), symmetries) == questions).all()
    for question, label in zip(turned_questions, turned_labels, strict=True):
        expected = plain_label(question.reshape(size, size))
        assert expected is not None
        assert (label == expected.reshape(-1)).all()


@given(seed=SEEDS)
def test_arc_codes_are_decoded(seed: int) -> None:
    codes, symmetries, colours = random_codes(seed, 100)
    decoded_symmetries, decoded_colours = arc.decode(codes)
    assert (decoded_symmetries == symmetries).all()
    assert (decoded_colours == colours).all()
    assert codes.max() < 8 * 362_880


def test_arc_code_0_is_no_change_and_names_say_the_augmentation() -> None:
    codes = arc.encode(np.array([0, 3]), np.array([[*range(10)], [0, 2, 1, 3, 4, 5, 6, 7, 9, 8]]))
    assert arc.name_ends(codes) == ["", "|||t3|||0213456798"]


@given(seed=SEEDS)
def test_arc_augmentation_is_numpys_and_is_undone(seed: int) -> None:
    grids = random_grids(seed, 12)
    codes, symmetries, colours = random_codes(seed, 12)
    cells = arc.canvas(grids)
    expected = [
        turned(colour[grid].astype(np.uint8), symmetry) for grid, colour, symmetry in zip(grids, colours, symmetries, strict=True)
    ]
    moved = arc.apply(cells, codes)
    assert (moved == arc.canvas(expected)).all()
    assert (arc.invert(moved, codes) == cells).all()


@given(seed=SEEDS)
def test_arc_translation_is_undone(seed: int) -> None:
    grids = random_grids(seed, 12)
    cells, symmetries = arc.canvas(grids), random_codes(seed, 12)[1]
    nowhere = np.zeros(12, dtype=np.int64)
    turned_cells = arc.move(cells, symmetries, (nowhere, nowhere))
    heights, widths = arc.sizes(turned_cells)
    keys = hashed(seed, np.arange(12), np.arange(2)[:, None])
    offsets = below(keys[0], 31 - heights), below(keys[1], 31 - widths)
    assert (arc.untranslate(arc.move(cells, symmetries, offsets), offsets) == turned_cells).all()
    assert (arc.untranslate(turned_cells, (nowhere, nowhere)) == arc.crop(turned_cells)).all()


@given(seed=SEEDS)
def test_arc_crop_finds_encoded_grids_again(seed: int) -> None:
    cells = arc.canvas(random_grids(seed, 12))
    assert (arc.crop(cells) == cells).all()


def test_arc_crop_takes_the_largest_rectangle_and_the_first_of_equals() -> None:
    grid = np.zeros((1, 30, 30), dtype=np.uint8)
    grid[0, :2, :3] = 5
    grid[0, 2:6, 0] = 7  # 6 x 1 and 2 x 3 are equal areas: the one with fewer rows is met first
    assert arc.sizes(arc.crop(grid.reshape(1, -1))) == (np.array([2]), np.array([3]))
    grid[0, 6, 0] = 7
    assert arc.sizes(arc.crop(grid.reshape(1, -1))) == (np.array([7]), np.array([1]))
    grid[0, 0, 0] = 1
    assert not arc.crop(grid.reshape(1, -1)).any()


def arc_split(seed: int, tasks: int) -> tuple[Split, list[Pair]]:
    """`tasks` tasks of three examples with twenty identifiers each."""
    questions, answers = random_grids(seed, 3 * tasks), random_grids(seed + 1, 3 * tasks)[::-1]
    split = Split(
        name="train",
        inputs=arc.canvas(questions),
        labels=arc.canvas(answers),
        groups=np.repeat(np.arange(tasks, dtype=np.int32), 3),
        identifier_starts=np.arange(tasks + 1) * 20 + 1,
        identifier_codes=np.concatenate([[0], random_codes(seed, 20 * tasks)[0]]).astype(np.int32),
        extras=numbered([3] * tasks),
    )
    return split, list(zip(questions, answers, strict=True))


def placed(grid: np.ndarray, down: int, right: int) -> np.ndarray:
    """A grid on the canvas by the words of TRM.md: end markers below and right of it, where the canvas has room."""
    cells = np.zeros((32, 32), dtype=np.uint8)
    height, width = grid.shape
    cells[down : down + height, right : right + width] = grid + 2
    cells[down + height, right : right + width] = 1
    cells[down : down + height, right + width] = 1
    return cells[:30, :30].reshape(-1)


@given(seed=st.integers(0, 2**32))
def test_arc_training_rows_are_translated_augmentations(seed: int) -> None:
    split, pairs = arc_split(seed, 8)
    assert split.identifier_codes is not None
    rows = np.arange(24)
    identifiers = (split.groups * 20 + 1 + below(hashed(seed, rows), 20)).astype(np.int32)
    draw = RowDraw(rows, identifiers, hashed(seed, 5, rows))
    augmenter = arc.ArcRows(split, translate=True, seed=7)
    inputs, labels = augmenter.train(draw)
    is_fixed = augmenter.is_fixed(draw)
    for row, (symmetry, colours) in enumerate(zip(*arc.decode(split.identifier_codes[identifiers]), strict=True)):
        question, answer = (turned(colours[grid].astype(np.uint8), symmetry) for grid in pairs[row])
        tall, wide = (max(question.shape[axis], answer.shape[axis]) for axis in range(2))
        offsets = [(0, 0)] if is_fixed[row] else [(down, right) for down in range(31 - tall) for right in range(31 - wide)]
        found = [offset for offset in offsets if (placed(question, *offset) == inputs[row]).all()]
        assert len(found) == 1
        expected = placed(answer, *found[0]).astype(np.int32)
        assert (labels[row] == np.where(expected == 0, -100, expected)).all()


@given(seed=st.integers(0, 2**32))
def test_arc_training_rows_are_undone(seed: int) -> None:
    split, _ = arc_split(seed, 8)
    assert split.identifier_codes is not None
    rows = np.arange(24)
    identifiers = (split.groups * 20 + 1 + below(hashed(seed, rows), 20)).astype(np.int32)
    draw = RowDraw(rows, identifiers, hashed(seed, 5, rows))
    augmenter = arc.ArcRows(split, translate=True, seed=7)
    for stored, seen in zip((split.inputs, split.labels), augmenter.train(draw), strict=True):
        tokens = np.where(seen == IGNORED, 0, seen).astype(np.uint8)
        assert (arc.invert(arc.untranslate(tokens, augmenter.offsets(draw)), split.identifier_codes[identifiers]) == stored).all()
    assert (np.stack(augmenter.offsets(draw))[:, augmenter.is_fixed(draw)] == 0).all()


def test_one_example_of_every_identifier_stays_where_it_is() -> None:
    split, _ = arc_split(1, 4)
    augmenter = arc.ArcRows(split, translate=True, seed=7)
    for identifier in range(1, 81):
        rows = np.arange(3) + (identifier - 1) // 20 * 3
        draw = RowDraw(rows, np.full(3, identifier, dtype=np.int32), hashed(1, rows))
        assert augmenter.is_fixed(draw).sum() == 1


@given(seed=SEEDS)
def test_arc_rows_are_the_same_out_of_context(seed: int) -> None:
    split, _ = arc_split(seed, 4)
    rows = np.arange(12)
    identifiers = (split.groups * 20 + 1 + below(hashed(seed, rows), 20)).astype(np.int32)
    draw = RowDraw(rows, identifiers, hashed(seed, 5, rows))
    whole = arc.ArcRows(split, translate=True, seed=7).train(draw)
    some = shuffled(12, seed)[:5]
    columns = {name: column if name in IDENTIFIER_COLUMNS else column[some] for name, column in split.columns().items()}
    part = arc.ArcRows(Split.from_columns("train", columns), translate=True, seed=7)
    alone = part.train(RowDraw(np.arange(5), identifiers[some], draw.keys[some]))
    assert all((mine == theirs[some]).all() for mine, theirs in zip(alone, whole, strict=True))


def test_translations_cover_the_canvas_evenly() -> None:
    grid = np.ones((21, 26), dtype=np.uint8)
    split = Split(
        name="train",
        inputs=arc.canvas([grid, grid]),
        labels=arc.canvas([grid, grid]),
        groups=np.zeros(2, dtype=np.int32),
        identifier_starts=np.array([1, 2]),
        identifier_codes=np.zeros(2, dtype=np.int32),
        extras=numbered([2]),
    )
    augmenter = arc.ArcRows(split, translate=True, seed=0)
    probe = RowDraw(np.arange(2), np.ones(2, dtype=np.int32), hashed(0, np.arange(2)))
    row = int(np.argmin(augmenter.is_fixed(probe)))
    draw = RowDraw(np.full(5000, row), np.ones(5000, dtype=np.int32), hashed(2, np.arange(5000)))
    corners = np.argmax(augmenter.train(draw)[0] >= 2, axis=1)
    places, counts = np.unique(corners, return_counts=True)
    assert sorted(places) == sorted(down * 30 + right for down in range(10) for right in range(5))
    assert 60 < counts.min() <= counts.max() < 145  # 100 expected each; four standard deviations

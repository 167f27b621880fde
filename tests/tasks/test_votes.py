"""ARC's votes, against the rule written plainly."""

from collections import defaultdict
from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.tasks.arc.augment import CANVAS, apply, canvas, decode, encode
from trm.tasks.arc.votes import ABSENT, grid_hashes, pass_at, rank_of_truth, voted_grids

SIDE = np.arange(CANVAS)


def plain_crop(cells: np.ndarray) -> np.ndarray:
    """The largest all-colour rectangle from the corner, first of equal areas, by trying every height."""
    grid = cells.reshape(CANVAS, CANVAS)
    best, size, width = 0, (0, 0), CANVAS
    for row in range(CANVAS):
        run = 0
        while run < width and grid[row, run] >= 2:
            run += 1
        width = run
        if (row + 1) * width > best:
            best, size = (row + 1) * width, (row + 1, width)
    return grid[: size[0], : size[1]].astype(np.int64) - 2


def plain_undo(grid: np.ndarray, code: int) -> np.ndarray:
    """Colours back, then the inverse symmetry."""
    (symmetry,), (permutation,) = decode(np.array([code]))
    undone = [
        lambda g: g,
        lambda g: np.rot90(g, 3),
        lambda g: np.rot90(g, 2),
        lambda g: np.rot90(g, 1),
        np.fliplr,
        np.flipud,
        np.transpose,
        lambda g: np.fliplr(np.rot90(g, 1)),
    ]
    return undone[symmetry](np.argsort(permutation)[grid] if grid.size else grid)


def codes_of(rng: np.random.Generator, count: int) -> np.ndarray:
    permutations = np.concatenate([np.zeros((count, 1), dtype=np.int64), np.argsort(rng.random((count, 9)), axis=1) + 1], axis=1)
    return encode(rng.integers(0, 8, count), permutations)


@given(st.integers(0, 2**32))
def test_voted_grids_equal_the_rule_written_plainly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heights, widths = rng.integers(1, CANVAS + 1, 6), rng.integers(1, CANVAS + 1, 6)
    cells = canvas([rng.integers(0, 10, size) for size in zip(heights, widths, strict=True)])
    damage = rng.random(cells.shape) < rng.choice([0, 0.002, 0.02, 0.5], 6)[:, None]
    cells = np.where(damage, rng.integers(0, 12, cells.shape), cells).astype(np.uint8)
    codes = codes_of(rng, 6)
    plain = [plain_undo(plain_crop(row), code) for row, code in zip(cells, codes, strict=True)]
    empty = np.zeros((1, CANVAS**2), dtype=np.uint8)
    expected = np.concatenate([grid_hashes(canvas([grid]) if grid.size else empty) for grid in plain])
    assert (voted_grids(cells, codes) == expected).all()


def test_an_augmented_truth_votes_for_the_truth() -> None:
    rng = np.random.default_rng(5)
    truths = canvas([rng.integers(0, 10, (rng.integers(1, 31), rng.integers(1, 31))) for _ in range(64)])
    codes = codes_of(rng, 64)
    assert (voted_grids(apply(truths, codes), codes) == grid_hashes(truths)).all()


def test_the_first_of_equal_areas_is_cropped() -> None:
    cells = np.zeros((1, CANVAS, CANVAS), dtype=np.uint8)
    cells[0, 0, :6] = cells[0, 1, :3] = cells[0, 2, :2] = 4  # 1 x 6, 2 x 3 and 3 x 2 are all of area 6
    hashes = voted_grids(cells.reshape(1, -1), np.zeros(1, dtype=np.int32))
    assert hashes[0] == grid_hashes(canvas([np.full((1, 6), 2)]))[0]


def test_different_grids_have_different_hashes() -> None:
    grids = [np.full((height, width), colour) for height in range(1, 31) for width in range(1, 31) for colour in range(10)]
    assert len(np.unique(grid_hashes(canvas(grids)))) == 9000


def plain_ranks(votes: list[tuple[int, int, int, float]]) -> dict[int, int]:
    """Rank of the true grid by test pair, counted with dictionaries; of ties who was voted for first."""
    ballots: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    truths = {}
    for pair, grid, truth, probability in votes:
        ballots[pair][grid].append(probability)
        truths[pair] = truth
    ranks = {}
    for pair, grids in ballots.items():
        best_first = sorted(grids, key=lambda grid: (-len(grids[grid]), -reduce(add, grids[grid]) / len(grids[grid])))
        ranks[pair] = best_first.index(truths[pair]) if truths[pair] in best_first else ABSENT
    return ranks


PROBABILITIES = st.sampled_from([0.1, 0.2, 0.3, 0.7])  # whose sums hang on their order
VOTES = st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3), PROBABILITIES), min_size=1, max_size=60)


@given(VOTES)
def test_ranks_equal_the_rule_written_plainly(cast: list[tuple[int, int, float]]) -> None:
    votes = [(pair, grid, pair % 4, probability) for pair, grid, probability in cast]
    columns = [np.array(column) for column in zip(*votes, strict=True)]
    pairs, ranks = rank_of_truth(*columns)
    assert dict(zip(pairs.tolist(), ranks.tolist(), strict=True)) == plain_ranks(votes)


def test_more_votes_win_then_the_higher_mean_probability() -> None:
    truth = np.zeros(5, dtype=np.int64)
    one_pair = np.zeros(5, dtype=np.int64)
    assert rank_of_truth(one_pair, np.array([0, 0, 7, 7, 7]), truth, np.array([1.0, 1.0, 0.0, 0.0, 0.0]))[1].tolist() == [1]
    assert rank_of_truth(one_pair, np.array([0, 0, 7, 7, 8]), truth, np.array([0.6, 0.6, 0.9, 0.1, 1.0]))[1].tolist() == [0]
    assert rank_of_truth(one_pair, np.array([1, 2, 7, 7, 8]), truth, np.ones(5))[1].tolist() == [ABSENT]


def test_pass_at_k_averages_over_the_pairs_of_a_task() -> None:
    ranks, tasks = np.array([0, 1, ABSENT, 0]), np.array([9, 9, 4, 4])
    assert pass_at(1, ranks, tasks).tolist() == [0.5, 0.5]
    assert pass_at(2, ranks, tasks).tolist() == [0.5, 1.0]
    assert pass_at(2, ranks, tasks).mean() == pytest.approx(0.75)

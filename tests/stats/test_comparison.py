"""Paired comparisons of two configurations on the same puzzles."""

from pathlib import Path

import numpy as np
import pytest

from trm.evaluation.puzzle_scores import read_puzzles, write_puzzles
from trm.stats.comparison import compare


def solved(rng: np.random.Generator, skill: float, seeds: int, hardness: np.ndarray, scatter: float) -> np.ndarray:
    """Which puzzles each seed of a configuration solves: by its skill, what its seed adds, and how hard the puzzle is."""
    skills = skill + scatter * rng.standard_normal((seeds, 1))
    return (rng.random((seeds, len(hardness))) < 1 / (1 + np.exp(hardness - skills))).astype(float)


def test_a_difference_is_that_of_the_means_and_the_mirror_of_the_other() -> None:
    first, second = np.array([[1.0, 1, 0, 1], [1, 0, 0, 1]]), np.array([[1.0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    found, mirror, less = compare(first, second), compare(second, first), compare(second, first, "min")
    assert found.difference == pytest.approx(first.mean() - second.mean())
    assert (found.better, found.worse, found.puzzles, found.seeds) == (2, 1, 4, (2, 3))
    assert mirror.difference == pytest.approx(-found.difference)
    assert found.interval_95 is not None
    assert mirror.interval_95 == pytest.approx((-found.interval_95[1], -found.interval_95[0]))
    assert less == compare(-second, -first)
    assert less.difference == pytest.approx(found.difference)


def test_a_configuration_against_itself_is_no_different() -> None:
    one = np.array([[1.0, 0, 1, 1], [0, 1, 1, 0]])
    found = compare(one, one)
    assert (found.difference, found.better, found.worse, found.is_supported) == (0.0, 0, 0, False)
    same = compare(np.ones((3, 5)), np.ones((2, 5)))
    assert (same.interval_95, same.is_supported) == ((0.0, 0.0), False)


def test_the_order_of_puzzles_and_of_seeds_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3, 20)), rng.random((4, 20))
    order = rng.permutation(20)
    found, again = compare(first, second), compare(first[::-1][:, order], second[[2, 0, 3, 1]][:, order])
    assert again.difference == pytest.approx(found.difference)
    assert again.interval_95 == pytest.approx(found.interval_95)


def test_one_seed_has_no_interval() -> None:
    found = compare(np.ones((1, 5)), np.zeros((3, 5)))
    assert (found.difference, found.interval_95, found.is_supported) == (1.0, None, False)


@pytest.mark.parametrize("scatter", [0.0, 0.3, 1.0])
def test_intervals_hold_the_true_difference_as_often_as_they_say(scatter: float) -> None:
    """The truth is of all seeds and all puzzles there could be: here of very many."""
    rng = np.random.default_rng(7)
    truth = np.subtract(*(solved(rng, skill, 200, rng.normal(0, 1, 3000), scatter).mean() for skill in (0.5, 0.0)))
    held = 0
    for _ in range(300):
        hardness = rng.normal(0, 1, 100)
        found = compare(*(solved(rng, skill, 3, hardness, scatter) for skill in (0.5, 0.0)))
        assert found.interval_95 is not None
        held += found.interval_95[0] <= truth <= found.interval_95[1]
    assert held / 300 >= 0.92


def test_what_was_written_of_puzzles_is_read_again_where_it_is_of_the_same_ones(tmp_path: Path) -> None:
    for name, puzzle in (("a", [3, 5]), ("b", [3, 5]), ("c", [3, 6])):
        write_puzzles(tmp_path / "new" / name, {"puzzle": np.array(puzzle), "exact_accuracy": np.array([1.0, 0.5])})
    a, b, c = (tmp_path / "new" / name for name in "abc")
    both = read_puzzles([a, b], "exact_accuracy")
    assert both is not None
    assert both.tolist() == [[1.0, 0.5], [1.0, 0.5]]
    assert read_puzzles([a, c], "exact_accuracy") is None
    assert read_puzzles([a, b], "cell_accuracy") is None
    assert read_puzzles([a, tmp_path / "none"], "exact_accuracy") is None
    assert read_puzzles([], "exact_accuracy") is None

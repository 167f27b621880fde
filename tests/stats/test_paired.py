"""Paired comparisons and bootstraps against what is known of them."""

import math
from math import comb

import numpy as np
import pytest

from trm.stats import bootstrap
from trm.stats.bootstrap import bands, resampled_means
from trm.stats.intervals import wilson
from trm.stats.paired import paired, sign_test


@pytest.mark.parametrize(("higher", "lower"), [(0, 0), (1, 0), (5, 5), (9, 1), (30, 12), (7, 21)])
def test_the_sign_test_counts_what_is_as_unequal(higher: int, lower: int) -> None:
    count = higher + lower
    tail = sum(comb(count, k) for k in range(min(higher, lower) + 1)) / 2**count
    assert sign_test(higher, lower) == pytest.approx(min(1, 2 * tail), rel=1e-9)
    assert sign_test(higher, lower) == sign_test(lower, higher)


def test_the_sign_test_of_many_puzzles_does_not_vanish() -> None:
    assert sign_test(20_000, 20_000) == pytest.approx(1, abs=1e-8)
    assert 0.0 < sign_test(1100, 1000) < 0.05


def test_a_difference_is_that_of_the_means_and_its_interval_scatters_as_the_differences_do() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random(500) < 0.7).astype(float), (rng.random(500) < 0.6).astype(float)
    found = paired(first, second)
    assert found.difference == pytest.approx(first.mean() - second.mean(), rel=1e-12)
    assert (found.higher, found.lower) == (int((first > second).sum()), int((second > first).sum()))
    half = 1.96 * (first - second).std() / np.sqrt(500)
    assert found.interval_95 == pytest.approx((found.difference - half, found.difference + half), abs=0.004)
    other = paired(second, first)
    assert other.interval_95 == pytest.approx((-found.interval_95[1], -found.interval_95[0]), abs=0.004)


def test_pairing_cancels_the_puzzles_difficulty() -> None:
    hard = np.random.default_rng(1).random(400) < 0.5
    first, second = hard.astype(float), hard.astype(float)
    second[:4] = 0
    found = paired(first, second)
    lost = int(hard[:4].sum())
    assert (found.higher, found.lower, found.difference) == (lost, 0, lost / 400)
    assert found.interval_95[1] - found.interval_95[0] < 0.02
    assert paired(first, first).interval_95 == (0, 0)
    assert not paired(first, first).is_supported


def test_bands_are_about_wilsons_and_count_puzzles() -> None:
    share = (np.arange(400) < 172).astype(float)  # 43 % of 400
    (low,), (high,) = bands(share[None])
    known = wilson(0.43, 400)
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.005)
    assert bands(share[None]) == bands(share[None])


def test_bands_of_rows_weigh_puzzles_by_their_rows() -> None:
    scores, rows = np.array([[1.0, 0.0, 0.0]]), np.array([8.0, 1.0, 1.0])
    low, high = bands(scores, rows)
    assert (low[0], high[0]) == (0, 1)
    many = np.tile(scores, 200), np.tile(rows, 200)
    low, high = bands(*many)
    assert low[0] < 0.8 < high[0]
    assert high[0] - low[0] < 0.1


def test_scores_that_all_differ_are_drawn_one_by_one() -> None:
    values = np.random.default_rng(2).normal(size=(2, 500))
    low, high = bands(values)
    half = 1.96 * values.std(1) / np.sqrt(500)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)


def test_many_different_puzzles_have_as_many_resamples_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=900)
    weights = np.random.default_rng(4).integers(1, 4, 900).astype(float)
    found = resampled_means(values[None], weights)
    assert found.shape == (bootstrap.RESAMPLES, 1)
    mean = np.average(values, weights=weights)
    spread = np.sqrt((weights**2 * (values - mean) ** 2).sum()) / weights.sum()
    assert found.mean() == pytest.approx(mean, abs=4 * spread / 100)
    assert found.std() == pytest.approx(spread, rel=0.05)
    monkeypatch.setattr(bootstrap, "CHUNK_DRAWS", 900 * 7)
    assert resampled_means(values[None], weights) == pytest.approx(found, rel=1e-9, abs=1e-12)  # nothing hangs on the blocks


def test_a_difference_weighs_puzzles_as_the_metric_does() -> None:
    rng = np.random.default_rng(5)
    rows = rng.integers(1, 9, 300).astype(float)
    first, second = rng.random(300), rng.random(300)
    found = paired(first, second, (rows, rows))
    assert found.difference == pytest.approx(np.average(first, weights=rows) - np.average(second, weights=rows), rel=1e-12)
    assert found.interval_95[0] < found.difference < found.interval_95[1]
    once = paired(first, second, (np.ones(300), np.ones(300)))
    assert once == paired(first, second)
    other = rows[::-1].copy()  # as where one evaluation had fewer votes
    apart = paired(first, second, (rows, other))
    assert apart.difference == pytest.approx(np.average(first, weights=rows) - np.average(second, weights=other), rel=1e-12)
    assert apart.interval_95[0] < apart.difference < apart.interval_95[1]
    assert (apart.higher, apart.lower, apart.sign_test_p) == (found.higher, found.lower, found.sign_test_p)


def test_scores_that_are_no_numbers_give_none_in_json() -> None:
    for bad in (math.nan, math.inf):
        figures = paired(np.array([1.0, bad, 3.0]), np.array([0.0, bad, 1.0])).figures()
        assert (figures["difference"], figures["interval_95"], figures["is_supported"]) == (None, (None, None), False)
        assert (figures["higher"], figures["lower"]) == (2, 0)

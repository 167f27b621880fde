"""Intervals and standard errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.evaluation.scores import means, proportion
from trm.stats.intervals import Z95, mean_of, standard_error, t_quantile_975, wilson


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        (0.0, 10, 0.0, 0.2775),
        (0.8, 10, 0.4902, 0.9433),
        (1.0, 10, 0.7225, 1.0),
        (0.5, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_gives_the_textbook_values(share: float, count: int, low: float, high: float) -> None:
    assert wilson(share, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500), st.data())
def test_an_end_of_the_interval_is_where_the_share_is_just_plausible(count: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(1, count)) / (count + 1)
    for end in wilson(share, count):
        assert abs(share - end) == pytest.approx(Z95 * math.sqrt(end * (1 - end) / count), rel=1e-9)


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_share_and_narrows_with_more_puzzles(count: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, count)) / count
    interval = wilson(share, count)
    assert 0 <= interval.low <= share <= interval.high <= 1
    assert 0 < wilson(share, 4 * count).standard_error < interval.standard_error


def test_the_standard_error_of_a_share_is_that_of_many_coins_and_never_nothing() -> None:
    assert wilson(0.3, 10_000).standard_error == pytest.approx(math.sqrt(0.3 * 0.7 / 10_000), rel=1e-3)
    assert proportion("x", 0.0, 100).standard_errors["x"] > 0.005


def test_standard_error_of_independent_rows_is_the_usual_one() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert standard_error(values, np.arange(50)) == pytest.approx(values.std(ddof=1) / math.sqrt(50), rel=1e-12)


def test_repeating_every_row_within_its_cluster_says_nothing_new() -> None:
    values = np.random.default_rng(2).normal(size=20)
    once = standard_error(values, np.arange(20))
    assert standard_error(np.repeat(values, 7), np.repeat(np.arange(20), 7)) == pytest.approx(once, rel=1e-12)


def test_a_mean_does_not_depend_on_the_order() -> None:
    values = np.random.default_rng(3).lognormal(sigma=8, size=1000)
    assert mean_of(values) == mean_of(values[::-1].copy()) == math.fsum(values) / 1000


def test_one_cluster_alone_and_an_infinite_loss_have_no_standard_error() -> None:
    alone = means({"loss": np.array([1.0, 2.0])}, ["loss"], np.zeros(2, dtype=np.int64))
    assert (alone.metrics, alone.standard_errors) == ({"loss": 1.5}, {})
    diverged = means({"loss": np.array([1.0, np.inf])}, ["loss"], np.arange(2))
    assert (diverged.metrics, diverged.standard_errors) == ({"loss": np.inf}, {})


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (4, 2.7764), (30, 2.0423), (1e4, 1.9602)])
def test_students_quantiles(freedom: float, quantile: float) -> None:
    assert t_quantile_975(freedom) == pytest.approx(quantile, rel=2e-3)

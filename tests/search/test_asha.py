"""The ranking rules of a rung: by objective, then loss, never by arrival; who goes on, and who may be stopped."""

import random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.search.order import Order, Score
from trm.search.schedulers.rung import Rung


def score(trial: int, objective: float, loss: float = 1.0, error: float = 0.0) -> Score:
    return Score(trial, objective, error, loss, f"{trial * 7919 % 1000:03d}")


def rung(*scores: Score, eta: int = 3, mode: Literal["max", "min"] = "max") -> Rung:
    board = Rung(eta, Order(mode), 0.5)
    for one in scores:
        board.add(one)
    return board


drawn_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.5, 0.9]), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 0.05, 0.5])),
    min_size=1,
    max_size=15,
)
"""(objective, loss, standard error) of each trial."""

Rows = list[tuple[float, float, float]]


def scored(drawn: Rows) -> list[Score]:
    return [score(trial, *row) for trial, row in enumerate(drawn)]


def test_the_objective_ranks_then_the_loss() -> None:
    board = rung(score(0, 0.5, 1.0), score(1, 0.9, 3.0), score(2, 0.5, 0.5), score(3, 0.0, 0.1))
    assert board.ranked == [1, 2, 0, 3]
    assert [board.rank(trial) for trial in (1, 2, 0, 3)] == [0, 1, 2, 3]
    assert rung(score(0, 2.0), score(1, 1.0), mode="min").ranked == [1, 0]


@given(drawn_rows, st.randoms(use_true_random=False))
def test_arrival_never_ranks(drawn: Rows, order: random.Random) -> None:
    rows = scored(drawn)
    shuffled = list(rows)
    order.shuffle(shuffled)
    first, second = rung(*rows), rung(*shuffled)
    assert first.ranked == second.ranked
    assert first.promotable() == second.promotable()
    assert first.survivors() == second.survivors()


def test_the_best_of_eta_goes_on_once() -> None:
    board = rung(score(0, 0.2), score(1, 0.4))
    assert board.promotable() is None
    board.add(score(2, 0.3))
    assert board.promotable() == 1
    board.leave(1)
    assert board.promotable() is None
    board.add(score(3, 0.9))
    assert board.promotable() == 3, "it took the one place of four, though another had it before"
    board.leave(3)
    for trial in (4, 5):
        board.add(score(trial, 0.0))
    assert board.promotable() is None, "both places of six are taken"
    for trial in (6, 7, 8):
        board.add(score(trial, 0.0))
    assert board.promotable() == 2


@given(drawn_rows)
def test_never_more_than_the_quota_goes_on_while_trials_arrive_in_any_prefix(drawn: Rows) -> None:
    rows = scored(drawn)
    board = Rung(3, Order("max"), 0.5)
    gone: list[int] = []
    for one in rows:
        board.add(one)
        while (best := board.promotable()) is not None:
            assert board.rank(best) < len(board) // 3
            board.leave(best)
            gone.append(best)
        assert set(board.ranked[: board.quota]) <= set(gone)
    assert sorted(gone + board.paused) == list(range(len(rows)))


@given(drawn_rows, st.integers(2, 4))
def test_who_is_left_behind_at_the_end_broke_no_rule(drawn: Rows, eta: int) -> None:
    rows = scored(drawn)
    board = rung(*rows, eta=eta)
    count, survivors = len(rows), board.survivors()
    assert survivors, "somebody always goes on"
    assert set(board.ranked[: count // eta]) <= survivors
    if count < eta:
        assert len(survivors) == count
        return
    positive = sum(one.objective > 0 for one in rows)
    if positive * eta < count:
        assert set(board.ranked) - survivors == set(board.ranked[count - count // eta :])
        assert all(one.trial in survivors for one in rows if one.objective > 0)
        return
    quota = count // eta
    cut = rows[board.ranked[quota - 1]].objective
    next_places = [rows[trial] for trial in board.ranked[quota : quota + (quota + 1) // 2]]
    near = {one.trial for one in next_places if one.objective > 0 and cut - one.objective <= one.standard_error}
    assert survivors == set(board.ranked[:quota]) | near
    assert survivors == {one.trial for one in rows if board.is_survivor(one.trial)}


def test_a_flat_rung_ranks_by_loss_and_stops_only_the_last_third() -> None:
    board = rung(*(score(trial, 0.0, loss) for trial, loss in enumerate([3, 1, 2, 6, 5, 4, 9, 8, 7])))
    assert board.is_flat
    assert board.ranked == [1, 2, 0, 5, 4, 3, 8, 7, 6]
    assert board.survivors() == {0, 1, 2, 3, 4, 5}
    assert board.promotable() == 1


def test_a_rung_is_flat_below_a_share_of_one_in_eta() -> None:
    zeros = [score(trial, 0.0) for trial in range(6)]
    assert rung(*zeros, score(6, 0.1), score(7, 0.1)).is_flat
    assert not rung(*zeros, score(6, 0.1), score(7, 0.1), score(8, 0.1)).is_flat
    assert not rung(*zeros, mode="min").is_flat, "a loss has no floor that it rises from late"


def test_within_a_standard_error_of_the_cut_nobody_is_stopped() -> None:
    board = rung(score(0, 0.50), score(1, 0.47, error=0.04), score(2, 0.46, error=0.02))
    assert board.survivors() == {0, 1}
    lower = rung(score(0, 0.50), score(1, 0.52, error=0.04), score(2, 0.53, error=0.02), mode="min")
    assert lower.survivors() == {0, 1}


def test_a_standard_error_saves_half_as_many_as_the_quota_at_most() -> None:
    board = rung(*(score(trial, 0.9 - trial / 1000, error=0.1) for trial in range(12)))
    assert board.quota == 4
    assert board.survivors() == {0, 1, 2, 3, 4, 5}


def test_a_score_of_zero_shows_nothing_however_large_its_error() -> None:
    board = rung(score(0, 0.01, error=0.01), score(1, 0.0, error=0.02), score(2, 0.0, error=0.02))
    assert not board.is_flat
    assert board.survivors() == {0}


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_eta_are_all_kept(count: int) -> None:
    assert rung(*(score(trial, 0.0, trial) for trial in range(count))).survivors() == set(range(count))


def test_nan_ranks_last() -> None:
    assert rung(score(0, float("nan")), score(1, 0.0)).ranked == [1, 0]

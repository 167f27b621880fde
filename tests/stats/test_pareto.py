"""Several objectives: fronts, and the ranking rules of a rung whose trials rank by them."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.search.order import Order, Score
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.schedulers.rung import Rung
from trm.stats.pareto import Fronts, Point, crowding, dominates

GRID = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf])


def points(size: int) -> st.SearchStrategy[list[Point]]:
    return st.lists(st.tuples(*[GRID] * size), min_size=1, max_size=14)


def fronts_of(found: list[Point], order: list[int] | None = None) -> list[set[int]]:
    fronts = Fronts[int]()
    for index in order if order is not None else range(len(found)):
        fronts.add(index, found[index])
    return [set(fronts[level]) for level in range(len(fronts))]


@given(st.one_of(points(1), points(2), points(3)), st.randoms(use_true_random=False))
def test_fronts_are_those_of_the_definition_whatever_the_order(found: list[Point], shuffled: random.Random) -> None:
    left, expected = set(range(len(found))), list[set[int]]()
    while left:
        front = {one for one in left if not any(dominates(found[other], found[one]) for other in left)}
        expected.append(front)
        left -= front
    order = list(range(len(found)))
    shuffled.shuffle(order)
    assert fronts_of(found) == fronts_of(found, order) == expected


@given(points(2))
def test_adding_tells_which_fronts_changed(found: list[Point]) -> None:
    fronts = Fronts[int]()
    before: list[set[int]] = []
    for index, point in enumerate(found):
        changed = fronts.add(index, point)
        after = [set(fronts[level]) for level in range(len(fronts))]
        assert [old for level, old in enumerate(before) if level not in changed] == [
            new for level, new in enumerate(after) if level not in changed
        ]
        before = after


def test_crowding_is_the_papers_and_copies_have_none() -> None:
    front = [(0.0, 10.0), (1.0, 6.0), (2.0, 5.0), (10.0, 0.0)]
    assert crowding(front) == [math.inf, 2 / 10 + 5 / 10, 9 / 10 + 6 / 10, math.inf]
    assert crowding([front[1], *front]) == [0.7, math.inf, 0.0, 1.5, math.inf]
    assert crowding([(1.0, 2.0)] * 2) == [0.0, 0.0]
    assert crowding([(0.0, math.inf), (1.0, 1.0), (2.0, 0.5)])[1] == math.inf, "its neighbour is at no known place"


# A rung ------------------------------------------------------------------------------------------------------------------


def score(trial: int, objective: float, *others: float, loss: float = 1.0, error: float = 0.0) -> Score:
    return Score(trial, objective, error, loss, f"{trial * 7919 % 1000:03d}", others)


def rung(*scores: Score, eta: int = 3) -> ParetoRung:
    board = ParetoRung(eta, Order("max"), 0.5)
    for one in scores:
        board.add(one)
    return board


rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.9]), st.sampled_from([1.0, 2.0, 4.0]), st.sampled_from([0.5, 1.0, 2.0])),
    min_size=1,
    max_size=15,
)
"""(objective, cost, loss) of each trial."""


def scored(found: list[tuple[float, float, float]]) -> list[Score]:
    return [score(trial, one, cost, loss=loss, error=0.05) for trial, (one, cost, loss) in enumerate(found)]


@given(rows, st.randoms(use_true_random=False))
def test_arrival_never_ranks(drawn: list[tuple[float, float, float]], order: random.Random) -> None:
    found = scored(drawn)
    shuffled = list(found)
    order.shuffle(shuffled)
    first, second = rung(*found), rung(*shuffled)
    assert first.ranked == second.ranked
    assert [first.rank(trial) for trial in first.ranked] == list(range(len(found)))
    assert first.promotable() == second.promotable()
    assert first.survivors() == second.survivors()


@given(rows)
def test_who_is_dominated_never_ranks_before_who_dominates_it(drawn: list[tuple[float, float, float]]) -> None:
    found = scored(drawn)
    board = rung(*found)
    for one, other in itertools.permutations(found, 2):
        if one.objective > 0 and dominates((-one.objective, *one.others), (-other.objective, *other.others)):
            assert board.rank(one.trial) < board.rank(other.trial)


@given(rows)
def test_with_nothing_to_weigh_it_ranks_as_one_objective_does(drawn: list[tuple[float, float, float]]) -> None:
    """The two classes have one set of rules: a figure that all trials share changes no decision."""
    found = scored(drawn)
    plain, weighed = Rung(3, Order("max"), 0.5), ParetoRung(3, Order("max"), 0.5)
    for index, one in enumerate(found):
        plain.add(Score(one.trial, one.objective, one.standard_error, one.loss, one.digest))
        weighed.add(Score(one.trial, one.objective, one.standard_error, one.loss, one.digest, (7.0,)))
        assert weighed.ranked == plain.ranked
        assert (weighed.promotable(), weighed.survivors(), weighed.is_flat) == (
            plain.promotable(),
            plain.survivors(),
            plain.is_flat,
        )
        assert [weighed.is_survivor(trial) for trial in range(index + 1)] == [
            plain.is_survivor(trial) for trial in range(index + 1)
        ]
        if index % 2 and (best := plain.promotable()) is not None:
            plain.leave(best)
            weighed.leave(best)
        assert weighed.paused == plain.paused
        assert weighed.resting_survivor() == plain.resting_survivor()


@given(rows)
def test_never_more_than_the_quota_goes_on_while_trials_arrive(drawn: list[tuple[float, float, float]]) -> None:
    found = scored(drawn)
    board = ParetoRung(3, Order("max"), 0.5)
    gone: list[int] = []
    for one in found:
        board.add(one)
        while (best := board.promotable()) is not None:
            assert board.rank(best) < len(board) // 3
            board.leave(best)
            gone.append(best)
    assert sorted(gone + board.paused) == list(range(len(found)))
    assert len(board.survivors()) <= max(2, len(found) // 3 + math.ceil(len(found) // 3 / 2)) or board.is_flat


def test_a_front_goes_on_from_its_ends() -> None:
    """Accuracy against weights: the best and the smallest first, then who stands farthest from its neighbours."""
    ends = [score(0, 0.9, 8.0, loss=0.1), score(1, 0.2, 1.0, loss=2.0)]
    between = [score(2, 0.89, 7.8), score(3, 0.5, 4.0), score(4, 0.25, 1.2)]
    behind = [score(5, 0.5, 4.1), score(6, 0.2, 8.0), score(7, 0.1, 1.0), score(8, 0.88, 8.0)]
    board = rung(*ends, *between, *behind)
    assert board.fronts()[0] == [0, 1, 3, 2, 4]
    assert board.quota == 3
    assert board.survivors() == {0, 1, 3, 2, 4}, "the cut goes through the front: half as many places again are within an error"
    assert board.promotable() == 0


def test_who_shows_nothing_stands_behind_however_small_it_is() -> None:
    board = rung(score(0, 0.0, 1.0, loss=0.1), score(1, 0.3, 9.0), score(2, 0.0, 0.5, loss=0.2), score(3, 0.2, 9.0))
    assert board.fronts() == [[1], [3], [0, 2]]


def test_a_flat_rung_ranks_by_the_loss_against_the_others_and_stops_only_the_last_third() -> None:
    board = rung(*(score(trial, 0.0, cost, loss=loss) for trial, (loss, cost) in enumerate([(3, 1), (1, 3), (3, 3)])))
    assert board.is_flat
    assert board.ranked == [1, 0, 2]
    assert board.survivors() == {0, 1}


@pytest.mark.parametrize(("error", "is_kept"), [(0.0, False), (0.04, False), (0.06, True)])
def test_a_standard_error_saves_who_would_not_be_dominated_with_it(error: float, is_kept: bool) -> None:
    board = rung(score(0, 0.5, 2.0), score(1, 0.45, 2.0, error=error), score(2, 0.1, 9.0, error=0.3))
    assert board.ranked == [0, 1, 2]
    assert (1 in board.survivors()) == is_kept
    assert 2 not in board.survivors()


def test_an_unknown_cost_and_nan_rank_last() -> None:
    board = rung(score(0, math.nan, 1.0), score(1, 0.5, math.inf), score(2, 0.5, 5.0))
    assert board.ranked == [2, 1, 0]

"""A rung where nearly nobody has risen lets everybody go on, until trials that finished show that it foretold them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standing_cases import Table, scheduled

from trm.search.order import Order, Score
from trm.search.schedulers.foretelling import MOST, agreement, open_rungs, tells
from trm.search.schedulers.rung import Rung
from trm.search.space.candidates import scheduler_of


def table(*, promotes: bool = True) -> Table:
    return Table(scheduler_of(scheduled(type="asha", eta=2, rungs=3, promotes=promotes, waits_for_rise=True)), rungs=3, eta=2)


def finish(at: Table, trial: int, *, loss: float, end: float) -> None:
    """The trial shows nothing but its loss at the first rung, and comes to the last."""
    at.score(trial, 0, 0.0, loss=loss)
    at.go_on(trial, 0)
    at.score(trial, 1, 0.5, loss=loss)
    at.go_on(trial, 1)
    at.score(trial, 2, end)


@given(st.permutations(range(6)))
def test_agreement_is_kendalls_tau(places: list[int]) -> None:
    pairs = [(one, other) for one in range(6) for other in range(one + 1, 6)]
    alike = sum(places[one] < places[other] for one, other in pairs)
    assert agreement(places) == pytest.approx((2 * alike - len(pairs)) / len(pairs))


def test_of_trials_that_show_nothing_all_go_on() -> None:
    at = table()
    for trial, loss in enumerate([1.0, 3.0, 2.0, 4.0]):
        at.score(trial, 0, 0.02, loss=loss)
    assert at.left_behind == []
    at.is_over = True
    assert at.left_behind == [], "nor is anybody stopped when no other comes"
    assert at.promoted() == [0, 2, 1, 3]


def test_once_half_have_risen_halving_is_as_ever() -> None:
    at = table()
    for trial, objective in enumerate([0.0, 0.06, 0.3, 0.0]):
        at.score(trial, 0, objective)
    assert at.promoted() == [2, 1]
    at.is_over = True
    assert sorted(at.left_behind) == [0, 3]


def test_a_rung_that_foretold_five_is_trusted_and_one_that_did_not_is_not() -> None:
    for ends, promoted in (([0.9, 0.8, 0.7, 0.6, 0.5], [5]), ([0.5, 0.6, 0.7, 0.8, 0.9], [5, 7, 6, 8])):
        at = table()
        for trial, end in enumerate(ends):
            finish(at, trial, loss=1.0 + trial, end=end)
        for trial, loss in zip(range(5, 9), [0.1, 7.0, 0.2, 8.0], strict=True):
            at.score(trial, 0, 0.0, loss=loss)
        assert at.promoted() == promoted, "of nine more than the quota have gone on: a new best alone does"


def test_four_finished_trials_show_nothing_yet() -> None:
    at = table()
    for trial in range(4):
        finish(at, trial, loss=1.0 + trial, end=0.9 - trial / 10)
    at.score(4, 0, 0.0, loss=9.0)
    assert at.promoted() == [4]


def test_nobody_above_an_open_rung_is_stopped_while_others_may_still_come() -> None:
    at = table()
    for trial, objective in enumerate([0.9, 0.8, 0.3, 0.2]):
        at.score(trial, 0, 0.0)
        at.go_on(trial, 0)
        at.score(trial, 1, objective)
    at.score(4, 0, 0.0)
    at.is_over = True
    assert at.left_behind == []
    assert at.scheduler.promotion(at.context) == 0, "the best of the second rung, by its quota"
    at.go_on(0, 1)
    at.go_on(1, 1)
    assert at.scheduler.promotion(at.context) == 4, "then who rests at the open one"
    at.go_on(4, 0)
    at.score(4, 1, 0.1)
    assert sorted(at.left_behind) == [2, 3, 4]


def test_stopping_goes_by_the_same_rule() -> None:
    at = table(promotes=False)
    verdicts = []
    for trial, (objective, loss) in enumerate([(0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (0.4, 1.0), (0.5, 1.0), (0.0, 9.0)]):
        at.score(trial, 0, objective, loss=loss)
        verdicts.append(at.scheduler.decision(at.context, trial, 0).status)
    assert verdicts == ["running"] * 6, "two of six have risen"
    at.score(6, 0, 0.6)
    at.score(7, 0, 0.0, loss=9.0)
    at.score(8, 0, 0.7)
    at.score(9, 0, 0.01, loss=9.0)
    assert at.scheduler.decision(at.context, 9, 0).status == "running", "four of ten"
    at.score(10, 0, 0.1)
    at.score(11, 0, 0.2)
    at.score(12, 0, 0.01, loss=9.0)
    assert at.scheduler.decision(at.context, 12, 0).status == "running", "six of thirteen"
    at.score(13, 0, 0.03, loss=9.0)
    at.score(14, 0, 0.2)
    at.score(15, 0, 0.2)
    assert at.scheduler.decision(at.context, 13, 0).status == "stopped", "eight of sixteen"


def test_where_less_is_better_every_score_counts() -> None:
    board = Rung(2, Order("min"), 0.25)
    for trial in range(4):
        board.add(Score(trial, 0.0, 0.0, 1.0, str(trial)))
    assert tells(board, Rung(2, Order("min"), 0.25))


def test_the_newest_finished_trials_are_asked() -> None:
    boards = [Rung(2, Order("max"), 0.25) for _ in range(2)]
    draw = random.Random(0)
    for trial in range(3 * MOST):
        is_new = trial >= 2 * MOST
        end = draw.random()
        boards[0].add(Score(trial, 0.0, 0.0, 1.0 - end if is_new else end, f"{trial:04d}"))
        boards[0].leave(trial)
        boards[1].add(Score(trial, end, 0.0, 1.0, f"{trial:04d}"))
    assert tells(*boards)
    assert open_rungs(boards) == []

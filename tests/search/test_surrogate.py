"""The surrogate sampler: what trials at different rungs are worth, points and moves, and the process that chooses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.search.samplers.coordinates import INACTIVE, Coordinates
from trm.search.samplers.rung_process import RungProcess
from trm.search.samplers.standing import standings

KNOBS: dict[str, Knob] = {
    "lr": FloatKnob(type="float", low=1e-4, high=1e-1, log=True),
    "share": FloatKnob(type="float", low=-1.0, high=3.0),
    "depth": IntKnob(type="int", low=2, high=8, step=3),
    "width": IntKnob(type="int", low=1, high=64, log=True),
    "kind": ChoiceKnob(type="choice", values=["a", "b", True, None]),
    "size": ChoiceKnob(type="choice", values=[64, 128, 512]),
    "rest": FloatKnob(type="float", low=0.0, high=1.0, when={"kind": "b"}),
}
scores = st.lists(
    st.lists(st.integers(0, 5).map(lambda cost: cost / 5), max_size=3).map(lambda one: dict(enumerate(one))),
    min_size=1,
    max_size=12,
)


def worth(given: list[dict[int, float]]) -> list[float]:
    last = {trial: value for trial, _, value in standings(given)}
    return [last[trial] for trial in range(len(given))]


def test_who_comes_to_a_rung_above_shares_what_those_there_held_below() -> None:
    lucky, good, best, bad = worth([{0: 0.5, 1: 0.1}, {0: 0.2, 1: 0.4}, {0: 0.1}, {0: 0.9}])
    below = ndtri(np.array([3.5, 2.5, 1.5, 0.5]) / 4)  # of the four at the first rung, best first
    assert [best, lucky, good, bad] == pytest.approx(below.tolist()), "the two above changed places, and passed nobody else"
    assert worth([{0: 0.3}, {0: 0.3}, {}])[:2] == pytest.approx([ndtri(2 / 3)] * 2), "equals share; the scoreless one is last"
    assert worth([{0: 0.3}, {0: 0.3}, {}])[2] == pytest.approx(ndtri(1 / 6))
    assert worth([{2: 0.3}, {2: 0.1}]) == pytest.approx(ndtri([1 / 4, 3 / 4]).tolist()), "rungs need not begin at the first"


@given(scores)
def test_values_are_those_of_the_lowest_rung_whoever_arrived_first(drawn: list[dict[int, float]]) -> None:
    if not any(drawn):
        return
    found = worth(drawn)
    assert worth(drawn[::-1]) == pytest.approx(found[::-1])
    only = worth([{0: one.get(0, np.inf)} for one in drawn])
    assert min(found) >= min(only) - 1e-9
    assert max(found) <= max(only) + 1e-9


@given(st.lists(st.floats(0, 1), min_size=len(KNOBS), max_size=len(KNOBS)))
def test_a_point_is_its_parameters(shares: list[float]) -> None:
    coordinates = Coordinates(KNOBS)
    params = coordinates.params(np.array(shares))
    assert all(knob.contains(params[path]) for path, knob in KNOBS.items())
    again = coordinates.params(coordinates.point(params))
    assert {**again, "lr": 0, "share": 0, "rest": 0} == {**params, "lr": 0, "share": 0, "rest": 0}
    assert [again[path] for path in ("lr", "share", "rest")] == pytest.approx([params[path] for path in ("lr", "share", "rest")])
    searched = coordinates.searched(params)
    assert ("rest" in searched) == (params["kind"] == "b")
    assert (coordinates.point(searched)[-1] == INACTIVE) or params["kind"] == "b"


def test_a_whole_number_of_a_list_is_the_fraction_that_a_field_makes_of_it() -> None:
    coordinates = Coordinates({"decay": ChoiceKnob(type="choice", values=[3, 1, 0.5, 8])})
    assert coordinates.point({"decay": 1.0}) == coordinates.point({"decay": 1}) == pytest.approx(3 / 8), "by size"
    assert coordinates.params(np.array([3 / 8])) == {"decay": 1}


def test_a_move_stays_near_and_in_the_cube() -> None:
    coordinates, draw = Coordinates(KNOBS), np.random.default_rng(0)
    start = coordinates.point(coordinates.params(np.full(len(KNOBS), 0.02)))
    moved = np.array([coordinates.moved(start, draw, scale=0.05, share=0.3) for _ in range(500)])
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved != start).any(axis=1).all(), "every move moves something"
    assert np.abs(moved - start)[:, ~coordinates.is_name].max() < 0.3
    assert 0.3 < (moved != start)[:, 0].mean() < 0.5


def process_of(rows: list[int]) -> RungProcess:
    draw = np.random.default_rng(3)
    points = draw.random((40, 3))
    points[:, 2] = (points[:, 2] * 2).astype(int) * 0.5 + 0.25
    rungs = np.tile([0.0, 0.5, 1.0, 0.0], 10)
    truth = -((points[:, 0] - 0.3) ** 2) - 0.2 * (points[:, 2] > 0.5)
    values = truth * 4 + 0.01 * draw.normal(size=40)
    return RungProcess(points[rows], rungs[rows], values[rows], np.array([False, False, True]))


def test_the_process_finds_what_is_better_whatever_the_order_of_its_rows() -> None:
    process = process_of(list(range(40)))
    backwards = process_of(list(range(40))[::-1])
    at = np.array([[share, 0.5, name] for share in (0.0, 0.3, 0.6, 0.9) for name in (0.25, 0.75)])
    gains = process.improvement(at)
    assert gains.argmax() == 2, "near 0.3, with the first name"
    assert (gains >= 0).all()
    assert backwards.improvement(at) == pytest.approx(gains, rel=1e-3)

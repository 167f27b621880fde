"""What a sweep learns of its legs: how long they take, and what fits a device."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.config.step_costs import StepCosts
from trm.search.journal.events import Asked, DriverStarted, LegEnded, SpeedMeasured
from trm.search.resources.memory import MemoryLimit
from trm.search.resources.speeds import Speeds, own_steps

COSTS = [1e8 * 1.5**index for index in range(12)]


def seconds_of(step_flops: float) -> float:
    return 0.004 + step_flops / 30e9


def taught(costs: list[float], steps: int = 100) -> Speeds:
    speeds = Speeds()
    for cost in costs:
        speeds.observe(cost, steps, steps * seconds_of(cost))
    return speeds


def test_nothing_seen_nothing_said() -> None:
    speeds = Speeds()
    speeds.observe(1e9, 0, 1.0)
    speeds.observe(1e9, 5, 0.0)
    assert speeds.step_seconds(1e9) is None
    assert speeds.leg_seconds(StepCosts.constant(1e9), 0, 10) is None


@pytest.mark.parametrize("cost", [3e7, 5e8, 7e9, 4e10])
def test_a_constant_and_a_rate_are_found(cost: float) -> None:
    assert taught(COSTS).step_seconds(cost) == pytest.approx(seconds_of(cost), rel=0.01)


def test_one_cost_alone_is_scaled() -> None:
    speeds = taught([1e9])
    assert speeds.step_seconds(1e9) == pytest.approx(seconds_of(1e9))
    assert speeds.step_seconds(4e9) == pytest.approx(4 * seconds_of(1e9))


def test_slow_starts_do_not_bend_the_line() -> None:
    speeds, draws = Speeds(), random.Random(1)
    for number in range(30):
        cost = draws.choice(COSTS)
        slowdown = 8.0 if number % 6 == 0 else 1.0
        speeds.observe(cost, 100, 100 * slowdown * seconds_of(cost))
    for cost in COSTS:
        assert speeds.step_seconds(cost) == pytest.approx(seconds_of(cost), rel=0.25)


def test_a_network_s_own_speed_tells_more_than_the_others() -> None:
    speeds = taught(COSTS * 3)
    for _ in range(3):
        speeds.observe(2e9, 100, 100 * 1.8 * seconds_of(2e9))
    near, far = speeds.step_seconds(2e9), speeds.step_seconds(1e8)
    assert near is not None
    assert 1.4 < near / seconds_of(2e9) < 1.81
    assert far == pytest.approx(seconds_of(1e8), rel=0.05)


def test_another_machine_is_learned() -> None:
    speeds = taught(COSTS * 4)
    for cost in COSTS * 2:
        speeds.observe(cost, 100, 100 * 3 * seconds_of(cost))
    assert speeds.step_seconds(1e9) == pytest.approx(3 * seconds_of(1e9), rel=0.1)
    speeds.forget()
    assert speeds.step_seconds(1e9) is None


@given(st.lists(st.tuples(st.floats(1e6, 1e15), st.integers(1, 1000), st.floats(1e-3, 1e4)), min_size=1, max_size=80))
def test_a_prediction_is_positive_whatever_was_seen(seen: list[tuple[float, int, float]]) -> None:
    speeds = Speeds()
    for cost, steps, seconds in seen:
        speeds.observe(cost, steps, seconds)
    for cost in (1e6, 1e10, 1e15):
        predicted = speeds.step_seconds(cost)
        assert predicted is not None
        assert 0 < predicted < float("inf")


def test_a_leg_has_an_evaluation_and_a_set_up_too() -> None:
    speeds = Speeds()
    for overhead in (9.0, 0.5, 0.5):
        speeds.observe_leg(StepCosts.constant(1e9), 0, 100, train_seconds=10.0, eval_seconds=2.0, overhead_seconds=overhead)
    assert speeds.leg_seconds(StepCosts.constant(1e9), 0, 50) == pytest.approx(5.0 + 2.0 + 0.5)
    assert speeds.leg_seconds(StepCosts.constant(2e9), 0, 50) == pytest.approx(2 * (5.0 + 2.0) + 0.5, rel=0.01)


def test_a_leg_that_went_on_from_the_middle_made_the_rest_of_the_steps() -> None:
    ended = LegEnded(trial=0, rung=1, attempt=1, status="completed", steps=300, train_seconds=10.0, at=1.0)
    assert own_steps(ended, StepCosts.constant(1e9), 100) == 200
    told = ended.model_copy(update={"metrics": {"train/flops_per_second": 5e9}})
    assert own_steps(told, StepCosts.constant(1e9), 100) == 50


def test_arithmetic_decides_until_something_was_met() -> None:
    limit = MemoryLimit()
    assert limit.allows(10**15)
    limit.device(8 * 10**9)
    assert limit.allows(8 * 10**9)
    assert limit.allows(0)
    assert not limit.allows(8 * 10**9 + 1)
    assert limit.why(12 * 10**9) == "predicted memory <= 8 GB, what a worker may use"


def test_what_ran_out_of_memory_rejects_what_is_as_large() -> None:
    limit = MemoryLimit()
    limit.device(8 * 10**9)
    limit.ran_out(4 * 10**9)
    assert not limit.allows(4 * 10**9)
    assert not limit.allows(5 * 10**9)
    assert limit.allows(3 * 10**9)
    assert limit.why(5 * 10**9) == "predicted memory < 4 GB, at which a configuration ran out of it"
    limit.completed(5 * 10**9, None)
    assert limit.allows(4 * 10**9)
    assert limit.allows(6 * 10**9)


def test_what_completed_fits_whatever_arithmetic_says() -> None:
    limit = MemoryLimit()
    limit.device(10**9)
    limit.completed(3 * 10**9, None)
    assert limit.allows(3 * 10**9)
    assert not limit.allows(4 * 10**9)


def test_measured_peaks_correct_the_arithmetic() -> None:
    limit = MemoryLimit()
    limit.device(8 * 10**9)
    limit.completed(4 * 10**9, 2 * 10**9)
    assert limit.allows(15 * 10**9)
    assert not limit.allows(17 * 10**9)
    limit.completed(5 * 10**9, 75 * 10**8)  # half as much again, by a constant or a factor: the milder is taken
    assert limit.allows(5 * 10**9)
    assert not limit.allows(6 * 10**9)
    small = MemoryLimit()
    small.device(8 * 10**9)
    small.completed(10**6, 10**8)
    assert small.allows(7 * 10**9)


def test_other_devices_begin_anew() -> None:
    limit = MemoryLimit()
    limit.device(8 * 10**9)
    limit.ran_out(4 * 10**9)
    limit.device(16 * 10**9)
    assert limit.allows(6 * 10**9)
    limit.completed(20 * 10**9, None)
    limit.device(2 * 10**9)
    assert not limit.allows(20 * 10**9)
    limit.ran_out(10**9)
    limit.device(2 * 10**9)
    assert not limit.allows(10**9)


def driver(host: str) -> DriverStarted:
    return DriverStarted(driver=f"{host}:7", fence=1, slots=1, at=1.0)


def ended(steps: int, seconds: float, **values: Any) -> LegEnded:
    given = {
        "status": "completed",
        "steps": steps,
        "train_seconds": seconds,
        "eval_seconds": 1.0,
        "overhead_seconds": 0.5,
        **values,
    }
    return LegEnded(trial=0, rung=0, attempt=0, at=2.0, **given)


def test_the_journal_teaches() -> None:
    speeds = Speeds()
    asked = Asked(trial=0, params={}, source="sampler", digest="d", seed=1, max_steps=300, step_flops=1e9, params_count=1, at=1.0)
    for event in (driver("a"), SpeedMeasured(step_flops=1e9, steps=50, seconds=20.0, at=1.0)):
        speeds.apply(event)
    assert speeds.leg_seconds(StepCosts.constant(1e9), 0, 10) == pytest.approx(4.0)
    for event in (asked, ended(100, 20.0), ended(0, 0.0, status="failed"), ended(300, 40.0), driver("a")):
        speeds.apply(event)
    assert speeds.step_seconds(1e9) == pytest.approx(0.2)
    assert speeds.leg_seconds(StepCosts.constant(1e9), 0, 10) == pytest.approx(2.0 + 1.0 + 0.5)
    speeds.apply(driver("b"))
    assert speeds.step_seconds(1e9) is None

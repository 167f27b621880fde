"""What steps take is an integral: sums are exact, and where an amount is reached is the first step that reaches it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.config.step_costs import SLACK, Share, Stage, StepCosts, boundaries, length_for, mean_of

CGAR = (Share(0.3, 3.0), Share(0.3, 7.0), Share(0.4, 12.0))


def divisions() -> st.SearchStrategy[list[tuple[float, float]]]:
    """Shares that add up to 1, and whole costs."""
    parts = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 10**9)), min_size=1, max_size=5)
    return parts.map(lambda found: [(part / sum(one for one, _ in found), float(each)) for part, each in found])


def test_a_schedule_s_steps_take_what_their_stage_takes() -> None:
    costs = StepCosts.of(CGAR, 10)
    assert costs.stages == (Stage(0, 3.0), Stage(3, 7.0), Stage(6, 12.0))
    assert [costs.up_to(step) for step in (0, 1, 3, 4, 6, 10, 12)] == [0, 3, 9, 16, 30, 78, 102]
    assert costs.between(2, 7) == 3 + 3 * 7 + 12
    assert costs.counts(2, 7) == [(3.0, 1), (7.0, 3), (12.0, 1)]
    assert [costs.at(step) for step in (0, 2, 3, 5, 6, 40)] == [3, 3, 7, 7, 12, 12]
    assert [costs.steps_for(amount) for amount in (1, 9, 9.5, 16, 30, 31, 78, 79)] == [1, 3, 4, 4, 6, 7, 10, 11]
    assert (costs.first, costs.last, costs.most, costs.mean(10)) == (3.0, 12.0, 12.0, 7.8)


@given(divisions(), st.integers(1, 5000), st.integers(0, 6000))
def test_an_amount_is_reached_by_the_first_step_that_reaches_it(parts: list[tuple[float, float]], length: int, step: int) -> None:
    costs = StepCosts.of([Share(*part) for part in parts], length)
    each_alone = sum(int(costs.at(made)) for made in range(step))
    assert costs.up_to(step) == each_alone
    for amount in (each_alone, each_alone + 0.5):
        found = costs.steps_for(amount)
        assert costs.up_to(found) >= amount
        assert found == 1 or costs.up_to(found - 1) < amount
    assert costs.steps_back(step, costs.between(step // 3, step)) == step - step // 3


@given(divisions(), st.floats(1.0, 1e12))
def test_a_run_is_as_long_as_its_own_integral_needs(parts: list[tuple[float, float]], amount: float) -> None:
    shares = [Share(*part) for part in parts]
    amount = min(amount, 3000 * mean_of(shares))
    length = length_for(shares, amount)
    assert StepCosts.of(shares, length).up_to(length) >= amount
    assert length == 1 or StepCosts.of(shares, length - 1).up_to(length - 1) < amount
    last = StepCosts.of(shares, length).steps_for(amount)
    assert last <= length
    if [one.each for one in shares] == sorted(one.each for one in shares):
        assert last == length


@given(st.integers(1, 2**40), st.floats(1.0, 1e15))
def test_constant_costs_are_a_product_and_a_quotient(each: int, amount: float) -> None:
    costs = StepCosts.constant(float(each))
    assert costs.between(3, 10) == 7 * float(each)
    assert costs.steps_for(amount) == length_for([Share(1.0, float(each))], amount) == max(1, math.ceil(amount / each))
    assert costs.steps_for(amount, slack=SLACK) == max(1, math.ceil(amount / each * (1 - 1e-12)))
    assert costs.steps_back(3, 7.4 * each) == 7


@pytest.mark.parametrize(("length", "expected"), [(1, [0, 0]), (2, [0, 1]), (10, [1, 8]), (100, [10, 80])])
def test_shares_are_decimal_fractions(length: int, expected: list[int]) -> None:
    assert boundaries([0.1, 0.7, 0.2], length) == expected

"""What a space will cost: its ends, its rungs, and a first rung that is long enough."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import cost_of
from space_cases import DEMO, demo

from trm.config.files import merged
from trm.config.networks import DataShape
from trm.config.step_costs import StepCosts
from trm.errors import ConfigError
from trm.models.cost import run_cost
from trm.search.planning.preflight import preflight
from trm.search.planning.survey import Survey
from trm.search.schedulers.asha import Asha
from trm.search.schedulers.run_to_end import NoScheduler
from trm.search.schedulers.rungs import first_rung_need
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace


def test_the_shipped_demo_passes_its_preflight() -> None:
    demo = Path(__file__).parents[2] / "search_spaces/sudoku4x4.yaml"
    found = preflight(Survey(load_space(demo), partial(run_cost, shape=DataShape(16, 6, 1))))
    assert found.spread <= 16
    assert found.accepted >= 0.5 * found.drawn


def test_the_first_rung_must_suit_the_dearest_configuration() -> None:
    with pytest.raises(
        ConfigError, match=r"must give every configuration 100 steps.*model.H_cycles=3.* makes only \d+ of \d+ there; raise"
    ):
        preflight(Survey(demo({"budget": {"per_trial": 1e12}}), cost_of))


def test_the_remedy_of_a_short_first_rung_helps() -> None:
    with pytest.raises(ConfigError) as caught:
        preflight(Survey(demo({"budget": {"per_trial": 1e12}}), cost_of))
    flops = float(caught.value.remedy.split("per_trial to ")[1].split(",")[0])
    preflight(Survey(demo({"budget": {"per_trial": flops * 1.01}}), cost_of))


def test_one_rung_needs_no_first_rung() -> None:
    values = {**merged(DEMO, {"budget": {"per_trial": 1.0}}), "scheduler": "none"}
    found = preflight(Survey(SearchSpace.model_validate(values), cost_of))
    assert found.dearest.rung_steps == (1,)


def test_preflight_finds_the_dearest_and_the_cheapest() -> None:
    found = preflight(Survey(demo(), cost_of))
    assert found.dearest.params["model.H_cycles"] == 3
    assert found.dearest.params["model.hidden_size"] == 64
    assert found.cheapest.params["model.H_cycles"] == 1
    assert found.cheapest.params["model.hidden_size"] == 32
    assert found.spread == pytest.approx(5 / 3 * 4)


def test_rungs_are_geometric_and_end_at_the_budget() -> None:
    rungs = Asha(eta=3, rungs=3).rungs_up_to(9e12)
    assert rungs.amounts == pytest.approx((1e12, 3e12, 9e12))
    assert rungs.steps(StepCosts.constant(1e10)) == (100, 300, 900)
    assert rungs.steps(StepCosts.constant(3e10)) == (34, 100, 300)
    assert NoScheduler().rungs_up_to(5.0).amounts == (5.0,)


@given(st.floats(1e6, 1e15), st.floats(1e9, 1e20), st.integers(2, 5), st.integers(1, 5))
def test_rung_steps_buy_at_least_their_flops_and_never_shrink(step: float, budget: float, eta: int, count: int) -> None:
    rungs = Asha(eta=eta, rungs=count).rungs_up_to(budget)
    steps = rungs.steps(StepCosts.constant(step))
    assert list(steps) == sorted(steps)
    for flops, number in zip(rungs.amounts, steps, strict=True):
        assert number >= 1
        assert number * step >= flops * (1 - 1e-9)
        assert (number - 1) * step < flops


def test_first_rung_need_is_the_largest_of_three() -> None:
    assert first_rung_need(0, 1) == 100
    assert first_rung_need(80, 8) == 160
    assert first_rung_need(10, 64) == 256

"""Rungs that nobody gave: chosen from length and number of trials, fixed at the start."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import FakeCost

from trm.config.files import dump_yaml
from trm.search.planning.preflight import length_in_needs, preflight
from trm.search.planning.rung_choice import as_begun, with_rungs
from trm.search.planning.survey import Survey
from trm.search.schedulers.asha import Asha
from trm.search.space.candidates import Facts
from trm.search.space.resume import diff_frozen
from trm.search.space.space import SearchSpace
from trm.sweeps.folder import SWEEP_FILE, begun_space

STEP_FLOPS = 1e6
NEED = 100
"""Steps of a first rung: the warm-up is short."""


def cost_of(config: Any) -> FakeCost:
    return FakeCost(STEP_FLOPS * config.model.H_cycles, 10)


def space(length: float, trials: int | None = 50, **sections: Any) -> SearchSpace:
    """One whose dearest trial is `length` times as long as a first rung must be."""
    return SearchSpace.model_validate(
        {
            "name": "ladder",
            "data": {"recipe": "datasets/sudoku4x4.yaml"},
            "base": {"optim": {"lr_warmup_steps": 0}, "model": {"halt_max_steps": 4}},
            "search": {"model.H_cycles": {"type": "int", "low": 1, "high": 4}},
            "budget": {"per_trial": 4 * STEP_FLOPS * NEED * length, "trials": trials, "train_flops": 1e18},
            **sections,
        }
    )


def chosen(one: SearchSpace) -> tuple[int | None, int | None]:
    scheduler = with_rungs(Survey(one, cost_of, Facts())).space.scheduler
    assert isinstance(scheduler, Asha)
    return scheduler.eta, scheduler.rungs


@pytest.mark.parametrize(
    ("length", "trials", "ladder"),
    [(1000, 50, (2, 4)), (8, 50, (2, 4)), (7.9, 50, (2, 3)), (2, 50, (2, 2)), (1.5, 50, (2, 1)), (8, 4, (2, 3)), (8, None, (2, 4))],
)
def test_the_first_rung_is_long_enough_and_somebody_comes_to_the_last(length: float, trials: int | None, ladder: object) -> None:
    assert chosen(space(length, trials)) == ladder


def test_what_is_given_stays() -> None:
    assert chosen(space(9, scheduler={"type": "asha", "eta": 3})) == (3, 3)
    assert chosen(space(9, scheduler={"type": "asha", "rungs": 2})) == (2, 2)
    for scheduler in ({"type": "asha", "eta": 4, "rungs": 5}, {"type": "hyperband"}, {"type": "none"}):
        given_all = space(9, scheduler=scheduler)
        assert with_rungs(Survey(given_all, cost_of, Facts())).space is given_all


@given(st.floats(1.0, 100.0), st.integers(1, 100))
def test_no_chosen_ladder_is_refused(length: float, trials: int) -> None:
    one = with_rungs(Survey(space(length, trials), cost_of, Facts())).space
    found = preflight(Survey(one, cost_of))
    assert length_in_needs(Survey(one, cost_of)) == pytest.approx(length, rel=0.01)
    assert found.rung_amounts[-1] == one.budget.per_trial
    assert found.dearest.rung_steps[0] >= min(NEED, found.dearest.max_steps)


def test_seconds_are_not_known_before_the_start() -> None:
    assert chosen(space(1.0, fidelity="seconds")) == (2, 4)


def test_a_resume_keeps_what_was_chosen_though_its_budget_would_choose_otherwise(tmp_path: Path) -> None:
    begun = with_rungs(Survey(space(8, trials=4), cost_of, Facts())).space
    dump_yaml(tmp_path / SWEEP_FILE, {"space": begun.model_dump(mode="json")})
    resumed = begun_space(tmp_path, space(8, trials=50))
    assert with_rungs(Survey(resumed, cost_of, Facts())).space is resumed
    assert diff_frozen(begun, resumed) is None
    changed = as_begun(space(8, scheduler={"type": "asha", "rungs": 2}), begun)
    assert diff_frozen(begun, changed) == "scheduler.rungs: 3 -> 2"

"""The base as the first trial of a sweep whose file names no start points: what it is, and when there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_simulator import Simulator, cost_of
from space_cases import load, write

from trm.config.base import RECORDED
from trm.search.findings.replay import replay
from trm.search.journal.journal import read_events
from trm.search.planning.forecast import forecast
from trm.search.planning.survey import Survey
from trm.search.planning.unasked import unasked_lines
from trm.search.search import Search
from trm.search.space.loading import load_space
from trm.search.space.resume import diff_frozen
from trm.search.space.space import SearchSpace

SMALL: dict[str, Any] = {"budget": {"trials": 4, "per_trial": 1e13}}
BASE = {"model.mlp_t": False, "model.pos_encodings": "rope", "model.hidden_size": 64, "model.H_cycles": 3, "optim.lr": 1e-3}
"""What DEMO's base is: its width and rate, the paper's depth, and attention with the only encoding that is searched with it."""


def sources(space: SearchSpace, folder: Path) -> list[str]:
    """Of the trials of a sweep that is simulated."""
    folder.mkdir()
    search = Simulator(space, folder, slots=2).run().search
    assert search.state.trials[0].asked.digest != search.state.trials[1].asked.digest
    return [trial.asked.source for trial in search.state.trials]


def test_the_base_is_the_first_trial_where_a_file_names_no_start_points(tmp_path: Path) -> None:
    space = load(tmp_path, SMALL)
    assert space.base_point == BASE
    assert sources(space, tmp_path / "sweep") == ["base", "sampler", "sampler", "sampler"]
    events = [entry.event for entry in read_events(tmp_path / "sweep" / "journal.jsonl")]
    assert replay(Search(space, cost_of, folder="data"), events).trials == 4
    recorded = SearchSpace.model_validate(space.model_dump(mode="json"), context=RECORDED)
    assert recorded == space
    assert diff_frozen(recorded, space) is None


def test_who_says_where_to_begin_gets_that_alone(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "start_points=[]").base_point is None
    own = load(tmp_path, {**SMALL, "start_points": [{"model.mlp_t": True}]})
    assert (own.base_point, sources(own, tmp_path / "own")) == (None, ["start_point", "sampler", "sampler", "sampler"])
    assert load(tmp_path, {**SMALL, "sampler": {"type": "carried"}}).base_point is None, "nothing but an earlier sweep's trials"
    assert load(tmp_path, {"search": None, "replicates": 3}).base_point is None, "every trial is the base"


def test_values_that_a_knob_cannot_be_are_the_nearest_that_it_can(tmp_path: Path) -> None:
    changes = {"search": {"optim.lr": {"type": "float", "low": 2e-3, "high": 4e-3, "log": True}, "model.hidden_size": None}}
    space = load(tmp_path, {**SMALL, **changes})
    assert space.base_point is not None
    assert (space.base_point["optim.lr"], "model.hidden_size" in space.base_point) == (2e-3, False)
    assert "nearest" not in unasked_lines(Survey(load(tmp_path, {"search": {"model.pos_encodings": None}}), cost_of))[0]
    assert "optim.lr 0.001 -> 0.002" in unasked_lines(Survey(space, cost_of))[0]


def test_of_a_recipes_data_it_has_the_recipes_own(tmp_path: Path) -> None:
    data = {"search": {"data.train": {"type": "choice", "values": [100, 150]}}, "data": {"overrides": {"train": 150}}}
    space = load(tmp_path, data)
    assert (space.base_point or {})["data.train"] == 150


@pytest.mark.parametrize(
    ("changes", "rule"),
    [({"constraints": ["H_cycles <= 2"]}, "H_cycles <= 2"), ({"constraints": ["step_gflops <= 2"]}, "step_gflops <= 2")],
)
def test_a_base_that_breaks_a_rule_is_no_trial_and_no_error(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    space = load(tmp_path, {**SMALL, **changes})
    survey = Survey(space, cost_of)
    assert unasked_lines(survey) == [f"the base is no trial: it breaks {rule} (start_points say where else to begin)"]
    assert sources(space, tmp_path / "sweep") == ["sampler"] * 4


def test_a_base_that_the_first_rung_is_too_short_for_is_no_trial(tmp_path: Path) -> None:
    survey = Survey(load(tmp_path, SMALL), lambda config: replace(cost_of(config), step_flops=4e10 * config.model.H_cycles))
    line = "the base is no trial: it breaks steps at the first rung >= 100, with 28 (start_points say where else to begin)"
    assert unasked_lines(survey) == [line]


def test_it_is_the_first_of_what_a_dry_run_shows(tmp_path: Path) -> None:
    one_knob = {path: None for path in BASE if path != "model.H_cycles"}
    own = [{"model.H_cycles": 1}]
    space = load(tmp_path, {**SMALL, "search": one_knob, "base_point": {"model.H_cycles": 3}, "start_points": own})
    seen = forecast(Survey(space, cost_of), slots=2)
    assert [one.params["model.H_cycles"] for one in seen.samples[:2]] == [1, 3]


def test_sweeps_that_began_before_go_on_without(tmp_path: Path) -> None:
    assert load_space(write(tmp_path, SMALL), rules=4).base_point is None

"""Outcome constraints: whoever breaks one ranks behind all that keep them, everywhere, and nothing changes where there are none."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from optuna.samplers import RandomSampler
from pydantic import ValidationError
from search_simulator import LegOrder, Simulator, cost_of
from sweep_cases import events_of, space

from trm.config.data import DataConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import ConfigError
from trm.search.confirmation import candidates_of
from trm.search.findings.confirmed import winner
from trm.search.findings.replay import replay
from trm.search.findings.status import sweep_status
from trm.search.findings.tables import outcome_words, write_leaderboard, write_trials
from trm.search.order import Order, Score
from trm.search.planning.preflight import check_objective
from trm.search.samplers.study import StudyView
from trm.search.samplers.study_fronts import FrontView
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.schedulers.rung import Rung
from trm.search.search import Search
from trm.search.settings import Objective, OutcomeConstraint
from trm.search.space.space import SearchSpace

WANTED = ["latency_seconds <= 0.01", "cell_accuracy >= 0.5"]


def constrained(**objective: Any) -> SearchSpace:
    values = space({"budget": {"trials": 12}}).model_dump(mode="json")
    values["objective"] = {"metric": "exact_accuracy", "outcome_constraints": WANTED, **objective}
    return SearchSpace.model_validate({**values, "scheduler": {"type": "asha", "eta": 2, "rungs": 3}})


def slow_when_deep(order: LegOrder) -> dict[str, Any]:
    """The deeper the better, and the slower: two passes keep the limit, three break it."""
    depth = order.config.model.H_cycles
    objective = 0.2 * depth + 0.01 * order.rung + 0.001 * (order.trial % 7)
    metrics = {"latency_seconds": 0.004 * depth, "cell_accuracy": 0.6}
    return {"status": "completed", "objective": objective, "standard_error": 0.3, "loss": 1.0, "metrics": metrics}


def kept(search: Search, trial: int) -> bool:
    return search.state.trials[trial].params["model.H_cycles"] < 3


@pytest.fixture(scope="module", params=["alone", "front"])
def swept(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    folder = tmp_path_factory.mktemp(request.param)
    against = {"against": ["params"]} if request.param == "front" else {}
    return folder, Simulator(constrained(**against), folder, outcome=slow_when_deep, slots=2).run().search


def test_trials_that_keep_them_stand_first_at_every_rung_and_on_the_leaderboard(swept: tuple[Path, Search]) -> None:
    _, search = swept
    state = search.state
    boards = [[trial.number for trial in state.leaderboard()], *(board.ranked for board in state.rung_results[0])]
    for board in boards:
        keeping = [kept(search, trial) for trial in board]
        assert keeping == sorted(keeping, reverse=True)
    assert {kept(search, trial) for trial in boards[0]} == {True, False}
    assert max(state.searched, key=lambda trial: trial.score.objective if trial.score else 0.0).params["model.H_cycles"] == 3
    best = winner(state)
    assert best is not None
    assert kept(search, best.trial.number)
    assert all(kept(search, trial.number) for trial in candidates_of(state, 12))
    assert state.best_ever is not None
    assert state.best_ever.violation == 0


def test_a_replay_and_a_resume_come_to_the_same(swept: tuple[Path, Search]) -> None:
    folder, search = swept
    again = Search(search.state.space, cost_of, folder="data")
    replay(again, events_of(folder))
    assert [trial.number for trial in again.state.leaderboard()] == [trial.number for trial in search.state.leaderboard()]


def test_files_and_status_say_what_is_broken(swept: tuple[Path, Search], tmp_path: Path) -> None:
    _, search = swept
    write_leaderboard(search.state, tmp_path, count=12)
    rows = json.loads((tmp_path / "leaderboard.json").read_text())["trials"]
    for row in rows:
        assert row["breaks"] == ([] if kept(search, row["trial"]) else WANTED[:1])
        assert row["outcomes"] == {"latency_seconds": 0.004 * row["parameters"]["model.H_cycles"], "cell_accuracy": 0.6}
    write_trials(search.state, tmp_path)
    table = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    assert all((row["violation"] == 0) == kept(search, row["trial"]) for row in table)
    best = sweep_status(search.state, 2000.0, is_driven=False).best
    assert best is not None
    assert best.breaks == ()
    keeping = sum(kept(search, trial.number) for trial in search.state.searched)
    assert outcome_words(search.state) == [f"{keeping} of 12 scored trials keep {' and '.join(WANTED)}"]


def test_where_none_keeps_them_the_one_least_off_is_best(tmp_path: Path) -> None:
    def slow(order: LegOrder) -> dict[str, Any]:
        return {**slow_when_deep(order), "metrics": {"latency_seconds": 0.1 * order.config.model.H_cycles, "cell_accuracy": 0.6}}

    state = Simulator(constrained(), tmp_path, outcome=slow).run().search.state
    best = winner(state)
    assert best is not None
    assert best.trial.params["model.H_cycles"] == min(trial.params["model.H_cycles"] for trial in state.searched)
    found = sweep_status(state, 2000.0, is_driven=False).best
    assert found is not None
    assert found.breaks == tuple(WANTED[:1])
    assert "least off" in outcome_words(state)[0]


def test_a_target_counts_only_where_they_are_kept(tmp_path: Path) -> None:
    values = constrained().model_dump(mode="json")
    values["budget"]["target"] = 0.55
    search = Simulator(SearchSpace.model_validate(values), tmp_path, outcome=slow_when_deep).run().search
    assert len(search.state.searched) == 12
    assert search.state.ended is not None
    assert "target" not in search.state.ended.reason


def test_samplers_are_shown_by_how_much_they_are_broken(swept: tuple[Path, Search]) -> None:
    _, search = swept
    state = search.state
    objective, sampler = state.space.objective, RandomSampler()
    if objective.against:
        study = FrontView(state.space.search, objective).study(state.searched, sampler)
    else:
        study = StudyView(state.space.search, state.order).study(state.searched, sampler)
    for trial, frozen in zip(state.searched, study.get_trials(deepcopy=False), strict=True):
        assert frozen.constraints["possible"] == pytest.approx(0.0 if kept(search, trial.number) else 0.2 / 1.2)


def test_no_standard_error_saves_who_breaks_more(tmp_path: Path) -> None:
    order = Order("max")
    for board in (Rung(2, order, 0.25), ParetoRung(2, order, 0.25)):
        for trial in range(4):
            board.add(Score(trial, 0.5 + 0.01 * trial, 0.5, 1.0, str(trial), violation=float(trial >= 2)))
        assert board.ranked == [1, 0, 3, 2]
        assert board.survivors() == {0, 1}


@pytest.mark.parametrize("text", ["latency_seconds < 0.01", "0.01 >= latency_seconds", "cell_accuracy >= high", "cell_accuracy"])
def test_what_compares_no_figure_with_a_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="compares a figure with a number"):
        Objective.model_validate({"outcome_constraints": [text]})


def test_unknown_figures_and_schedulers_that_go_by_scores_alone_are_refused() -> None:
    wanted = Objective.model_validate({"outcome_constraints": ["latency_second <= 1"]})
    config = RunConfig(data=DataConfig(recipe="x.yaml"), training=TrainingConfig(steps=1))
    with pytest.raises(ConfigError, match=r"objective.outcome_constraints.0 must be a cost .* did you mean latency_seconds"):
        check_objective(constrained().model_copy(update={"objective": wanted}), config, "sudoku")
    values = constrained().model_dump(mode="json")
    with pytest.raises(ValidationError, match="scheduler median stops by scores alone"):
        SearchSpace.model_validate({**values, "scheduler": {"type": "median"}})


def test_a_violation_is_in_units_of_its_bound_and_what_is_not_known_breaks_it() -> None:
    least, most = OutcomeConstraint.of("cell_accuracy >= 0.8"), OutcomeConstraint.of("params<=1e6")
    assert (least.violation(0.8), least.violation(0.6)) == (0.0, pytest.approx(0.25))
    assert (most.violation(5e5), most.violation(3e6)) == (0.0, pytest.approx(2.0))
    assert OutcomeConstraint.of("loss <= 0").violation(0.5) == 0.5
    assert least.violation(None) == float("inf")


def test_a_space_without_any_is_the_space_that_it_was() -> None:
    assert "outcome_constraints" not in json.dumps(space().frozen())
    assert "outcome_constraints" in json.dumps(constrained().frozen())

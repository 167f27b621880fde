"""Several seeds of one configuration in a sweep: a space may have no knob at all, and seeds come to a mean."""

import json
from pathlib import Path
from typing import Any

import pytest
from search_simulator import Simulator, cost_of
from space_cases import DEMO
from sweep_cases import events_of

from trm.config.files import dump_yaml, validated
from trm.errors import ConfigError
from trm.search.findings.importance import importance, sentence
from trm.search.findings.replay import replay
from trm.search.findings.status import larger_budget
from trm.search.findings.study_export import write_study
from trm.search.findings.tables import write_leaderboard, write_trials
from trm.search.planning.forecast import forecast
from trm.search.planning.preflight import preflight
from trm.search.planning.survey import Survey, check_space
from trm.search.replicates import replicate_words
from trm.search.search import Search
from trm.search.space.candidates import Facts
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.sweeps.commands import with_option

MIXING = {name: value for name, value in DEMO["base"]["model"].items() if name != "num_heads"} | {"mlp_t": True}
ONE = {"name": "one", "data": DEMO["data"], "base": {**DEMO["base"], "model": MIXING}}


def one_configuration(**sections: Any) -> SearchSpace:
    return validated(SearchSpace, {**ONE, "search": {}, "replicates": 4, "budget": {"per_trial": 1e13}, **sections}, "one.yaml")


def test_a_space_without_knobs_is_so_many_seeds_and_all_go_to_the_end(tmp_path: Path) -> None:
    made = one_configuration()
    assert (made.scheduler.type, made.budget.trials) == ("none", 4)
    check_space(made, cost_of)
    assert preflight(Survey(made, cost_of)).spread == 1
    assert forecast(Survey(made, cost_of, Facts()), slots=2).expected.trials == 4
    search = Simulator(made, tmp_path).run().search
    assert [trial.status for trial in search.state.trials] == ["finished"] * 4
    assert len({trial.asked.seed for trial in search.state.trials}) == 4
    assert len({trial.asked.digest for trial in search.state.trials}) == 1
    write_trials(search.state, tmp_path)
    write_leaderboard(search.state, tmp_path)
    write_study(search.state, tmp_path)
    assert sentence(importance(search.state)) is None or "cannot be told" in str(sentence(importance(search.state)))
    (row,) = json.loads((tmp_path / "leaderboard.json").read_text())["replicates"]
    scores = [trial.result.objective for trial in search.state.trials if trial.result is not None]
    assert row["scores"] == scores
    assert row["mean"] == pytest.approx(sum(score or 0.0 for score in scores) / 4)
    assert row["low"] < row["mean"] < row["high"]
    (words,) = replicate_words(search.state)
    assert words.startswith(f"exact_accuracy {row['mean']:.4f} (95 % over seeds: {row['low']:.4f} to")
    assert replay(Search(made, cost_of), events_of(tmp_path)).trials == 4


def test_more_seeds_may_be_asked_for_by_a_resume(tmp_path: Path) -> None:
    made = one_configuration()
    first = Simulator(made, tmp_path).run().search
    assert larger_budget(first.state) == ("up to 8 trials", "--trials 8")
    more = one_configuration(budget={"per_trial": 1e13, "trials": 8})
    assert len(Simulator(more, tmp_path, now=1e6).run().search.state.trials) == 8
    assert replay(Search(more, cost_of), events_of(tmp_path)).trials == 8


def test_replicates_of_several_configurations_rank_by_their_means(tmp_path: Path) -> None:
    made = one_configuration(
        search={"model.H_cycles": {"type": "int", "low": 1, "high": 2}}, replicates=2, budget={"per_trial": 1e13, "trials": 4}
    )
    search = Simulator(made, tmp_path).run().search
    write_leaderboard(search.state, tmp_path)
    rows = json.loads((tmp_path / "leaderboard.json").read_text())["replicates"]
    assert [row["parameters"]["model.H_cycles"] for row in rows] == [2, 1]
    assert [len(row["seeds"]) for row in rows] == [2, 2]


@pytest.mark.parametrize("sampler", ["tpe", "random", "brute_force", "nsga2"])
def test_every_sampler_has_nothing_to_choose(tmp_path: Path, sampler: str) -> None:
    made = one_configuration(sampler={"type": sampler}, scheduler={"type": "asha", "eta": 2, "rungs": 2})
    assert len(Simulator(made, tmp_path).run().search.state.trials) == 4


def test_an_empty_space_is_written_as_people_write_it(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    dump_yaml(path, {**ONE, "search": None, "replicates": 3, "budget": {"per_trial": 1e13}})
    made = load_space(path)
    assert (made.search, made.budget.trials) == ({}, 3)
    assert validated(SearchSpace, made.model_dump(mode="json"), "again") == made
    with pytest.raises(ConfigError, match="search must have at least 1 entries, or replicates be more than 1"):
        load_space(path, ["replicates=1"])


@pytest.mark.parametrize(
    ("budget", "larger"),
    [
        ({"trials": 2}, ("up to 4 trials", "--trials 4")),
        ({"train_flops": 3e13}, ("up to 6e+13 train_flops", "--set budget.train_flops=6e+13")),
        ({"trials": 50}, None),  # the space has two configurations
        ({"trials": 50, "target": 1e-6}, None),
    ],
)
def test_a_sweep_that_ended_offers_what_would_go_on_with_it(tmp_path: Path, budget: dict[str, Any], larger: object) -> None:
    knobs = {"model.H_cycles": {"type": "int", "low": 1, "high": 2}, "optim.ema": {"type": "choice", "values": [True, False]}}
    made = one_configuration(search=knobs, replicates=1, budget={"per_trial": 1e13, **budget}, scheduler={"type": "none"})
    assert larger_budget(Simulator(made, tmp_path).run().search.state) == larger


def test_commands_that_go_on_name_the_larger_budget_once() -> None:
    assert (
        with_option("sweep.py x.yaml --name a --trials 7 --resume", "--trials 14")
        == "sweep.py x.yaml --name a --trials 14 --resume"
    )
    assert (
        with_option("sweep.py x.yaml --name a --resume", "--set budget.x=2") == "sweep.py x.yaml --name a --set budget.x=2 --resume"
    )

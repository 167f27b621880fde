"""What a sweep with several objectives leaves: the front in the leaderboard, the tables, the study, the picture, the terminal."""

import io
import itertools
import json
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from rich.console import Console
from search_simulator import Simulator

from tests.search.test_objectives import AGAINST, scored, traded, weighed
from tests.search.test_schedulers import demo
from trm.search.findings.tables import front_rows, leaderboard_rows, write_leaderboard
from trm.search.order import Order
from trm.search.search import Search
from trm.stats.pareto import dominates
from trm.sweeps.results import leader_rows, write_results
from trm.terminal.display import figure_text, leaderboard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("front")


@pytest.fixture(scope="module")
def search(folder: Path) -> Search:
    found = Simulator(weighed("asha", AGAINST), folder, outcome=traded).run().search
    write_results(found.state, folder)
    return found


def test_trials_stand_front_by_front_and_in_each_by_the_metric() -> None:
    trials = [
        scored(0, "stopped", [0.9], 800),
        scored(1, "finished", [0.1, 0.8], 100),
        scored(2, "stopped", [0.8], 100, loss=0.5),
        scored(3, "stopped", [0.7], 900),
        scored(4, "stopped", [0.0], 10),
    ]
    scores = [trial.scores[trial.rung or 0] for trial in trials]
    assert Order("max").fronts(scores) == [[0, 1, 2], [3], [4]]


def test_the_first_is_the_best_by_the_metric_and_equals_cost_less(search: Search) -> None:
    ranked = search.state.leaderboard()
    assert sorted(one.number for one in ranked) == [one.number for one in search.state.trials if one.results]
    best = max(one.result.objective for one in ranked if one.result is not None and one.result.objective is not None)
    assert ranked[0].result is not None
    assert ranked[0].result.objective == best
    points = {
        one.number: (-(one.result.objective or 0.0), *one.scores[one.rung or 0].others) for one in ranked if one.result is not None
    }
    for before, after in itertools.combinations(ranked, 2):
        assert not dominates(points[after.number], points[before.number])


def test_the_leaderboard_holds_the_front(search: Search, folder: Path) -> None:
    board = json.loads((folder / "leaderboard.json").read_text())
    assert board["objective"]["against"][0] == {"metric": "params", "mode": "min"}
    front = [one.number for one in search.state.fronts()[0]]
    assert [row["trial"] for row in board["front"]] == front
    for row in board["front"]:
        trial = search.state.trials[row["trial"]]
        assert trial.result is not None
        assert row["against"] == {"params": trial.asked.params_count, **trial.result.metrics}
        assert (row["objective"], row["parameters"], row["rung"]) == (trial.result.objective, trial.params, trial.rung)
        assert row["checkpoint"] == trial.checkpoint
    assert [row["front"] for row in board["trials"]] == sorted(row["front"] for row in board["trials"])
    assert [row["trial"] for row in board["trials"] if row["front"] == 1] == front[: len(board["trials"])]


def test_with_one_objective_nothing_of_it_is_written(tmp_path: Path) -> None:
    search = Simulator(demo("asha", trials=4), tmp_path).run().search
    write_leaderboard(search.state, tmp_path)
    board = json.loads((tmp_path / "leaderboard.json").read_text())
    assert "front" not in board
    assert not {"front", "against"} & set(board["trials"][0])


def test_before_any_score_the_front_is_empty(tmp_path: Path) -> None:
    search = Search(weighed(), lambda config: None)  # type: ignore[arg-type, return-value]
    assert front_rows(search.state) == leaderboard_rows(search.state) == []


def test_the_table_has_a_column_for_each_figure(search: Search, folder: Path) -> None:
    rows = pq.read_table(folder / "trials.parquet").to_pylist()
    for row, trial in zip(rows, search.state.trials, strict=True):
        result = trial.result
        assert row["mean_halting_step"] == (result.metrics["mean_halting_step"] if result is not None else None)
        assert row["params"] == trial.asked.params_count


def test_the_study_has_the_true_values_of_finished_trials(search: Search, folder: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    study = optuna.load_study(study_name="demo", storage=storage, sampler=optuna.samplers.TPESampler(n_startup_trials=1, seed=0))
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["exact_accuracy", "params", "mean_halting_step"]
    for found, ours in zip(study.trials, search.state.trials, strict=True):
        assert (found.state == TrialState.COMPLETE) == (ours.status == "finished")
        if ours.status == "finished" and ours.result is not None:
            assert found.values == [ours.result.objective, ours.asked.params_count, ours.result.metrics["mean_halting_step"]]
    study.ask().suggest_float("optim.lr", 1e-4, 1e-1, log=True)  # a person's own sampler can go on from there


def test_the_picture_is_drawn(folder: Path) -> None:
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_terminal_tells_fronts_and_figures(search: Search) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(leaderboard(leader_rows(search.state), "exact_accuracy"))
    lines = console.export_text().splitlines()
    assert lines[0].strip() == "Leaderboard, front by front"
    assert "front" in lines[1]
    assert "mean_halting_step" in lines[1]
    assert lines[1].count("params") == 0, "it is the column of weights"
    assert lines[2].split()[:3] == ["1", str(search.state.leaderboard()[0].number), "1"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("params", 132000.0, "132k"),
        ("inference_flops", 2.5e9, "2.5 GFLOP"),
        ("latency_seconds", 0.0123, "12.3 ms"),
        ("loss", 0.12345, "0.1235"),
        ("loss", None, ""),
    ],
)
def test_figures_are_told_in_their_units(name: str, value: float | None, text: str) -> None:
    assert figure_text(name, value) == text

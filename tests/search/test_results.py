"""The files of a finished sweep: tables that agree with the search, and a study that Optuna reads."""

import json
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from search_simulator import LegOrder, Simulator, curve

from trm.config.files import merged
from trm.search.findings.study_export import write_study
from trm.search.findings.tables import interval_95, leaderboard_rows, trial_rows, write_leaderboard, write_trials
from trm.search.journal.events import LegEnded, Reported
from trm.search.search import Search
from trm.search.space.space import SearchSpace

SPACE: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "x.yaml"},
    "base": {"model": {"puzzle_emb_len": 1, "pos_encodings": "none", "num_heads": 2, "hidden_size": 64}},
    "search": {
        "model.mlp_t": {"type": "choice", "values": [True, False]},
        "model.num_heads": {"type": "choice", "values": [1, 2, 4], "when": {"model.mlp_t": False}},
        "optim.grad_clip": {"type": "choice", "values": [None, 1]},
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
        "model.forward_dtype": {"type": "choice", "values": ["auto", "float32"]},
    },
    "budget": {"trials": 12, "per_trial": 2.7e13},
    "sampler": {"type": "random"},
}


def outcome(order: LegOrder) -> dict[str, Any]:
    if order.trial == 3:
        return {"status": "diverged", "error": "loss is nan", "steps": 17, "train_flops": 1e9}
    return {**curve(order), "train_seconds": 2.0, "eval_seconds": 0.5, "overhead_seconds": 0.25, "metrics": {"examples": 200.0}}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Path]:
    folder = tmp_path_factory.mktemp("sweep")
    search = Simulator(SearchSpace.model_validate(SPACE), folder, outcome=outcome).run().search
    return search, folder


def test_a_row_a_trial_with_the_columns_of_the_contract(swept: tuple[Search, Path]) -> None:
    search, folder = swept
    write_trials(search.state, folder)
    table = pq.read_table(folder / "trials.parquet")
    assert table.column_names[:4] == ["trial", "status", "rung", "objective"]
    assert table.column_names[4:10] == list(SPACE["search"])
    rest = ["train_flops", "train_seconds", "eval_seconds", "overhead_seconds", "params", "steps", "seed", "checkpoint", "error"]
    assert table.column_names[10:19] == rest
    kinds = {name: table.schema.field(name).type for name in SPACE["search"]}
    assert kinds == {
        "model.mlp_t": pa.bool_(),
        "model.num_heads": pa.int64(),
        "optim.grad_clip": pa.int64(),
        "model.H_cycles": pa.int64(),
        "optim.lr": pa.float64(),
        "model.forward_dtype": pa.string(),
    }
    assert table.to_pylist() == trial_rows(search.state)


def test_a_row_says_what_became_of_the_trial(swept: tuple[Search, Path]) -> None:
    search, _ = swept
    rows = trial_rows(search.state)
    assert [row["trial"] for row in rows] == list(range(12))
    for row, trial in zip(rows, search.state.trials, strict=True):
        legs = len(trial.results)
        if trial.number != 3:
            assert (row["train_seconds"], row["eval_seconds"], row["overhead_seconds"]) == (2.0 * legs, 0.5 * legs, 0.25 * legs)
        assert row["model.num_heads"] is None or row["model.mlp_t"] is False
        assert row["rung"] == (legs - 1 if legs else None)
    bad = rows[3]
    assert (bad["status"], bad["error"], bad["objective"], bad["steps"]) == ("diverged", "loss is nan", None, 17)
    assert all(row["error"] is None for row in rows if row["trial"] != 3)


def test_a_search_without_trials_has_an_empty_table(tmp_path: Path) -> None:
    search = Search(SearchSpace.model_validate(SPACE), lambda config: pytest.fail("nothing to cost"))
    write_trials(search.state, tmp_path)
    write_leaderboard(search.state, tmp_path)
    write_study(search.state, tmp_path)
    assert pq.read_table(tmp_path / "trials.parquet").num_rows == 0
    assert json.loads((tmp_path / "leaderboard.json").read_text())["trials"] == []


def test_the_leaderboard_is_best_first_with_its_interval(swept: tuple[Search, Path]) -> None:
    search, folder = swept
    write_leaderboard(search.state, folder, count=5)
    board = json.loads((folder / "leaderboard.json").read_text())
    assert (board["name"], board["objective"], board["ended"]) == (
        "demo",
        {"metric": "exact_accuracy", "mode": "max", "against": []},
        "all 12 trials have ended",
    )
    assert [row["rank"] for row in board["trials"]] == [1, 2, 3, 4, 5]
    objectives = [row["objective"] for row in board["trials"]]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[0] == max(row["objective"] for row in trial_rows(search.state) if row["objective"] is not None)
    for row in board["trials"]:
        assert row["interval_95"][0] < row["objective"] < row["interval_95"][1]
        assert row["parameters"] == search.state.trials[row["trial"]].params


def test_a_small_objective_may_be_the_best(tmp_path: Path) -> None:
    space = SearchSpace.model_validate({**SPACE, "objective": {"metric": "loss", "mode": "min"}})
    rows = leaderboard_rows(Simulator(space, tmp_path).run().search.state)
    assert [row["objective"] for row in rows] == sorted(row["objective"] for row in rows)


def test_reported_winners_come_first_by_their_rank(swept: tuple[Search, Path]) -> None:
    search, _ = swept
    usual = [row["trial"] for row in leaderboard_rows(search.state)]
    for rank, trial in ((1, usual[1]), (2, usual[0])):
        search.state.reports[trial] = Reported(
            trial=trial, rank=rank, validation={"exact_accuracy": 0.5}, test={"exact_accuracy": 0.4}, at=1e12
        )
    rows = leaderboard_rows(search.state)
    search.state.reports.clear()
    assert [row["trial"] for row in rows] == [usual[1], usual[0], *usual[2:]]
    assert rows[0]["test"] == {"exact_accuracy": 0.4}
    assert rows[2]["test"] is None


def test_optunas_own_storage_reads_the_study(swept: tuple[Search, Path]) -> None:
    search, folder = swept
    write_study(search.state, folder)
    study = optuna.load_study(study_name="demo", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    assert len(study.trials) == 12
    states = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "diverged": TrialState.PRUNED}
    for found, ours in zip(study.trials, search.state.trials, strict=True):
        assert (found.params, found.state) == (ours.params, states[ours.status])
        assert found.intermediate_values == {rung: result.objective for rung, result in ours.results.items()}
        assert found.user_attrs["status"] == ours.status
    finished = [one for one in search.state.trials if one.status == "finished"]
    assert study.best_value == max(one.results[2].objective or 0.0 for one in finished)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def ended(**values: Any) -> LegEnded:
    return LegEnded(trial=0, rung=0, attempt=0, status="completed", at=0.0, **values)


def test_an_interval_is_the_given_one_else_normal() -> None:
    given_one = ended(objective=0.5, metrics={"exact_accuracy_low": 0.4, "exact_accuracy_high": 0.6, "examples": 10.0})
    assert interval_95("exact_accuracy", given_one) == (0.4, 0.6)
    assert interval_95("loss", ended(objective=0.5, standard_error=0.1, metrics={"examples": 9.0})) == pytest.approx(
        (0.304, 0.696), abs=1e-3
    )
    assert interval_95("loss", ended(objective=0.5)) is None


def test_null_among_the_choices_keeps_the_type_of_their_column(tmp_path: Path) -> None:
    knobs = {
        "search": {
            "optim.ema": {"type": "choice", "values": [True, False]},
            "model.puzzle_emb_ndim": {"type": "choice", "values": [None, 32]},
        }
    }
    search = Simulator(SearchSpace.model_validate(merged(SPACE, knobs)), tmp_path).run().search
    write_trials(search.state, tmp_path)
    schema = pq.read_schema(tmp_path / "trials.parquet")
    assert schema.field("model.puzzle_emb_ndim").type == pa.int64()
    assert schema.field("optim.ema").type == pa.bool_()

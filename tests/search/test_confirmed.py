"""What files, MLflow and the export say of trials that were confirmed on fresh seeds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from search_simulator import LegOrder, Simulator, curve
from sweep_cases import events_of

from tests.search.test_confirming import confirming, plain
from tests.search.test_schedulers import demo
from trm.evaluation.puzzle_scores import write_puzzles
from trm.search.confirmation import candidates_of
from trm.search.findings.confirmed import best_run, confirmation_notes, fresh_runs, ranked, winner
from trm.search.findings.tables import leaderboard_rows, write_leaderboard, write_trials
from trm.search.search import Search
from trm.search.state import SweepState
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.trial_files import puzzles_file
from trm.tracking.updates import updates_of
from trm.tracking.values import SWEEP, RunUpdate, merged


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Search, Path]:
    folder = tmp_path_factory.mktemp("confirmed")
    space = confirming(confirm={"top": 3, "seeds": 2, "most_seeds": 3})
    return Simulator(space, folder, outcome=curve, slots=1).run().search, folder


def test_confirmed_trials_come_first_by_their_mean_over_fresh_seeds_and_their_own(confirmed: tuple[Search, Path]) -> None:
    search, _ = confirmed
    rows = leaderboard_rows(search.state)
    assert [row["confirmed"] is not None for row in rows] == [True] * 3 + [False] * (len(search.state.leaderboard()) - 3)
    means = [row["confirmed"]["mean"] for row in rows[:3]]
    assert means == sorted(means, reverse=True)
    for row in rows[:3]:
        values, runs = row["confirmed"], [search.state.trials[number] for number in row["confirmed"]["runs"]]
        assert values["scores"] == [run.result.objective for run in runs if run.result]
        own = [row["objective"]] if row["status"] == "finished" else []
        assert values.get("own_scores", []) == own
        assert values["mean"] == pytest.approx(np.mean([*values["scores"], *own]))
        assert values["seeds"] - len(own) == len(runs) >= 2
        assert values["interval_95"][0] < values["mean"] < values["interval_95"][1]
        assert {run.asked.confirms for run in runs} == {row["trial"]}
        assert row["objective"] == search.state.trials[row["trial"]].result.objective  # type: ignore[union-attr]
        assert row["objective"] not in values["scores"]
    assert sum(row["confirmed"]["p_best"] for row in rows[:3]) == pytest.approx(1)
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert not {row["trial"] for row in rows} & {trial.number for trial in search.state.trials if trial.is_confirmation}


def test_the_winner_is_the_best_mean_and_its_best_run_is_exported(confirmed: tuple[Search, Path]) -> None:
    search, _ = confirmed
    found = winner(search.state)
    assert found is not None
    assert found.trial is ranked(search.state)[0][0]
    scores = {run.number: run.result.objective for run in fresh_runs(search.state, found.trial.number) if run.result}
    assert scores[found.run.number] == max(scores.values())
    assert best_run(search.state, found.trial.number) is found.run


def test_files_tell_which_trial_a_run_confirms_and_whether_the_order_is_supported(confirmed: tuple[Search, Path]) -> None:
    search, folder = confirmed
    write_trials(search.state, folder)
    write_leaderboard(search.state, folder)
    table = pq.read_table(folder / "trials.parquet").to_pylist()
    assert [row["confirms"] for row in table] == [trial.asked.confirms for trial in search.state.trials]
    board = json.loads((folder / "leaderboard.json").read_text())
    first = board["trials"][0]
    assert board["supported"] == (first["confirmed"]["p_best"] >= 0.95)
    assert f"trial {first['trial']}" in board["sentence"]


def test_one_seed_is_said_to_be_no_confirmation(tmp_path: Path) -> None:
    search = Simulator(plain(), tmp_path, slots=1).run().search
    notes = confirmation_notes(search.state)
    assert notes["supported"] is False
    assert notes["sentence"].startswith(f"one seed: trial {search.state.leaderboard()[0].number} is not confirmed")
    assert "--confirm 3" in notes["sentence"]
    found = winner(search.state)
    assert found is not None
    assert found.run is found.trial is search.state.leaderboard()[0]
    assert found.confirmed is None


def test_of_a_population_nobody_is_said_to_await_confirmation(tmp_path: Path) -> None:
    search = Simulator(demo("pbt"), tmp_path, slots=1).run().search
    assert candidates_of(search.state, 1) == []
    assert (
        confirmation_notes(search.state)["sentence"] == f"one seed: trial {search.state.leaderboard()[0].number} is not confirmed"
    )


def test_a_candidate_that_diverges_on_fresh_seeds_falls_behind(tmp_path: Path) -> None:
    space = confirming(confirm={"top": 2, "seeds": 2, "most_seeds": 2})
    for name in ("plain", "diverging"):
        (tmp_path / name).mkdir()
    plainly = Simulator(space, tmp_path / "plain", outcome=curve, slots=1).run().search
    favourite = plainly.state.leaderboard()[0].number

    def outcome(order: LegOrder) -> dict[str, Any]:
        is_fresh = order.config.evaluation.max_examples is None
        if is_fresh and order.config.optim.lr == plainly.state.trials[favourite].params["optim.lr"]:
            return {"status": "diverged", "error": "loss is nan"}
        return curve(order)

    search = Simulator(space, tmp_path / "diverging", outcome=outcome, slots=1).run().search
    rows = leaderboard_rows(search.state)
    assert rows[1]["trial"] == favourite
    assert (rows[1]["confirmed"]["scores"], rows[1]["confirmed"]["failed"]) == ([0.0, 0.0], 2)
    assert rows[1]["confirmed"]["runs"] == []
    found = winner(search.state)
    assert found is not None
    assert found.trial.number == rows[0]["trial"] != favourite


def test_mlflow_hears_the_same(confirmed: tuple[Search, Path]) -> None:
    search, folder = confirmed
    state, told = SweepState(search.state.space), list[RunUpdate]()
    for event in events_of(folder):
        state.apply(event)
        told += updates_of(state, event)
    updates = {one.trial: one for one in merged(told)}
    for row in leaderboard_rows(search.state)[:3]:
        heard = {point.key.removeprefix("confirmed."): point.value for point in updates[row["trial"]].points}
        values = row["confirmed"]
        assert (heard["mean"], heard["seeds"], heard["p_best"]) == (values["mean"], values["seeds"], values["p_best"])
        assert [heard["low"], heard["high"]] == values["interval_95"]
        assert updates[row["trial"]].tags["trm.confirmed"] == "true"
        for run in values["runs"]:
            assert updates[run].tags["trm.confirms"] == str(row["trial"])
    notes = confirmation_notes(search.state)
    assert updates[SWEEP].tags["trm.confirmation"] == notes["sentence"]
    assert updates[SWEEP].tags["trm.supported"] == str(notes["supported"]).lower()
    best = winner(search.state)
    assert best is not None
    assert updates[SWEEP].tags["trm.best_trial"] == str(best.trial.number)
    assert [p.value for p in updates[SWEEP].points if p.key == "sweep.best_objective"][-1] == best.trial.scores[2].objective


def test_the_winner_is_compared_with_the_others_puzzle_by_puzzle(confirmed: tuple[Search, Path], tmp_path: Path) -> None:
    search, _ = confirmed
    rng, rows = np.random.default_rng(0), leaderboard_rows(search.state)[:3]
    for place, row in enumerate(rows):
        for run in row["confirmed"]["runs"]:
            is_exact = rng.random(400) < 0.9 - 0.4 * (place == 2)
            write_puzzles(puzzles_file(tmp_path, run), {"puzzle": np.arange(400), "exact_accuracy": is_exact.astype(float)})
    close, clear = puzzle_comparisons(search.state, tmp_path)
    assert (close.trial, close.against, clear.against) == tuple(row["trial"] for row in rows)
    assert close.sentence.endswith("no difference is supported")
    assert "exact_accuracy +" in clear.sentence
    assert " points (95 % interval +" in clear.sentence
    assert clear.compared.is_supported
    puzzles_file(tmp_path, rows[1]["confirmed"]["runs"][0]).unlink()
    assert [one.against for one in puzzle_comparisons(search.state, tmp_path)] == [rows[2]["trial"]]

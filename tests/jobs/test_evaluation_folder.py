"""The folder of an evaluation, and two of them compared: what is in it, what it says, and what is refused."""

import csv
import json
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from arrays_cases import write_arc_set

from trm.config.run import RunConfig
from trm.data.format.manifest import read_manifest
from trm.data.format.shards import read_identifiers
from trm.errors import ConfigError, TrialError
from trm.jobs.compare import run_comparison
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.folder import check_folder
from trm.jobs.evaluation.lock import LOCK, held_folder
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.process_gang import run_processes
from trm.stats.bootstrap import bands
from trm.tasks.arc.augment import crop, invert
from trm.tasks.arc.ballot import grids_of
from trm.terminal.command_line import run_job
from trm.training.state import TrainingState

MODEL = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1, "halt_max_steps": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ARC sets `own` and `more`, a run, and the evaluation of its curve in `three`, of two of its steps in `two`."""
    folder = tmp_path_factory.mktemp("folders")
    write_arc_set(folder / "own")
    write_arc_set(folder / "more", count=7)
    manifest = read_manifest(str(folder / "own"))
    config = RunConfig.model_validate(
        {"data": {"folder": str(folder / "own")}, "model": MODEL, "training": {"steps": 5, "global_batch_size": 16}}
    )
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    assert state.average is not None
    generator = torch.Generator().manual_seed(2)
    state.average.load({name: torch.randn(value.shape, generator=generator) for name, value in state.average.average.items()})
    assert state.table is not None
    state.table.weight.copy_(torch.randn(state.table.weight.shape, generator=generator))
    state.save(folder / "run" / "checkpoints" / "step-00000001")
    assert run_evaluation(options_of(folder, "three", has_curve=True)) == 0
    two = options_of(folder, "two", overrides=("evaluation.steps=2",), has_submission=True, resamples=3)
    assert run_evaluation(two) == 0
    return folder


def options_of(place: Path, folder: str, **changes: Any) -> EvaluateOptions:
    options = EvaluateOptions(
        path=str(place / "run"),
        split="test",
        overrides=(),
        config=None,
        votes=None,
        out=None,
        storage=str(place / "runs"),
        folder=str(place / folder),
    )
    return replace(options, **changes)


def report_of(place: Path, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / folder / "report.json").read_text())
    return found


def test_a_folder_has_what_every_puzzle_scored_by_its_name(place: Path) -> None:
    files = ["answers.parquet", "pairs.parquet", "puzzles.parquet", "report.json", "submission.json", "votes.png"]
    assert sorted(path.name for path in (place / "two").iterdir()) == files
    report, puzzles = report_of(place, "two"), pq.read_table(place / "two" / "puzzles.parquet").to_pydict()
    manifest = read_manifest(str(place / "own"))
    assert report["data"]["split_sha256"] == manifest.splits["test"].content_sha256
    assert report["counts"]["puzzles"] == len(puzzles["name"]) == report["metrics"]["tasks"]
    names = read_identifiers(str(place / "own"), manifest).names
    assert puzzles["name"] == [names[number] for number in puzzles["puzzle"]]
    assert sum(puzzles["rows"]) == report["metrics"]["predictions"]
    weighed = np.average(puzzles["cell_accuracy"], weights=puzzles["rows"])
    assert weighed == pytest.approx(report["metrics"]["cell_accuracy"])
    assert report["environment"]["torch"] == torch.__version__
    assert report["environment"]["peak_memory_bytes"] > 1 << 20
    assert len(report["weights_digest"]) == 64


def test_several_workers_leave_the_very_files_of_one(place: Path) -> None:
    asked = options_of(place, "alone", has_curve=True, has_submission=True, resamples=2, identifiers=("blank",))
    asked = replace(asked, overrides=("evaluation.batch_size=5",))
    assert run_evaluation(asked) == 0
    assert run_evaluation(replace(asked, folder=str(place / "gang"), workers=2)) == 0
    names = sorted(path.name for path in (place / "alone").iterdir())
    assert sorted(path.name for path in (place / "gang").iterdir()) == names
    assert {"answers.parquet", "curve.csv", "identifiers.parquet", "pairs.parquet", "submission.json"} < set(names)
    for name in set(names) - {"report.json"}:
        assert (place / "gang" / name).read_bytes() == (place / "alone" / name).read_bytes(), name
    alone, gang = report_of(place, "alone"), report_of(place, "gang")
    assert gang["environment"]["workers"] == 2
    assert gang["identifiers"][0]["as_published"] is not None
    for report in (alone, gang):
        del report["environment"], report["seconds"]
    assert gang == alone


def test_rows_that_stay_on_storage_leave_the_very_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes: dict[str, Any] = {"has_submission": True, "resamples": 3}
    stored = options_of(place, "stored", overrides=("evaluation.steps=2", "data.mode=stream"), **changes)
    assert run_evaluation(stored) == 0
    assert "rows of test are read as they are needed: data.mode is stream" in capsys.readouterr().err
    for path in (place / "two").iterdir():
        if path.name != "report.json":
            assert (place / "stored" / path.name).read_bytes() == path.read_bytes(), path.name
    assert report_of(place, "stored")["metrics"] == report_of(place, "two")["metrics"]


@pytest.mark.parametrize("rollouts", [(), ("evaluation.rollouts=2", "evaluation.noise=1")])
def test_all_steps_of_answers_are_those_of_separate_evaluations(place: Path, rollouts: tuple[str, ...]) -> None:
    whole = options_of(place, "steps", overrides=rollouts, has_all_steps=True)
    assert run_evaluation(whole) == 0
    found = pq.read_table(place / "steps" / "answers.parquet").to_pylist()
    for steps in (2,) if rollouts else (1, 2):
        assert run_evaluation(options_of(place, "of_step", overrides=(*rollouts, f"evaluation.steps={steps}"))) == 0
        alone = pq.read_table(place / "of_step" / "answers.parquet").to_pylist()
        assert [row for row in found if row["step"] == steps] == alone
    votes = 2 if rollouts else 1  # every rollout of an ARC task is one
    assert len(found) == 3 * votes * report_of(place, "steps")["metrics"]["predictions"]


def test_what_could_never_fit_is_refused_before_it_begins(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm.jobs.evaluation.room.available_bytes", lambda: 1000.0)
    for asked, words in (
        ({"has_curve": True}, "figures after each of 3 supervision steps for 12 rows need at least"),
        ({}, "a batch of 12 rows needs at least"),
    ):
        assert run_job(lambda: run_evaluation(options_of(place, "unfit", **asked))) == 2  # noqa: B023
        assert words in capsys.readouterr().err
    assert not (place / "unfit").exists()


def test_one_batch_is_no_score(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("evaluation.batch_size=2", "evaluation.steps=1")
    assert run_evaluation(options_of(place, "quick", is_quick=True, forward_dtype="bfloat16", overrides=overrides)) == 0
    assert "ONE BATCH of 2 rows (--quick): it shows that all works, and is no score" in capsys.readouterr().out
    report = report_of(place, "quick")
    assert (report["is_quick"], report["metrics"]["predictions"], report["forward_dtype"]) == (True, 2, "bfloat16")
    assert report["config"]["model"]["forward_dtype"] == "bfloat16"
    assert report["weights_digest"] == report_of(place, "two")["weights_digest"]


def test_speed_is_of_whole_batches(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.jobs.evaluation.speed.WARM_BATCHES", 1)
    monkeypatch.setattr("trm.jobs.evaluation.speed.TIMED_BATCHES", 3)
    monkeypatch.setattr("trm.jobs.evaluation.work.BATCH_ROWS", 5)
    overrides = ("evaluation.batch_size=2", "evaluation.steps=1")
    assert run_evaluation(options_of(place, "speed", is_quick=True, has_speed=True, overrides=overrides)) == 0
    report = report_of(place, "speed")
    speed = report["speed"]
    assert (speed["batches"], speed["batch_rows"]) == (3, 5)
    assert speed["rows_a_second"] * speed["seconds_a_batch"]["median"] == pytest.approx(5)
    assert speed["flops_a_second"] == pytest.approx(speed["rows_a_second"] * report["inference_flops"])
    assert speed["seconds_a_batch"]["least"] <= speed["seconds_a_batch"]["median"] <= speed["seconds_a_batch"]["most"]


def test_one_evaluation_at_a_time_writes_into_a_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = place / "held"
    with held_folder(held):
        assert run_job(lambda: run_evaluation(options_of(place, "held"))) == 2
        assert f"and process {os.getpid()} on " in capsys.readouterr().err
    assert not held.exists()
    held.mkdir()
    (held / LOCK).write_text("of one that was killed")
    assert run_evaluation(options_of(place, "held")) == 0
    assert not (held / LOCK).exists()


def test_every_worker_has_a_batch(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(lambda: run_evaluation(options_of(place, "too_many", workers=2))) == 2
    assert "has 1 of 16 rows; use --workers 1, or smaller batches: --set evaluation.batch_size=6" in capsys.readouterr().err
    assert not (place / "too_many").exists()
    one = options_of(place, "too_many", workers=2, overrides=("evaluation.max_examples=1",), votes=1)
    assert run_job(lambda: run_evaluation(one)) == 2
    assert "has 1 of 16 rows; use --workers 1\n" in capsys.readouterr().err


def test_a_worker_that_dies_ends_the_others() -> None:
    dies = "import os, torch.distributed as dist\nif dist.get_rank(): os.kill(os.getpid(), 9)\ndist.barrier()"
    with pytest.raises(TrialError, match="worker 1 of the evaluation ended by signal SIGKILL"):
        run_processes(exec, dies, 2)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("has_begun", [False, True])
def test_workers_that_fail_lose_no_evaluation_that_they_had_not_begun_to_replace(
    place: Path, has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(place, "lost", overrides=("evaluation.batch_size=5",), workers=2)
    shutil.copytree(place / "two", place / "lost", dirs_exist_ok=True)

    def fail(*_: Any) -> None:
        if has_begun:
            (place / "lost" / "report.json").unlink()
        raise TrialError("worker 0 of the evaluation failed")

    monkeypatch.setattr("trm.jobs.evaluation.gang.run_processes", fail)
    before = set() if has_begun else {path.name for path in (place / "two").iterdir()}
    with pytest.raises(TrialError):
        run_evaluation(options)
    left = {path.name for path in (place / "lost").iterdir()} if (place / "lost").exists() else set()
    assert left == before


def test_a_curve_has_a_row_a_step_whose_figures_are_those_of_separate_calls(place: Path) -> None:
    curve, two = report_of(place, "three")["curve"], report_of(place, "two")
    assert [point["step"] for point in curve] == [1, 2, 3]
    assert curve[-1]["metrics"].items() >= report_of(place, "three")["metrics"].items()
    assert curve[1]["metrics"].items() >= two["metrics"].items()
    with (place / "three" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [point["metrics"]["loss"] for point in curve]
    assert [float(row["inference_flops"]) for row in rows] == [curve[0]["inference_flops"] * step for step in (1, 2, 3)]
    for point in curve:
        assert set(point["bands"]) == {"exact_accuracy", "pass_at_1", "pass_at_2"}
        low, high = point["bands"]["pass_at_2"]
        assert low <= point["metrics"]["pass_at_2"] <= high
        assert point["halted_inference_flops"] <= point["inference_flops"]
    assert (place / "three" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_hangs_on_no_figures_after_other_steps(place: Path) -> None:
    figures = "evaluation.metrics=[exact_accuracy@5, pass_at_5, loss@2]"
    assert run_evaluation(options_of(place, "figures", overrides=(figures,), has_curve=True)) == 0
    found = report_of(place, "figures")
    assert {"exact_accuracy_at_5", "pass_at_5", "loss_at_2"} <= set(found["metrics"])
    assert found["curve"] == report_of(place, "three")["curve"]


def test_answers_say_what_scores_and_submission_say(place: Path) -> None:
    rows, report = pq.read_table(place / "two" / "answers.parquet").to_pylist(), report_of(place, "two")
    assert len(rows) == report["metrics"]["predictions"] == report["votes"]["votes"]
    assert np.mean([row["loss"] for row in rows]) == pytest.approx(report["metrics"]["loss"])
    assert {row["step"] for row in rows} == {2}
    for k in (1, 2):
        by_task = report["votes"]["pass"][str(k)]["by_task"]
        told = by_task["share"], by_task["low"], by_task["high"]
        assert told == tuple(report["metrics"][f"pass_at_{k}{end}"] for end in ("", "_low", "_high"))
    cast: dict[int, dict[str, int]] = {}
    for row in rows:
        undone = invert(crop(np.frombuffer(row["cells"], dtype=np.uint8)[None]), np.array([row["augmentation"]]))
        votes = cast.setdefault(row["row"], {})
        votes[json.dumps(grids_of(undone)[0])] = votes.get(json.dumps(grids_of(undone)[0]), 0) + 1
    submission = json.loads((place / "two" / "submission.json").read_text())
    attempts = [pair for task in submission.values() for pair in task]
    assert [json.dumps(pair["attempt_1"]) in votes for pair, votes in zip(attempts, cast.values(), strict=True)] == [True] * 3
    for pair, votes in zip(attempts, cast.values(), strict=True):
        assert votes[json.dumps(pair["attempt_1"])] == max(votes.values())
    pairs = pq.read_table(place / "two" / "pairs.parquet").to_pydict()
    assert pairs["name"] == list(submission)
    assert sum(pairs["votes"]) == len(rows)


def test_fewer_votes_of_one_pass_are_those_of_a_separate_one(place: Path) -> None:
    curve = report_of(place, "two")["votes"]["curve"]
    assert [(point["augmentations"], point["votes"]) for point in curve] == [(0, 3), (1, 6), (3, 12)]
    for point in curve:
        own = options_of(place, "fewer", overrides=("evaluation.steps=2",), votes=point["augmentations"] + 1)
        assert run_evaluation(own) == 0
        passes = report_of(place, "fewer")["votes"]["pass"]
        assert point["pass"] == {k: passes[k] for k in ("1", "2")}
    assert [len(point["other_choices"]["1"]) for point in curve] == [0, 3, 0]


def test_a_comparison_pairs_puzzles(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "comparison.json"
    assert run_comparison(str(place / "three"), str(place / "two"), str(out)) == 0
    found, told = json.loads(out.read_text()), capsys.readouterr().out
    sides = [pq.read_table(place / name / "puzzles.parquet").to_pydict() for name in ("three", "two")]
    differences = np.array(sides[0]["loss"]) - np.array(sides[1]["loss"])
    rows = np.array(sides[0]["rows"], dtype=np.float64)
    loss = found["metrics"]["loss"]
    reported = [report_of(place, name)["metrics"]["loss"] for name in ("three", "two")]
    assert loss["difference"] == pytest.approx(reported[0] - reported[1])
    assert (loss["higher"], loss["lower"]) == ((differences > 0).sum(), (differences < 0).sum())
    (low,), (high,) = bands(differences[None], rows)
    assert loss["interval_95"] == [low, high]
    assert "one training each" in told
    assert f"test split of {report_of(place, 'two')['data']['name']}, {found['puzzles']} puzzles" in told
    same = run_comparison(str(place / "two"), str(place / "two"), str(out))
    assert (same, json.loads(out.read_text())["metrics"]["loss"]["interval_95"]) == (0, [0, 0])
    for lost in ("report.json", "puzzles.parquet"):
        before = (place / "two" / lost).read_bytes()
        assert run_job(lambda lost=lost: run_comparison(str(place / "three"), str(place / "two"), str(place / "two" / lost))) == 2
        assert "is of the evaluation there; name another" in capsys.readouterr().err
        assert (place / "two" / lost).read_bytes() == before
    rounding = ["both score the same weights in the same way: what differs is rounding"]
    assert (found["notes"], json.loads(out.read_text())["notes"]) == ([], rounding)
    assert told.index("exact_accuracy") < told.index("cell_accuracy"), "what counts comes first"


def test_what_stops_at_its_halt_has_a_folder_that_says_it(place: Path) -> None:
    beside = ("evaluation.reports_halted=true",)
    for name, how in (("stopped", {"stops_halted": True}), ("beside", {"overrides": beside})):
        assert run_evaluation(options_of(place, name, **how)) == 0
    stopped, told = pq.read_table(place / "stopped" / "answers.parquet").to_pydict(), report_of(place, "stopped")["metrics"]
    assert np.mean(stopped["loss"]) == pytest.approx(told["loss_halted"])
    assert np.mean(stopped["step"]) == pytest.approx(told["mean_halting_step"])
    assert run_comparison(str(place / "stopped"), str(place / "beside"), str(place / "halts.json")) == 0
    assert json.loads((place / "halts.json").read_text())["metrics"]["loss_halted"]["difference"] == pytest.approx(0, abs=1e-9)
    (note,) = json.loads((place / "halts.json").read_text())["notes"]
    assert note.startswith("not compared, one alone has them: ")
    assert note.endswith(f"({place / 'beside'}); evaluate both with --stop-halted or both without")


def test_a_folder_that_a_sweep_writes_anew_is_refused(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    check_folder(tmp_path / "best" / "evaluation")
    (tmp_path / "best" / "config.yaml").touch()
    with pytest.raises(ConfigError, match="must be one that stays, and a sweep or run that goes on writes its best/ anew"):
        check_folder(tmp_path / "best" / "evaluation")


def test_a_folder_holds_what_its_report_says(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place / "again"
    shutil.copytree(place / "two", folder)
    shutil.copy(place / "three" / "curve.png", folder)
    (folder / ".answers.parquet.2098-1f2e0046.tmp").write_bytes(b"of one that was killed")

    def killed(*_: Any, **__: Any) -> None:
        assert list(folder.iterdir()) == [folder / LOCK]  # neither the report of before nor anything that it spoke of
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trm.jobs.evaluation.work.recording", killed)
        with pytest.raises(KeyboardInterrupt):
            run_evaluation(options_of(place, "again"))
    assert run_evaluation(options_of(place, "again", overrides=("evaluation.steps=2",))) == 0
    files = ["answers.parquet", "pairs.parquet", "puzzles.parquet", "report.json", "votes.png"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_a_submission_without_names_is_refused_before_anything_goes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(place / "two", place / "nameless")
    monkeypatch.setattr("trm.jobs.evaluation.work.puzzle_names", lambda *_: None)
    assert run_job(lambda: run_evaluation(options_of(place, "nameless", has_submission=True))) == 2
    assert len(list((place / "nameless").iterdir())) == 6


def _changed(place: Path, name: str, change: Callable[[dict[str, Any], dict[str, list[Any]]], None]) -> str:
    """An evaluation with its report or its scores changed."""
    folder = place / f"changed-{name}"
    shutil.copytree(place / "two", folder)
    report, columns = report_of(place, "two"), pq.read_table(folder / "puzzles.parquet").to_pydict()
    change(report, columns)
    (folder / "report.json").write_text(json.dumps(report))
    pq.write_table(pa.table(columns), folder / "puzzles.parquet")
    return str(folder)


def test_a_comparison_with_scores_that_are_no_numbers_is_json(place: Path) -> None:
    diverged = _changed(place, "nan", lambda _, columns: columns["loss"].__setitem__(0, math.nan))
    out = place / "nan.json"
    assert run_comparison(diverged, str(place / "two"), str(out)) == 0
    found = json.loads(out.read_text(), parse_constant=pytest.fail)["metrics"]["loss"]
    assert (found["difference"], found["interval_95"]) == (None, [None, None])


DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, list[Any]]], None]] = {
    "no name": lambda report, _: report["data"].pop("name"),
    "a number": lambda report, _: report.update(split=3),
    "no data": lambda report, _: report.update(data=None),
    "a null": lambda _, columns: columns["loss"].__setitem__(0, None),
    "a text": lambda _, columns: columns.update(loss=["low"] * len(columns["loss"])),
    "no puzzle": lambda _, columns: columns.update({name: column[:0] for name, column in columns.items()}),
    "no column": lambda _, columns: columns.pop("puzzle"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_evaluation_is_refused_with_one_message(place: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _changed(place, damage.replace(" ", "-"), DAMAGE[damage])
    assert run_job(lambda: run_comparison(str(place / "two"), folder, None)) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "evaluate again with --folder DIR" in shown.err


def test_other_identifiers_are_told_to_the_network_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ways = ("blank", "random", "other_form", "mean")
    assert run_evaluation(options_of(place, "told", overrides=("evaluation.steps=2",), identifiers=ways)) == 0
    report, two = report_of(place, "told"), report_of(place, "two")
    assert report["metrics"] == two["metrics"]
    scores = pq.read_table(place / "told" / "identifiers.parquet").to_pydict()
    own = pq.read_table(place / "told" / "puzzles.parquet").to_pydict()
    shown = capsys.readouterr().out
    for number, (way, arm) in enumerate(zip(ways, report["identifiers"], strict=True)):
        assert arm["identifiers"] == way
        assert arm["metrics"]["predictions"] == report["metrics"]["predictions"]  # scoring keeps the rows' own
        at = slice(number * len(own["name"]), (number + 1) * len(own["name"]))
        assert (scores["identifiers"][at], scores["name"][at]) == ([way] * len(own["name"]), own["name"])
        lost = np.array(scores["loss"][at]) - np.array(own["loss"])
        rows = np.array(own["rows"], dtype=np.float64)
        assert arm["against_own"]["loss"]["difference"] == pytest.approx(arm["metrics"]["loss"] - report["metrics"]["loss"])
        assert arm["against_own"]["loss"]["interval_95"] == pytest.approx([bound.item() for bound in bands(lost[None], rows)])
        assert arm["puzzles_told_their_own"] == 0
        assert abs(lost).min() > 0
        assert f"told {way} identifiers" in shown
    assert report["identifiers"][-1]["as_published"] is None
    for arm in report["identifiers"][:3]:
        told = arm["as_published"]
        assert (told["pairs_without_votes"], told["pairs"], told["votes"]) == (3, 3, 0)
    assert "as published, scored by what it was told: pass@1 0.00 %, 3 of 3 pairs lose all votes" in shown


def _other_data(place: Path) -> int:
    options = options_of(place, "others", overrides=(f"data.folder={place / 'more'}",))
    run_evaluation(options)
    return run_comparison(str(place / "two"), str(place / "others"), None)


def _subset(place: Path) -> int:
    run_evaluation(options_of(place, "few", overrides=("evaluation.max_examples=2",)))
    return run_comparison(str(place / "two"), str(place / "few"), None)


BAD: dict[str, tuple[Callable[[Path], int], str]] = {
    "other data": (_other_data, "a comparison is of the same puzzles"),
    "other puzzles": (_subset, "give both the same evaluation.max_examples"),
    "no evaluation": (lambda place: run_comparison(str(place / "run"), str(place / "two"), None), "evaluate again with --folder"),
    "folder of something else": (
        lambda place: run_evaluation(options_of(place, "own")),
        "--folder must be new or of an evaluation",
    ),
    "a submission nowhere": (
        lambda place: run_evaluation(replace(options_of(place, "x", has_submission=True), folder=None)),
        "give --folder DIR",
    ),
    "resampled too often": (lambda place: run_evaluation(options_of(place, "x", resamples=1001)), "--resample must be 0 to 1000"),
    "a comparison nowhere": (
        lambda place: run_comparison(str(place / "run"), str(place / "two"), str(place / "no" / "c.json")),
        "--out must name a file in a folder that exists",
    ),
    "a comparison onto a folder": (
        lambda place: run_comparison(str(place / "three"), str(place / "two"), str(place)),
        "--out must name a file in a folder that exists",
    ),
    "resampled where nobody votes": (
        lambda place: run_evaluation(options_of(place, "x", resamples=2, stops_halted=True)),
        "--resample is of votes after all steps",
    ),
    "a file": (lambda place: run_evaluation(options_of(place, "two/report.json")), "--folder must name a folder"),
    "curve of what stops": (
        lambda place: run_evaluation(options_of(place, "x", has_curve=True, stops_halted=True)),
        "leave out --stop-halted",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_exit_code_2(place: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[case]
    assert run_job(lambda: make(place)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_rollouts_of_arc_vote_with_augmentations_in_one_ballot(place: Path) -> None:
    drawn = ("evaluation.steps=2", "evaluation.rollouts=2", "evaluation.noise=1")
    assert run_evaluation(options_of(place, "pooled", overrides=drawn, has_submission=True)) == 0
    report, plain = report_of(place, "pooled"), report_of(place, "two")
    rows = pq.read_table(place / "pooled" / "answers.parquet").to_pylist()
    assert report["metrics"]["predictions"] == plain["metrics"]["predictions"]
    assert len(rows) == report["votes"]["votes"] == 2 * plain["votes"]["votes"]
    rows.sort(key=lambda row: (row["row"], row["identifier"], row["answer"]))
    table = read_identifiers(str(place / "own"), read_manifest(str(place / "own")))
    assert table is not None
    cast: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        cells = np.frombuffer(row["cells"], dtype=np.uint8)[None]
        grid = json.dumps(grids_of(invert(crop(cells), table.codes[[row["identifier"]]]))[0])
        cast.setdefault((row["name"], row["row"]), {}).setdefault(grid, []).append(1 / (1 + np.exp(-row["halting_logit"])))
    submitted = json.loads((place / "pooled" / "submission.json").read_text())
    for (name, row), grids in sorted(cast.items(), key=lambda item: item[0][1]):
        best = sorted(grids, key=lambda grid: (len(grids[grid]), np.mean(grids[grid])), reverse=True)
        attempts = submitted[name][sorted(pair for task, pair in cast if task == name).index(row)]
        assert list(attempts.values()) == [json.loads(grid) for grid in (*best, best[0])[:2]]
    chosen_first = (*drawn, "evaluation.select=q")
    assert run_evaluation(options_of(place, "sure", overrides=chosen_first, has_submission=True)) == 0
    sure = pq.read_table(place / "sure" / "answers.parquet").to_pylist()
    assert {row["answer"] for row in sure} == {0, 1}
    voted = {
        json.dumps(grids_of(invert(crop(np.frombuffer(row["cells"], dtype=np.uint8)[None]), table.codes[[row["identifier"]]]))[0])
        for row in sure
    }
    handed_in = json.loads((place / "sure" / "submission.json").read_text())
    assert {json.dumps(pair["attempt_1"]) for pairs in handed_in.values() for pair in pairs} <= voted
    assert report_of(place, "sure")["votes"]["votes"] == plain["votes"]["votes"]  # one rollout a row votes

"""ray_jobs/evaluate.py: the same score from wherever the weights lie, a report, and exit code 2 for bad input."""

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from trm.config.files import dump_yaml
from trm.config.run import RunConfig
from trm.console.streams import say
from trm.data.batches.split import load_split
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import Manifest, SplitName
from trm.errors import CheckpointError
from trm.jobs.evaluate import run_evaluation
from trm.jobs.evaluation.opened import first_there
from trm.jobs.evaluation.options import EvaluateOptions
from trm.models.build import to_published
from trm.tasks.ensure import DataSummary
from trm.tasks.making.writing import write_dataset
from trm.tasks.sudoku.recipe import SudokuRecipe
from trm.terminal.command_line import run_job
from trm.training.loop import train
from trm.training.start import start_plan
from trm.training.state import TrainingState
from trm.training.weights import export_weights

JOB = Path(__file__).parents[2] / "ray_jobs" / "evaluate.py"
MODEL = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": 16, "num_heads": 2, "puzzle_emb_len": 1, "halt_max_steps": 3}


def write_data(folder: Path, seed: int, vocabulary: tuple[str, ...] = ("pad", "blank", "1", "2", "3", "4")) -> Manifest:
    rng = np.random.default_rng(seed)
    sizes: dict[SplitName, int] = {"train": 12, "validation": 9, "test": 10}
    splits = {
        name: BuiltSplit(
            rng.integers(1, 6, (rows, 16)).astype(np.uint8),
            rng.integers(2, 6, (rows, 16)).astype(np.uint8),
            np.arange(rows, dtype=np.int32) + 100 * number,
        )
        for number, (name, rows) in enumerate(sizes.items())
    }
    built = BuiltDataset("sudoku", (4, 4), vocabulary, splits)
    recipe = SudokuRecipe(name=f"boards-{seed}", size=4, train=12, validation=9, test=10, seed=seed)
    return write_dataset(built, recipe, str(folder))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets `data` and `other`, a run with a checkpoint and its best weights, and the same weights as the reference's file."""
    folder = tmp_path_factory.mktemp("evaluate")
    manifest = write_data(folder / "data", 1)
    write_data(folder / "other", 2)
    write_data(folder / "mazes", 3, ("pad", "wall", "way", "start", "goal", "path"))
    config = RunConfig.model_validate(
        {
            "data": {"folder": str(folder / "data")},
            "model": MODEL,
            "training": {"steps": 5, "global_batch_size": 4},
            "evaluation": {"max_examples": 3},
        }
    )
    state = TrainingState(config, manifest.shape, data_hash=manifest.content_hash, names=manifest.names, max_steps=5)
    train(state, start_plan(state, load_split(str(folder / "data"), manifest, "train"), manifest), until_steps=2)
    assert state.average is not None
    generator = torch.Generator().manual_seed(2)
    weights = {name: torch.randn(value.shape, generator=generator) for name, value in state.average.average.items()}
    state.average.load(weights)
    state.save(folder / "run" / "checkpoints" / "step-00000002")
    export_weights(state, folder / "run" / "best")
    evaluated = {**state.model.state_dict(), **state.average.average}
    assert state.table is not None
    torch.save(to_published(evaluated, state.table.weight, config.model), folder / "weights.pt")
    dump_yaml(folder / "config.yaml", config.model_dump(mode="json"))
    return folder


def options_of(place: Path, path: str, **changes: object) -> EvaluateOptions:
    where = path if "://" in path else str(place / path)
    options = EvaluateOptions(
        path=where, split="test", overrides=(), config=None, votes=None, out=None, storage=str(place / "runs")
    )
    return replace(options, **changes)


def report_of(place: Path, path: str, **changes: object) -> dict:
    out = place / "report.json"
    assert run_evaluation(options_of(place, path, out=str(out), **changes)) == 0
    return json.loads(out.read_text())


def test_weights_behind_a_url_are_fetched_and_score_alike(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = fsspec.filesystem("memory")
    for path in ("weights.pt", "run"):
        files.put(str(place / path), f"/hub/{path}", recursive=True)
    here = report_of(place, "weights.pt", config=str(place / "config.yaml"))
    digest = hashlib.sha256((place / "weights.pt").read_bytes()).hexdigest()
    there = report_of(place, "memory://hub/weights.pt", config=str(place / "config.yaml"))
    assert f"fetched weights.pt of memory://hub/weights.pt (SHA-256 {digest})" in capsys.readouterr().err
    assert (there["path"], there["files_digest"]) == ("memory://hub/weights.pt", digest)
    assert (there["metrics"], there["weights_digest"]) == (here["metrics"], here["weights_digest"])
    for path in ("run", "run/best", "run/best/model.safetensors", "run/checkpoints/step-00000002"):
        assert report_of(place, f"memory://hub/{path}")["metrics"] == here["metrics"], path
    assert not list((place / "runs").glob(".fetched*"))


def test_a_full_disk_is_not_told_as_weights_that_cannot_be_reached(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("memory").pipe("/hub/some.pt", b"x" * 100)
    write: Any = Path.open
    full = type("Full", (io.BytesIO,), {"write": lambda self, chunk: full_disk()})
    monkeypatch.setattr(Path, "open", lambda path, mode="r", **rest: full() if mode == "wb" else write(path, mode, **rest))
    with pytest.raises(OSError, match="No space left on device"):
        run_evaluation(options_of(place, "memory://hub/some.pt"))


def full_disk() -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "memory://hub/nowhere",
            "memory://hub/nowhere is not: .*no meta.json, no model.safetensors and no best/ is there; give a file",
        ),
        ("strange://hub/x", "Protocol not known: strange"),
        ("https://me:word@127.0.0.1:9/x.pt", r"https://\*\*\*@127"),
    ],
)
def test_a_url_without_weights_is_refused(place: Path, url: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as error:
        run_evaluation(options_of(place, url))
    assert "word" not in str(error.value)


def test_help_is_instant_and_loads_neither_torch_nor_ray() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", JOB, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "--split" in done.stdout
    assert not loaded & {"torch", "ray", "numpy", "pydantic"}


def test_the_score_is_that_of_the_evaluated_weights_wherever_they_lie(place: Path) -> None:
    expected = report_of(place, "weights.pt", config=str(place / "config.yaml"))["metrics"]
    assert 0 < expected["cell_accuracy"] < 1
    for path in ("run", "run/best", "run/best/model.safetensors", "run/checkpoints/step-00000002"):
        assert report_of(place, path)["metrics"] == expected, path


def test_a_checkpoint_has_weights_as_they_were_trained_too(place: Path) -> None:
    raw, average = report_of(place, "run/checkpoints/step-00000002", is_raw=True), report_of(place, "run")
    assert (raw["weights"], average["weights"]) == ("raw", "average")
    assert raw["metrics"]["loss"] != average["metrics"]["loss"]
    assert raw["weights_digest"] != average["weights_digest"]


def test_all_of_the_split_is_scored_unless_a_subset_is_asked_for(place: Path) -> None:
    assert report_of(place, "run")["metrics"]["examples"] == 10
    assert report_of(place, "run", split="train")["metrics"]["examples"] == 12
    assert report_of(place, "run", overrides=("evaluation.max_examples=4",))["metrics"]["examples"] == 4


def test_without_a_word_test_is_scored_or_what_there_is(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_of(place, "run", split=None)["split"] == "test"
    capsys.readouterr()
    for splits, expected in ((("train", "validation"), "validation"), (("train",), "train")):
        assert first_there(DataSummary("set.yaml", "sudoku", splits, ""), say) == expected
        assert f"set.yaml has no test puzzles: {expected} is scored" in capsys.readouterr().err


def test_the_table_and_the_report_say_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(place, "run", split="validation")
    shown = capsys.readouterr().out
    low, high = (100 * report["metrics"][f"exact_accuracy_{end}"] for end in ("low", "high"))
    assert "validation split of boards-1: 9 examples, 3 supervision steps" in shown
    assert f"95 % interval {low:.2f} % to {high:.2f} %" in shown
    assert f"standard error {report['standard_errors']['loss']:.4g}" in shown
    assert report["config"]["model"]["hidden_size"] == 16
    assert (report["step"], report["split"], report["data"]["name"]) == (2, "validation", "boards-1")


def test_a_report_names_its_data_without_the_secret_of_the_address(place: Path) -> None:
    address = "memory://me:hunter2hunter2@h/boards"
    fsspec.filesystem("memory").put(f"{place / 'data'}/", address.removeprefix("memory:/"), recursive=True)
    report = report_of(place, "run", split="validation", overrides=(f"data.folder={address}",))
    assert report["data"]["folder"] == report["config"]["data"]["folder"] == "memory://***@h/boards"
    assert report["metrics"] == report_of(place, "run", split="validation")["metrics"]


def test_more_supervision_steps_can_be_asked_for(place: Path) -> None:
    report = report_of(place, "run", overrides=("evaluation.steps=9",))
    assert report["supervision_steps"] == 9
    assert "exact_accuracy_at_8" in report["metrics"]


def test_rollouts_can_be_asked_for(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("evaluation.rollouts=5", "evaluation.noise=0.3", "evaluation.starts=random")
    report, plain = report_of(place, "run", overrides=asked), report_of(place, "run")
    assert report["metrics"]["oracle_accuracy"] >= report["metrics"]["exact_accuracy"]
    assert report["inference_flops"] == 5 * plain["inference_flops"]
    assert "5 rollouts a puzzle (noise 0.3, random starts), chosen by vote" in capsys.readouterr().out
    assert report_of(place, "run", overrides=asked, has_curve=True)["metrics"] == report["metrics"]


def test_forms_can_be_asked_for_and_fewer_of_them_are_told_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place / "forms"
    report, plain = report_of(place, "run", overrides=("evaluation.forms=6",), folder=str(folder)), report_of(place, "run")
    assert (folder / "forms.png").read_bytes().startswith(b"\x89PNG")
    assert report["inference_flops"] == 6 * plain["inference_flops"]
    assert [point["forms"] for point in report["forms"]] == [1, 2, 4, 6]
    assert report["forms"][0]["exact_accuracy"] == plain["metrics"]["exact_accuracy"]
    assert report["forms"][-1]["exact_accuracy"] == report["metrics"]["exact_accuracy"]
    assert "6 symmetric forms, chosen by vote" in capsys.readouterr().out
    both = ("evaluation.forms=2", "evaluation.rollouts=2", "evaluation.steps=2")
    front = report_of(place, "run", split="validation", overrides=both, front=(1.0,))["front"]["points"]
    kinds = {(one["noise"], one["forms"], one["rollouts"]) for one in front}
    assert kinds == {(0, 1, 1), (0, 2, 1), *((1, forms, rollouts) for forms in (1, 2) for rollouts in (1, 2))}


def test_a_front_is_of_all_settings_and_each_is_what_it_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("evaluation.rollouts=5", "evaluation.steps=4")
    folder = place / "front"
    report = report_of(place, "run", split=None, overrides=asked, front=(0.3, 1.0, 0.3), folder=str(folder))
    front, shown = report["front"], capsys.readouterr().out
    assert report["split"] == "validation"
    assert len(front["points"]) == 4 + 2 * 4 * (1 + 3 * 4)
    assert {(one["rollouts"], one["select"]) for one in front["points"] if one["noise"]} == {
        (1, ""),
        *((rollouts, select) for rollouts in (2, 4, 5) for select in ("vote", "q", "residual", "first_halt")),
    }
    assert front["plain"]["steps"] == 3
    best = front["best"]
    assert best["exact_accuracy"] == max(one["exact_accuracy"] for one in front["points"])
    given = tuple(best["overrides"].replace("--set ", "").split())
    again = report_of(place, "run", split="validation", overrides=given)
    assert again["metrics"]["exact_accuracy"] == best["exact_accuracy"]
    assert again["inference_flops"] == best["inference_flops"]
    members = [one for one in front["points"] if one["is_on_front"]]
    assert all("against_plain" in one for one in members)
    for one in members:
        beaten = [other for other in front["points"] if other["inference_flops"] <= one["inference_flops"]]
        assert one["exact_accuracy"] == max(other["exact_accuracy"] for other in beaten)
    assert best["overrides"] in shown
    gains = any(one["against_plain"]["interval_95"][0] > 0 for one in members)
    assert ("no setting gains more than chance" in shown) == (not gains)
    assert len((folder / "front.csv").read_text().splitlines()) == len(front["points"]) + 1
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")


def test_puzzles_that_stop_have_figures_of_their_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = report_of(place, "run", overrides=("evaluation.reports_halted=true",))["metrics"]
    stopped = report_of(place, "run", stops_halted=True)
    assert stopped["stops_halted"]
    assert stopped["metrics"] == pytest.approx({name: beside[name] for name in stopped["metrics"]})
    assert "exact_accuracy" not in stopped["metrics"]
    shown = capsys.readouterr().out
    assert "10 examples, at most 3 supervision steps" in shown
    assert f"  loss_halted {stopped['metrics']['loss_halted']:>22.4g}   standard error" in shown


def test_other_data_of_the_same_shape_must_be_asked_for(place: Path) -> None:
    report = report_of(place, "run", overrides=(f"data.folder={place / 'other'}",))
    assert report["data"]["name"] == "boards-2"


def _torn(place: Path) -> EvaluateOptions:
    shutil.copytree(place / "run", place / "torn", dirs_exist_ok=True)
    for path in (place / "torn" / "best" / "model.safetensors", place / "torn" / "checkpoints/step-00000002/average.safetensors"):
        path.write_bytes(path.read_bytes()[:-8])
    return options_of(place, "torn/checkpoints/step-00000002")


def _changed_data(place: Path) -> EvaluateOptions:
    """The folder that the run names holds other data now."""
    shutil.copytree(place / "run", place / "moved", dirs_exist_ok=True)
    config = (place / "moved" / "best" / "config.yaml").read_text()
    (place / "moved" / "best" / "config.yaml").write_text(config.replace(str(place / "data"), str(place / "other")))
    return options_of(place, "moved/best")


BAD: dict[str, tuple[Callable[[Path], EvaluateOptions], str]] = {
    "missing": (lambda place: options_of(place, "nowhere"), "nowhere does not exist"),
    "no weights": (lambda place: options_of(place, "data"), "is none"),
    "a folder of checkpoints": (
        lambda place: options_of(place, "run/checkpoints"),
        "give one that it holds: {place}/run/checkpoints/step-00000002",
    ),
    "file alone": (lambda place: options_of(place, "weights.pt"), "give --config"),
    "no weights file": (lambda place: options_of(place, "config.yaml", config=str(place / "config.yaml")), "no plain weights"),
    "torn": (_torn, "must be whole"),
    "another network": (
        lambda place: options_of(place, "run", overrides=("model.hidden_size=32",)),
        "has model.hidden_size 16, 32 is asked for",
    ),
    "another reference": (
        lambda place: options_of(place, "weights.pt", config=str(place / "config.yaml"), overrides=("model.hidden_size=32",)),
        "--set model.hidden_size=16",
    ),
    "unknown key": (lambda place: options_of(place, "run", overrides=("evaluation.stps=2",)), "did you mean evaluation.steps?"),
    "no override": (lambda place: options_of(place, "run", overrides=("evaluation",)), "path=value"),
    "no votes": (lambda place: options_of(place, "run", votes=0), "--votes must be >= 1, got 0"),
    "nowhere to report": (lambda place: options_of(place, "run", out=str(place / "no" / "r.json")), "--out must name a file"),
    "no submission": (
        lambda place: options_of(place, "run", has_submission=True, folder=str(place / "evaluation")),
        "--submission is of ARC tasks",
    ),
    "votes of boards": (
        lambda place: options_of(place, "run", votes=2, resamples=5),
        "leave out --resample and --votes",
    ),
    "rollouts alike": (
        lambda place: options_of(place, "run", overrides=("evaluation.rollouts=4",)),
        "set evaluation.noise: 0.3 or evaluation.starts: random",
    ),
    "rollouts that stop": (
        lambda place: options_of(place, "run", overrides=("evaluation.rollouts=4", "evaluation.noise=0.1"), stops_halted=True),
        "got 4 rollouts",
    ),
    "a front of one": (
        lambda place: options_of(place, "run", front=(0.1,)),
        "--front is of several rollouts, got evaluation.rollouts 1",
    ),
    "a front without noise": (
        lambda place: options_of(place, "run", front=(0.0, 0.1), overrides=("evaluation.rollouts=4",)),
        "--front is of noises above 0",
    ),
    "a front of no number": (
        lambda place: options_of(place, "run", front=(float("nan"),), overrides=("evaluation.rollouts=4",)),
        "of which each is an evaluation.noise",
    ),
    "a front too far": (
        lambda place: options_of(place, "run", front=(11.0,), overrides=("evaluation.rollouts=4",)),
        "of which each is an evaluation.noise",
    ),
    "raw of one kind": (
        lambda place: options_of(place, "weights.pt", config=str(place / "config.yaml"), is_raw=True),
        "--weights raw is of a checkpoint",
    ),
    "raw of an export": (
        lambda place: options_of(place, "run/best", is_raw=True),
        "or give a checkpoint: {place}/run/checkpoints/step-00000002",
    ),
    "no identifiers": (
        lambda place: options_of(place, "run", identifiers=("blank",)),
        "--identifiers needs a data set with identifiers",
    ),
    "no data": (
        lambda place: options_of(place, "run", overrides=(f"data.folder={place / 'no'}",)),
        "has no manifest.json; say where it is now by --set data.folder=DIR",
    ),
    "changed data": (_changed_data, "the data must be what"),
    "other tokens": (
        lambda place: options_of(place, "run", overrides=(f"data.folder={place / 'mazes'}",)),
        "knows 'blank' where",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message_and_exit_code_2(place: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = BAD[case]
    options = make(place)
    assert run_job(lambda: run_evaluation(options)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert message.format(place=place) in shown.err
    assert shown.err.count("\n") == 1


def test_the_job_exits_with_these_codes(place: Path) -> None:
    command = [sys.executable, JOB, place / "run", "--set", "evaluation.steps=0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "evaluation.steps must be >= 1, got 0" in done.stderr
    assert "Traceback" not in done.stderr

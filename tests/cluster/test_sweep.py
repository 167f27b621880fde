"""Whole sweeps on a real Ray: to the end, killed and resumed, with a killed worker, and interrupted."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from cluster_cases import events_of, run_job, started, wait_until, write_space

from trm.config.files import load_yaml, validated
from trm.config.run import RunConfig
from trm.search.journal.events import (
    Asked,
    Decided,
    DriverStarted,
    DriverStopped,
    LegEnded,
    LegStarted,
    Reported,
    SweepEnded,
    TestTimeChosen,
    TestTimePassed,
)

pytestmark = pytest.mark.ray
FINAL = {"finished", "stopped"}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def space(storage: Path) -> Path:
    return write_space(storage)


@pytest.fixture(scope="module")
def whole(space: Path, storage: Path) -> tuple[Path, str]:
    code, output = run_job("sweep", str(space), "--storage", str(storage), "--name", "whole", "--set", "tracking.enabled=true")
    assert code == 0, output
    return storage / "whole", output


def completed(folder: Path) -> list[LegEnded]:
    return [event for event in events_of(folder) if isinstance(event, LegEnded) and event.status == "completed"]


def assert_is_whole(folder: Path, trials: int) -> None:
    """Every trial exists once, no stretch was done twice, all came to an end, and the winner was reported once."""
    events = events_of(folder)
    assert [event.trial for event in events if isinstance(event, Asked)] == list(range(trials))
    assert set(Counter((leg.trial, leg.rung) for leg in completed(folder)).values()) == {1}
    last = {event.trial: event.status for event in events if isinstance(event, Decided)}
    assert set(last) == set(range(trials))
    assert set(last.values()) <= FINAL
    assert sum(isinstance(event, Reported) for event in events) == 1
    assert sum(isinstance(event, SweepEnded) for event in events) == 1
    results = {leg.trial: folder / str(leg.checkpoint) for leg in completed(folder)}
    assert sorted(path.parent for path in (folder / "trials").glob("*/*/meta.json")) == sorted(results.values())


def test_a_sweep_runs_to_its_leaderboard(whole: tuple[Path, str]) -> None:
    folder, output = whole
    assert_is_whole(folder, trials=4)
    rows = pq.read_table(folder / "trials.parquet").to_pylist()
    assert [row["trial"] for row in rows] == [0, 1, 2, 3]
    assert {row["status"] for row in rows} <= FINAL
    config = validated(RunConfig, load_yaml(folder / "best" / "config.yaml"), "best")
    assert config.training.steps is not None
    assert (folder / "best" / "model.safetensors").is_file()
    assert not (folder / "tune").exists()
    for command in ("mlflow ui --backend-store-uri", "best/config.yaml", "--resume"):
        assert command in output


def test_rungs_are_training_flops_and_legs_go_on_from_checkpoints(whole: tuple[Path, str]) -> None:
    folder, _ = whole
    asked = {event.trial: event for event in events_of(folder) if isinstance(event, Asked)}
    for leg in completed(folder):
        reached = leg.steps * asked[leg.trial].step_flops
        rung_flops = (2.0e10, 4.0e10)[leg.rung]
        assert rung_flops <= reached < rung_flops + asked[leg.trial].step_flops
        assert leg.train_flops == pytest.approx(reached)
    promoted = [event for event in events_of(folder) if isinstance(event, LegStarted) and event.rung == 1]
    assert len(promoted) >= 2
    assert all(event.from_checkpoint for event in promoted)


@pytest.mark.filterwarnings("ignore:The ``noload``")  # MLflow's own queries
def test_mlflow_has_a_run_a_trial_below_one_of_the_sweep(whole: tuple[Path, str]) -> None:
    from mlflow.tracking import MlflowClient

    folder, _ = whole
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {None, parents[0].info.run_id}
    assert len(runs) == 5
    history = {run.data.tags["trm.trial"]: run.data.metrics for run in runs if run is not parents[0]}
    assert all("exact_accuracy" in metrics for metrics in history.values())
    assert {item.path for item in client.list_artifacts(parents[0].info.run_id)} >= {
        "journal.jsonl",
        "leaderboard.json",
        "report.html",
    }


def test_a_taken_name_is_refused_and_a_sweep_that_ended_goes_on_with_more_trials(whole: tuple[Path, str], space: Path) -> None:
    folder, _ = whole
    options = (str(space), "--storage", str(folder.parent), "--name", "whole")
    code, output = run_job("sweep", *options)
    assert code == 2
    assert "--resume" in output
    before = completed(folder)
    test_time = ("--set", "test_time.noise=[0.1, 0.3]", "--set", "test_time.rollouts=2", "--set", "test_time.steps=2")
    code, output = run_job("sweep", *options, "--resume", "--trials", "5", "--set", "keep.best=1", *test_time)
    assert code == 0, output
    passed = [event for event in events_of(folder) if isinstance(event, TestTimePassed)]
    assert sorted(one.noise for one in passed) == [0.0, 0.1, 0.3], "on two slots"
    assert sum(isinstance(event, TestTimeChosen) for event in events_of(folder)) == 1
    after = completed(folder)
    assert after[: len(before)] == before
    assert {leg.trial for leg in after} == set(range(5))
    winner = json.loads((folder / "leaderboard.json").read_text())["trials"][0]["trial"]
    assert [path.name for path in (folder / "trials").iterdir()] == [f"{winner:04d}"]


def test_a_killed_driver_and_a_killed_worker_lose_nothing(space: Path, storage: Path) -> None:
    folder = storage / "killed"
    options = (str(space), "--storage", str(storage), "--name", "killed", "--trials", "4")
    options += ("--set", "data.mode=stream", "--set", "data.shuffle_window_rows=4096")
    with started("sweep", *options) as first:
        wait_until(lambda: len(completed(folder)) >= 2, first)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    kept = completed(folder)

    with started("sweep", *options, "--resume") as second:
        wait_until(lambda: sum(isinstance(event, DriverStarted) for event in events_of(folder)) == 2, second)
        os.kill(wait_until(lambda: busy_process(folder), second), signal.SIGKILL)
        output, _ = second.communicate(timeout=300)
        assert second.returncode == 0, output
    assert completed(folder)[: len(kept)] == kept
    assert_is_whole(folder, trials=4)
    lost = [event for event in events_of(folder) if isinstance(event, LegEnded) and event.status == "lost"]
    assert len(lost) == 1
    assert load_yaml(folder / "sweep.yaml")["dataset"]["mode"] == "stream"


def since_driver(folder: Path) -> list[object]:
    events = events_of(folder)
    last = max(index for index, event in enumerate(events) if isinstance(event, DriverStarted))
    return list(events[last:])


def busy_process(folder: Path) -> int | None:
    """A living process that ended a leg of the newest driver, while another leg has started since.

    Not every leg's process lives: what a worker of the killed driver still finished is answered from its checkpoint.
    """
    events = since_driver(folder)
    for index, event in enumerate(events):
        if isinstance(event, LegEnded) and any(isinstance(later, LegStarted) for later in events[index:]):
            pid = int(str(event.process).rpartition(":")[2])
            if Path(f"/proc/{pid}").exists():
                return pid
    return None


def test_an_interrupted_sweep_says_how_to_go_on(space: Path, storage: Path) -> None:
    folder = storage / "interrupted"
    options = (str(space), "--storage", str(storage), "--name", "interrupted", "--set", "budget.per_trial=4e12")
    with started("sweep", *options) as process:
        wait_until(lambda: any(isinstance(event, LegStarted) for event in events_of(folder)), process)
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 130, output
    assert "--resume" in output
    assert not completed(folder)
    assert [event.reason for event in events_of(folder) if isinstance(event, DriverStopped)] == ["SIGINT"]
    saved = list((folder / "trials").glob("*/step-*/meta.json"))
    assert saved, "the legs that ran left no checkpoint"


def crew(process: subprocess.Popen[str]) -> set[int]:
    """The workers of the sweep's gang."""

    def is_worker(one: psutil.Process) -> bool:
        try:
            return "GroupWorker" in " ".join(one.cmdline())
        except psutil.NoSuchProcess:  # a zombie too
            return False

    return {one.pid for one in psutil.Process(process.pid).children(recursive=True) if is_worker(one)}


def test_a_gang_stays_from_leg_to_leg_until_a_worker_dies(space: Path, storage: Path) -> None:
    """On two CPUs another gang of two can start only where the last one left nothing behind; nor may its stream take a CPU."""
    folder = storage / "gangs"
    settings = ("data.mode=stream", "resources.workers=2", "scheduler=none", "budget.per_trial=4e9")
    options = [word for setting in settings for word in ("--set", setting)]

    def leaders() -> list[int]:
        return [int(str(leg.process).rpartition(":")[2]) for leg in completed(folder)]

    with started("sweep", str(space), "--storage", str(storage), "--name", "gangs", "--trials", "6", *options) as process:
        wait_until(lambda: len(leaders()) >= 2, process)
        first, (leader,) = crew(process), set(leaders())
        assert len(first) == 2
        os.kill((first - {leader}).pop(), signal.SIGKILL)
        wait_until(lambda: len(set(leaders())) == 2, process)
        assert not crew(process) & first, "the other worker was ended too"
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert_is_whole(folder, trials=6)
    troubles = [event.status for event in events_of(folder) if isinstance(event, LegEnded) and event.status != "completed"]
    assert troubles == ["lost"]

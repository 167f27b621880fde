"""The writer's process against a real MLflow: a sqlite store, a server on this machine, and one that is not there."""

import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import opened
from journal_cases import JOURNALS

from tests.tracking.test_updates import append, asked, decided, leg, started, whole_sweep
from trm.config.files import dump_yaml, load_yaml
from trm.errors import ConfigError, SweepError
from trm.jobs.storage import remove
from trm.search.journal.events import DriverStarted, Event, SweepStarted
from trm.tracking import handle as tracking_writer
from trm.tracking import writer as tracking
from trm.tracking.handle import MlflowWriter
from trm.tracking.outbox_state import OutboxState
from trm.tracking.pages import VIEW_TAG
from trm.tracking.places import Target, mlflow_command, page_lines, tracking_uri
from trm.tracking.store import TRIES_AT_ONE, MlflowStore
from trm.tracking.store_door import Vanished
from trm.tracking.store_files import EXIT_AGAIN
from trm.tracking.values import Point, RunUpdate
from trm.tracking.writer import main

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

Runs = dict[str | None, Any]


PATIENCE = 120.0
"""Seconds; a busy machine is no failure."""


def sweep_folder(storage: Path, events: list[Event], name: str = "s-1") -> Path:
    folder = storage / name
    folder.mkdir(parents=True)
    append(folder / "journal.jsonl", events)
    return folder


def target(folder: Path, uri: str | None = None) -> Target:
    storage = folder.parent
    return Target(uri or tracking_uri(None, storage, {}), str(folder), str(storage), "space")


def sent(folder: Path) -> int:
    try:
        return int(json.loads((folder / "tracking.json").read_text())["sent"])
    except (OSError, ValueError):
        return 0


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def runs_of(uri: str) -> tuple[Any, Runs]:
    """The client and the runs of the experiment by their trm.trial; fails when two runs are one trial's."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("space")
    assert experiment is not None
    found: Runs = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        trial = run.data.tags.get("trm.trial")
        assert trial not in found, f"two runs of trial {trial}"
        found[trial] = run
    return client, found


def check_whole_sweep(uri: str) -> tuple[Any, Runs]:
    client, runs = runs_of(uri)
    assert set(runs) == {None, "0", "1"}
    parent = runs[None]
    assert (parent.info.run_name, parent.info.status) == ("s-1", "FINISHED")
    for trial in ("0", "1"):
        assert runs[trial].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (runs["0"].info.status, runs["1"].info.status) == ("FINISHED", "FINISHED")
    assert runs["1"].data.tags["trm.status"] == "finished"
    assert runs["1"].data.params == {"optim.lr": "0.002", "model.mlp_t": "True", "seed": "7", "max_steps": "100"}
    for metric, curve in (("objective", [(50, 0.75), (100, 0.9)]), ("rung", [(50, 0.0), (100, 1.0)])):
        assert [(p.step, p.value) for p in client.get_metric_history(runs["1"].info.run_id, metric)] == curve
    assert runs["1"].info.start_time == 102_000
    assert runs["1"].info.end_time == 151_000
    assert parent.data.metrics["sweep.best_objective"] == 0.9
    return client, runs


def test_a_sweep_in_sqlite_with_its_files(tmp_path: Path) -> None:
    folder = sweep_folder(tmp_path, whole_sweep()[:7])
    writer = MlflowWriter(target(folder))
    wait_until(lambda: sent(folder) == 7)
    append(folder / "journal.jsonl", whole_sweep()[7:])
    (folder / "best").mkdir()
    (folder / "best" / "model.safetensors").write_bytes(b"weights")
    (folder / "sweep.yaml").write_text("tracking: {uri: 'postgresql://me:word@db/x'}\n")
    assert writer.close(PATIENCE) is None
    assert writer.messages() == []
    client, runs = check_whole_sweep(f"sqlite:///{tmp_path}/mlflow.db")
    parent = runs[None].info
    assert parent.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
    assert {file.path for file in client.list_artifacts(parent.run_id)} == {"best", "journal.jsonl", "sweep.yaml"}
    assert [file.path for file in client.list_artifacts(parent.run_id, "best")] == ["best/model.safetensors"]
    kept = next((tmp_path / "mlartifacts").rglob("sweep.yaml")).read_text()
    assert kept == "tracking: {uri: 'postgresql://***@db/x'}\n"


def test_killed_writers_and_a_resume_double_nothing(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    folder = sweep_folder(tmp_path, [*whole_sweep()[:2]])
    for number in range(38):  # enough that a kill falls into the middle
        append(folder / "journal.jsonl", [asked(number), *leg(number, 0, 0.01 * number), decided(number, 0, "paused")])
    count = 2 + 38 * 4
    writer = MlflowWriter(target(folder))
    for _ in range(2):  # started again by itself
        before = _rows(tmp_path / "mlflow.db")
        wait_until(lambda before=before: _rows(tmp_path / "mlflow.db") > before + 2 or sent(folder) == count)
        os.kill(writer._process.pid, signal.SIGKILL)
        writer._process.wait()
        assert writer.messages() == ["the MLflow writer ended with code -9 and is started again; the sweep goes on"]
        wait_until(lambda: writer.messages() == [] and writer._process.poll() is None)
    os.kill(writer._process.pid, signal.SIGKILL)  # and at the exit
    append(folder / "journal.jsonl", [DriverStarted(driver="h:2", fence=2, slots=2, at=500.0)])
    assert writer.close(PATIENCE) is None
    assert sent(folder) == count + 1
    client, runs = runs_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert len(runs) == 39
    for number in range(38):
        history = client.get_metric_history(runs[str(number)].info.run_id, "objective")
        assert [(p.step, p.value) for p in history] == [(50, 0.01 * number)]
        assert runs[str(number)].info.status == "SCHEDULED"
    assert (runs[None].info.status, runs[None].data.tags["trm.status"]) == ("KILLED", "interrupted")


def test_what_was_deleted_in_mlflow_goes_out_again(tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    folder, uri = sweep_folder(tmp_path, whole_sweep()), f"sqlite:///{tmp_path}/mlflow.db"
    (folder / "leaderboard.json").write_text("{}")
    OutboxState.load(folder, uri, "space").save(folder)
    assert main([str(folder)]) == 0
    client, runs = check_whole_sweep(uri)
    capsys.readouterr()

    def heard() -> str:
        assert main([str(folder)]) == 0
        return capsys.readouterr().err

    assert heard() == "MLflow has everything\n"
    (folder / "curves.png").write_bytes(b"picture")  # only a file waits
    assert heard() == "MLflow has everything\n"
    assert {file.path for file in client.list_artifacts(runs[None].info.run_id)} == {
        "curves.png",
        "journal.jsonl",
        "leaderboard.json",
        "sweep.yaml",
    }
    for trial in (None, "1"):  # in the trash: both come back as they were
        client.delete_run(runs[trial].info.run_id)
    assert heard().startswith("again: 2 runs of this sweep had been deleted and were taken out of MLflow's trash")
    assert check_whole_sweep(uri)[1][None].info.run_id == runs[None].info.run_id
    client.delete_experiment(runs[None].info.experiment_id)
    assert "the experiment 'space' had been deleted and was taken out of MLflow's trash" in heard()
    check_whole_sweep(uri)
    for trial in (None, "1"):  # for good, as by `mlflow gc`: the trials' runs become those of the new one
        _gone_for_good(tmp_path / "mlflow.db", runs[trial].info.run_id)
    shutil.rmtree(tmp_path / "mlartifacts")
    assert "2 runs that were sent before are not there" in heard()
    client, runs = check_whole_sweep(uri)
    assert {file.path for file in client.list_artifacts(runs[None].info.run_id)} == {
        "curves.png",
        "journal.jsonl",
        "leaderboard.json",
        "sweep.yaml",
    }


def test_a_removed_sweep_takes_its_runs_along_when_asked(
    tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    for name, seed in (("s-1", 0), ("s-2", 1)):
        first, *rest = whole_sweep()
        folder = sweep_folder(tmp_path, [first.model_copy(update={"name": name, "seed": seed}), *rest], name)
        assert main([str(folder)]) == 0
    assert len(_by_name(tmp_path)) == 6
    assert remove("s-1", str(tmp_path), with_runs=True) == 0
    assert "3 runs of s-1 are in MLflow's trash" in capsys.readouterr().err
    assert [json.loads(view)["name"] for view in _views(tmp_path)] == ["s-2: trials by rank"]
    assert set(_by_name(tmp_path)) == {"s-2", "s-2-0000", "s-2-0001"}
    assert remove("s-2", str(tmp_path), with_runs=False) == 0
    assert set(_by_name(tmp_path)) == {"s-2", "s-2-0000", "s-2-0001"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("s-")] == []


def _views(storage: Path) -> list[str]:
    from mlflow.tracking import MlflowClient

    experiment = MlflowClient(f"sqlite:///{storage}/mlflow.db").get_experiment_by_name("space")
    assert experiment is not None
    return [value for key, value in experiment.tags.items() if key.startswith(VIEW_TAG)]


def _by_name(storage: Path) -> Runs:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("space")
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def _gone_for_good(database: Path, run: str) -> None:
    with sqlite3.connect(database) as connection:
        for table in ("latest_metrics", "metrics", "params", "tags", "runs"):
            connection.execute(f"delete from {table} where run_uuid = ?", [run])


def test_a_database_that_is_deleted_under_a_running_sweep_is_filled_again(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    folder = sweep_folder(tmp_path, whole_sweep()[:7])
    writer = MlflowWriter(target(folder))
    wait_until(lambda: sent(folder) == 7)
    (tmp_path / "mlflow.db").unlink()  # the writer may be writing; a file put in its place would be undone by the old one's journal
    append(folder / "journal.jsonl", whole_sweep()[7:])
    assert writer.close(PATIENCE) is None
    told, *rest = writer.messages()
    assert told == "MLflow: its database was deleted"  # no failure: that would have the exit wait for nothing
    assert rest == ["MLflow: 3 runs that were sent before are not there: what the journal has of them goes out again"]
    check_whole_sweep(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_failed_call_to_a_database_that_was_taken_away_ends_the_writer(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, *, is_replaced: bool
) -> None:
    """MLflow keeps the old file open, which can be read and not written: looked at again, it would look as before for ever."""
    database, said = tmp_path / "mlflow.db", list[tuple[str, str]]()
    shutil.copy(empty_store, database)
    sweep = whole_sweep()[0]
    assert isinstance(sweep, SweepStarted)
    store = MlflowStore(target(sweep_folder(tmp_path, [sweep])), lambda kind, text: said.append((kind, text)))
    assert store.held(sweep) == {}

    def taken_away(*_: object, **__: object) -> None:
        database.unlink()
        if is_replaced:
            shutil.copy(empty_store, database)
        raise OSError("attempt to write a readonly database")

    monkeypatch.setattr(store, "_write", taken_away)
    with pytest.raises(SystemExit) as ended:
        store.send(sweep, [RunUpdate(None, 1.0, 1.0)])
    assert ended.value.code == EXIT_AGAIN
    with pytest.raises(SystemExit):  # and not known as its own by a second look
        store.held(sweep)
    text = "is another one now" if is_replaced else "was deleted"
    assert said[-1] == ("again", f"its database {text}")


@pytest.mark.parametrize("cause", ["SIGSTOP", "no executable"])
def test_a_writer_that_hangs_or_cannot_start_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    monkeypatch.setattr(tracking_writer, "RESTART_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(tracking_writer, "HANG_SECONDS", 0.3)
    if cause == "no executable":
        monkeypatch.setattr(tracking_writer.sys, "executable", "/bin/false")
    else:  # it never says a word
        (tmp_path / "silent").write_text("#!/bin/sh\nexec sleep 100\n")
        (tmp_path / "silent").chmod(0o755)
        monkeypatch.setattr(tracking_writer.sys, "executable", str(tmp_path / "silent"))
    writer, said = MlflowWriter(target(sweep_folder(tmp_path, whole_sweep()))), list[str]()
    wait_until(lambda: said.extend(writer.messages()) or any("as before" in text for text in said))
    assert len(said) == 3
    assert "python -m trm.tracking.writer" in said[-1]
    assert (writer.close(0.5) or "").startswith("MLflow did not take everything")


def test_a_writer_started_again_is_heard_to_have_recovered(tmp_path: Path) -> None:
    """It knows nothing of the failures of the one before; while they are thought to last, an exit waits for four seconds only."""
    writer = MlflowWriter(target(tmp_path / "s-1"), is_early=True)
    for kind, text in (
        ("problem", "OSError: away"),
        ("sent", ""),
        ("problem", "OSError: away"),
        ("sent", "50 of 60 journal events"),
    ):
        writer._hear(kind, text)
    first, *rest = writer.messages()
    assert first.startswith("MLflow at sqlite:///")
    assert rest == ["MLflow answers again"]
    writer.give_up()


def test_one_update_that_mlflow_cannot_take_keeps_no_other_one_back(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    said: list[tuple[str, str]] = []
    folder = sweep_folder(tmp_path, whole_sweep())
    store = tracking.MlflowStore(target(folder), lambda kind, text: said.append((kind, text)))
    sweep = started()
    bad = Point("loss", 1.0, 1, math.inf)
    poison = RunUpdate(0, 1.0, 1.0, params={"fine": "1"}, points=[bad], tags={"a": "b"}, status="RUNNING", events=3)
    for _ in range(TRIES_AT_ONE):
        with pytest.raises(Exception, match=r"."):
            store.send(sweep, [poison])
    store.send(sweep, [poison, RunUpdate(1, 1.0, 1.0, tags={"c": "d"}, events=4)])
    assert [kind for kind, text in said if kind != "sent"] == ["refused"]
    assert {run: held.events for run, held in store.held(sweep).items()} == {None: 0, 0: 3, 1: 4}
    _, runs = runs_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert runs["1"].data.tags["c"] == "d"
    assert runs["0"].info.status == "RUNNING"
    store._client.delete_run(runs["1"].info.run_id)
    with pytest.raises(Vanished):
        store.send(sweep, [RunUpdate(1, 1.0, 1.0, tags={"c": "e"}, events=5)])
    assert {run: held.events for run, held in store.held(sweep).items()} == {None: 0, 0: 3, 1: 4}


def _rows(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            return int(connection.execute("select count(*) from runs").fetchone()[0])
        except sqlite3.Error:
            return 0


def test_two_sweeps_start_in_one_new_storage_at_once(tmp_path: Path) -> None:
    other = [started("s-2").model_copy(update={"at": 101.0}), *whole_sweep()[1:]]
    folders = [sweep_folder(tmp_path, whole_sweep()), sweep_folder(tmp_path, other, "s-2")]
    writers = [MlflowWriter(target(folder)) for folder in folders]
    assert [writer.close(PATIENCE) for writer in writers] == [None, None]
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = [e for e in client.search_experiments() if e.name == "space"]
    assert len(experiments) == 1
    runs = client.search_runs([experiments[0].experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(f"s-{n}{t}" for n in (1, 2) for t in ("", "-0000", "-0001"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_not_there_costs_a_message_and_no_data(tmp_path: Path, empty_store: Path) -> None:
    folder = sweep_folder(tmp_path, whole_sweep())
    writer = MlflowWriter(target(folder, f"http://me:word@127.0.0.1:{free_port()}"))
    said: list[str] = []
    wait_until(lambda: bool(said.extend(writer.messages()) or said))
    begin = time.monotonic()
    left = writer.close()
    assert time.monotonic() - begin < 10.0
    assert len(said) == 1
    assert "Connection refused" in said[0]
    assert left is not None
    assert f"{len(whole_sweep())} journal events wait" in left
    for text in (*said, left, (folder / "tracking.json").read_text()):
        assert "word" not in text
    assert main([str(folder)]) == 2  # no file keeps the password, so the store's address is asked for
    shutil.copy(empty_store, tmp_path / "late.db")
    assert main([str(folder), "--uri", f"sqlite:///{tmp_path}/late.db"]) == 0
    check_whole_sweep(f"sqlite:///{tmp_path}/late.db")


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[str]:
    shutil.copy(empty_store, tmp_path / "server.db")
    port = free_port()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "served")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes that nobody here needs
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, *store], **quiet, env=environment, start_new_session=True)  # type: ignore[call-overload]

    def answers() -> bool:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    try:
        wait_until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_sweep_on_a_server_and_in_its_pages(tmp_path: Path, server: str) -> None:
    folder = sweep_folder(tmp_path, whole_sweep())
    (folder / "leaderboard.json").write_text("{}")
    (folder / "report.html").write_text("<p>")
    shutil.copy(JOURNALS / "dataset.json", folder)
    sweep = load_yaml(folder / "sweep.yaml") | {"dataset": {"folder": "/data/sudoku4x4"}}
    dump_yaml(folder / "sweep.yaml", sweep)
    assert MlflowWriter(target(folder, server)).close(PATIENCE) is None
    client, runs = check_whole_sweep(server)
    assert {file.path for file in client.list_artifacts(runs[None].info.run_id)} == {
        "journal.jsonl",
        "leaderboard.json",
        "report.html",
        "sweep.yaml",
    }
    assert any((tmp_path / "served").rglob("leaderboard.json"))
    for run in runs.values():
        assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["sudoku4x4"]
    assert (runs["0"].data.metrics["rank"], runs["1"].data.metrics["rank"]) == (2.0, 1.0)
    assert runs[None].data.tags["mlflow.note.content"].startswith("**Best: trial 1**")
    addresses = page_lines(OutboxState.read(folder), server)
    with opened(addresses[0], is_spotless=False) as found:  # MLflow's pages complain of themselves
        names = found.page.locator(".ag-row a[href*='/runs/']")
        names.nth(1).wait_for()
        assert names.all_inner_texts()[:2] == ["s-1-0001", "s-1-0000"]
        found.page.goto(addresses[1])
        found.page.get_by_text("Best: trial 1").wait_for()
    client.set_tag(runs[None].info.run_id, "mlflow.note.content", "my own words")
    append(folder / "journal.jsonl", [DriverStarted(driver="h:2", fence=2, slots=2, at=500.0)])
    assert main([str(folder), "--uri", server]) == 0
    assert client.get_run(runs[None].info.run_id).data.tags["mlflow.note.content"] == "my own words"


def test_the_driver_never_imports_mlflow() -> None:
    heavy = "mlflow", "torch", "ray", "matplotlib"
    code = (
        "import sys, trm.tracking.writer, trm.terminal.display, trm.pictures.curves; "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_store_is_the_configured_one_or_the_environments_or_beside_the_sweeps() -> None:
    assert tracking_uri(None, "/runs", {}) == "sqlite:////runs/mlflow.db"
    assert tracking_uri(None, "/runs", {"MLFLOW_TRACKING_URI": "http://h:1"}) == "http://h:1"
    assert tracking_uri("http://h:2", "/runs", {"MLFLOW_TRACKING_URI": "http://h:1"}) == "http://h:2"
    assert tracking_uri("sqlite:///x.db", "/runs", {}) == f"sqlite:///{Path.cwd() / 'x.db'}"
    assert tracking_uri(None, "/100%20", {}) == "sqlite:////100%2520/mlflow.db"
    for refused in ("./mlruns", "/abs/mlruns", "file:///abs/mlruns", "ftp://h"):
        with pytest.raises(ConfigError, match=r"tracking.uri must be a database or a server"):
            tracking_uri(refused, "/runs", {})
    with pytest.raises(ConfigError, match=r"MLFLOW_TRACKING_URI must be .*; did you mean postgresql://"):
        tracking_uri(None, "/runs", {"MLFLOW_TRACKING_URI": "postgres://h"})


def test_the_command_shows_the_store_without_its_secrets() -> None:
    assert mlflow_command("sqlite:////a b/mlflow.db").endswith(
        "mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db' --host 127.0.0.1"
    )
    assert "word" not in mlflow_command("postgresql://me:word@db/x")
    assert mlflow_command("https://token@h:1") == "open https://***@h:1"


def test_a_sweep_that_was_never_tracked_goes_where_it_would_have_gone(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    folder = tmp_path / "s-1"
    folder.mkdir()
    append(folder / "journal.jsonl", whole_sweep(), mode="min")
    assert main([str(folder)]) == 0
    _, runs = runs_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert runs[None].data.metrics["sweep.best_objective"] == 0.25  # the least


def test_a_folder_without_a_journal_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "holds no journal.jsonl and no run.json; give the folder of a sweep or a run" in capsys.readouterr().err
    assert issubclass(SweepError, ValueError)

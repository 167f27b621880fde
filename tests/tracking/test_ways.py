"""A sweep in a real MLflow is the same whichever way it came there: in one go, event by event, by writers that die anywhere."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from journal_cases import JOURNALS

from tests.tracking.test_mlflow import runs_of
from tests.tracking.test_updates import append, whole_sweep
from trm.config.files import dump_yaml, load_yaml
from trm.search.journal.events import Asked, Event
from trm.tracking import outbox as outboxes
from trm.tracking import store_files
from trm.tracking.outbox import Outbox
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import Target, tracking_uri
from trm.tracking.store import MlflowStore
from trm.tracking.store_calls import NOTE, NOTE_TAG

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own

CALLS = "create_run", "log_batch", "log_inputs", "update_run", "set_terminated", "set_tag", "log_artifact"
"""Of MLflow's client, what changes a run."""


class Died(BaseException):
    """A writer ended in the middle of something."""


def events() -> list[Event]:
    """A sweep whose trials have whole configurations."""
    found = whole_sweep()
    return [
        one.model_copy(update={"params": {"optim.lr": one.params["optim.lr"]}}) if isinstance(one, Asked) else one for one in found
    ]


def made(storage: Path, empty_store: Path) -> Path:
    """A sweep folder whose journal has nothing yet."""
    storage.mkdir()
    shutil.copy(empty_store, storage / "mlflow.db")
    folder = storage / "s-1"
    folder.mkdir()
    append(folder / "journal.jsonl", [])
    shutil.copy(JOURNALS / "dataset.json", folder)
    dump_yaml(folder / "sweep.yaml", load_yaml(folder / "sweep.yaml") | {"dataset": {"folder": "/data/sudoku4x4"}})
    return folder


def following(folder: Path) -> tuple[Outbox, MlflowStore]:
    storage = folder.parent
    target = Target(tracking_uri(None, storage, {}), str(folder), str(storage), "space")
    store = MlflowStore(target, lambda kind, text: None)
    state = OutboxState.load(folder, target.uri, "space")
    return Outbox(folder, store, state, lambda kind, text: None, is_driven=False), store


def in_one_go(folder: Path) -> None:
    append(folder / "journal.jsonl", events())
    assert following(folder)[0].finish(1e18)


def event_by_event(folder: Path) -> None:
    outbox, _ = following(folder)
    for event in events():
        append(folder / "journal.jsonl", [event])
        assert outbox.forward()
    outbox.forward_standing()
    assert outbox.finish(1e18)


def by_two_stores(folder: Path, *, is_older: bool) -> None:
    """Behind one address there was another store before: a server was started again with an empty one, or one from a backup."""
    storage, whole = folder.parent, events()
    outbox, store = following(folder)
    store._target = replace(store._target, uri=f"sqlite:///{storage}/first.db")
    shutil.copy(storage / "mlflow.db", storage / "first.db")
    for first, last in ((0, 4), (4, 9)):
        append(folder / "journal.jsonl", whole[first:last])
        assert outbox.forward()
        if is_older and last == 4:
            shutil.copy(storage / "first.db", storage / "mlflow.db")
    store._target = replace(store._target, uri=f"sqlite:///{storage}/mlflow.db")
    store._database, store._client = None, None  # a call failed while it was away
    append(folder / "journal.jsonl", whole[9:])
    assert outbox.finish(1e18)


def by_writers_that_die(folder: Path) -> None:
    """The first may make one call, the next two, and so on; every third call was carried out before its writer died."""
    append(folder / "journal.jsonl", events())
    for most in range(1, 100):
        outbox, _ = following(folder)
        with pytest.MonkeyPatch.context() as patch:
            _die_after(most, patch)
            try:
                assert outbox.finish(1e18)
                return
            except Died:
                continue
    raise AssertionError("it never ended")


def _die_after(most: int, patch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    left = [most]

    def counted(call: Any) -> Any:
        def counting(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            found = call(*arguments, **named) if left[0] > 0 or most % 3 == 0 else None
            if left[0] <= 0:
                raise Died
            return found

        return counting

    for name in CALLS:
        patch.setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))


def shown(folder: Path) -> dict[str, Any]:
    """All that MLflow shows of each run, but what it names itself; of ranks the last."""
    client, runs = runs_of(f"sqlite:///{folder.parent}/mlflow.db")
    found: dict[str, Any] = {}
    names = {run.info.run_id: f"run of {trial}" for trial, run in runs.items()}
    for trial, run in runs.items():
        tags = {key: value for key, value in run.data.tags.items() if key not in (NOTE, NOTE_TAG)}
        note = run.data.tags.get(NOTE, "")
        for one, name in names.items():
            note = note.replace(one, name)
            tags = {key: value.replace(one, name) for key, value in tags.items()}
        metrics = [key for key in run.data.metrics if key != "rank"]
        history = {key: client.get_metric_history(run.info.run_id, key) for key in metrics}
        points = {key: sorted((p.step, p.timestamp, p.value) for p in ones) for key, ones in history.items()}
        times = run.info.status, run.info.start_time, run.info.end_time, run.info.run_name, run.data.metrics.get("rank")
        inputs = [one.dataset.to_dictionary() for one in run.inputs.dataset_inputs]
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
        configuration = Path(run.info.artifact_uri.removeprefix("file://")) / "config.yaml"
        text = configuration.read_text() if configuration.exists() else ""
        found[str(trial)] = times, run.data.params, tags, note, points, inputs, files, text
    return found


def test_a_sweep_is_the_same_in_mlflow_whichever_way_it_came_there(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    found = {}
    monkeypatch.setattr(outboxes, "RETRY_SECONDS", (0.0,))
    ways: dict[str, Callable[[Path], None]] = {one.__name__: one for one in (in_one_go, event_by_event, by_writers_that_die)}
    ways |= {f"older_{is_older}": partial(by_two_stores, is_older=is_older) for is_older in (False, True)}
    for name, way in ways.items():
        folder = made(tmp_path / name, empty_store)
        way(folder)
        found[name] = shown(folder)
    times, params, tags, _note, points, inputs, files, text = found["in_one_go"]["1"]
    assert (times[0], times[-1], params["optim.lr"], params["training.steps"]) == ("FINISHED", 1.0, "0.002", "100")
    assert (tags["trm.status"], len(inputs), files, points["objective"][-1][2]) == ("finished", 1, ["config.yaml"], 0.9)
    assert "architecture" in text
    assert "run of 1" in found["in_one_go"]["None"][3]
    for name in ways:
        assert found[name] == found["in_one_go"], name


def test_a_database_that_is_locked_is_told_at_once_and_tried_again(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow itself would open it again and again for minutes, without a word, and its writer would be taken to hang."""
    monkeypatch.setattr(store_files, "REACH_SECONDS", 0.05)
    folder = made(tmp_path / "storage", empty_store)
    append(folder / "journal.jsonl", events())
    outbox, said = following(folder)[0], list[str]()
    outbox._say = lambda kind, text: said.append(f"{kind}: {text}") if kind != "sent" else None
    with contextlib.closing(sqlite3.connect(folder.parent / "mlflow.db")) as other:
        other.execute("begin exclusive")
        began = time.monotonic()
        assert not outbox.forward()
        assert time.monotonic() - began < 60.0
        assert said == ["problem: OperationalError: database is locked"]
    monkeypatch.setattr(outboxes, "RETRY_SECONDS", (0.0,))
    outbox._next_try = 0.0
    assert outbox.finish(1e18)
    assert set(shown(folder)) == {"None", "0", "1"}

"""The one MLflow writer: a process of its own that follows the journal, so that it holds up neither a trial nor the exit.

What an unreachable store did not take goes out later, at a resume or by `python -m trm.tracking.writer SWEEP_FOLDER`, and nothing
twice. This is the only file that imports mlflow, and only the writer's process does: the import takes seconds of one core.
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from trm.console.redaction import redacted, without_secrets
from trm.console.streams import one_line, one_message, printable, steady_output
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, InputError, SweepError
from trm.files.atomic import open_lock, why_unwritable
from trm.files.contained import misplaced, refuse_links
from trm.files.own_cache import give_home
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import unread
from trm.search.journal.lease import is_held
from trm.tracking.artifact_places import artifact_location, bring_home, locations_elsewhere
from trm.tracking.outbox import OutboxState, Say, Vanished, cause_of
from trm.tracking.places import STORE, Target, check_own_store, state_by_sweep_file, storage_for, store_for
from trm.tracking.run_outbox import outbox_of
from trm.tracking.updates import SWEEP, Point, RunUpdate
from trm.training.run_record import read_record

FOLLOWED = ("journal.jsonl", "sweep.yaml", "tracking.json", "metrics.jsonl", "run.json", "config.yaml", "curves")
"""What is read of a sweep's or a run's folder besides the files that are uploaded."""
POLL_SECONDS = 0.5
ORPHAN_SECONDS = 20.0
"""How long the writer goes on sending after its driver died."""
IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Set unless the environment says otherwise; with MLflow's own defaults one call to a dead server takes four minutes."""
MAX_POINTS, MAX_PARAMS, MAX_TAGS = 1000, 100, 100
MAX_VALUE_CHARACTERS = 5000
TRIES_AT_ONE = 3
"""So often an update that fails is tried whole; then what of it the store takes is enough, if it takes anything."""
EVENTS_TAG = "trm.events"
"""Tag of a run: so many of the journal's events have passed by it."""
CURVE_TAG = "trm.curve"
"""Tag of a run: it has its training curve up to this step."""
LOCK = ".tracking.lock"
"""In a sweep folder; held by whoever sends its journal."""
SAID_SECONDS = 10.0
EXIT_AGAIN = 75
"""The writer's process asks to be started again."""
TEXT_SUFFIXES = {".yaml", ".json", ".jsonl", ".txt", ".md"}


class MlflowStore:
    """Runs in MLflow: one parent a sweep, one child a trial, found again by their tags, so that every call may be repeated."""

    def __init__(self, target: Target, say: Say) -> None:
        for name, value in IMPATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow.entities
        import mlflow.exceptions
        import mlflow.protos.databricks_pb2 as codes

        self._entities = mlflow.entities
        self._error = mlflow.exceptions.MlflowException
        self._refusals = {
            codes.ErrorCode.Name(code)
            for code in (codes.INVALID_PARAMETER_VALUE, codes.INVALID_STATE, codes.BAD_REQUEST, codes.RESOURCE_DOES_NOT_EXIST)
        }
        self._target, self._say = target, say
        self._absent = codes.ErrorCode.Name(codes.RESOURCE_DOES_NOT_EXIST)
        self._client: Any = None
        self._experiment_id = ""
        self._key = ""
        self._database: tuple[int, int] | None = None
        self._runs: dict[int | None, str] = {}
        self._events: dict[int | None, int] = {}
        self._curves: dict[int | None, int] = {}
        self._tries: dict[tuple[int | None, int], int] = {}
        """How often the update was tried that failed last."""

    def held(self, sweep: SweepStarted) -> dict[int | None, int]:
        """The sweep's runs with the journal events that each has got; those in MLflow's trash are taken out of it again."""
        with self._looked_at_again_after_failure():
            self._connect(sweep)
        return dict(self._events)

    def curves(self, sweep: SweepStarted) -> dict[int | None, int]:
        """The sweep's runs with the step up to which each has its training curve."""
        with self._looked_at_again_after_failure():
            if self._client is None:
                self._connect(sweep)
        return dict(self._curves)

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        """Take in the updates, in their order; raises when the store cannot be reached."""
        with self._looked_at_again_after_failure():
            if self._client is None:
                self._connect(sweep)
            self._check_database()
            if SWEEP not in self._runs:
                self._create(sweep, RunUpdate(SWEEP, sweep.at, sweep.at))
            for update in updates:
                if update.trial not in self._runs:
                    self._create(sweep, update)
                self._write(update)
                self._say("sent", "")

    def files(self, sweep: SweepStarted) -> dict[str, int]:
        """The artifacts of the sweep's run by their paths, with their sizes."""
        with self._looked_at_again_after_failure():
            if self._client is None:
                self._connect(sweep)
            found, folders = dict[str, int](), [""]
            while folders:
                for one in self._client.list_artifacts(self._runs[SWEEP], folders.pop() or None):
                    if one.is_dir:
                        folders.append(one.path)
                    else:
                        found[one.path] = int(one.file_size or 0)
            return found

    def upload(self, sweep: SweepStarted, file: Path, folder: str) -> int:
        """Keep a file of the sweep under `folder` of the sweep's run, text without the secrets of addresses; its bytes there."""
        with self._looked_at_again_after_failure():
            if self._client is None:
                self._connect(sweep)
            self._check_database()
            text = file.read_text(errors="replace") if file.suffix in TEXT_SUFFIXES else ""
            if text == redacted(text):
                size = file.stat().st_size
                self._client.log_artifact(self._runs[SWEEP], str(file), folder or None)
                return size
            with tempfile.TemporaryDirectory() as clean:
                copy = Path(clean) / file.name
                copy.write_text(redacted(text))
                self._client.log_artifact(self._runs[SWEEP], str(copy), folder or None)
                return copy.stat().st_size

    @contextlib.contextmanager
    def _looked_at_again_after_failure(self) -> Iterator[None]:
        """A call that failed may have been carried out: look again at what is there."""
        try:
            yield
        except Exception:
            self._client = None
            raise

    def _check_database(self) -> None:
        """End this process when the database's file was replaced or deleted: what it has open is kept by nobody any more."""
        if self._database != (found := _file_of(self._target.uri)):
            self._say("problem", f"its database {'was deleted' if found is None else 'is another one now'}")
            raise SystemExit(EXIT_AGAIN)

    def _connect(self, sweep: SweepStarted) -> None:
        from mlflow.entities import ViewType
        from mlflow.tracking import MlflowClient

        storage = Path(self._target.storage)
        # Parallel first starts race on a database's schema; who may not write in the storage has a store of his own.
        with _only_one(storage / ".mlflow.lock", lambda: self._say("sent", "")):
            if self._target.is_storages_own and self._target.artifact_location is None:
                bring_home(storage / STORE, storage)
            self._check_places(storage)
            client = MlflowClient(self._target.uri)
            self._experiment_id = self._experiment(client)
        self._database = _file_of(self._target.uri)
        self._key = sha256(sweep.model_dump_json().encode()).hexdigest()[:16]
        self._runs, self._events, self._curves = {}, {}, {}
        in_trash: dict[int | None, Any] = {}
        token = None
        while True:
            query = f"tags.`trm.sweep` = '{self._key}'"
            found = client.search_runs([self._experiment_id], query, run_view_type=ViewType.ALL, page_token=token)
            for run in found:
                tag = run.data.tags.get("trm.trial")
                trial = SWEEP if tag is None else int(tag)
                if run.info.lifecycle_stage == "active":
                    self._know(trial, run)
                else:
                    in_trash[trial] = run
            token = found.token
            if not token:
                break
        self._take_out_of_trash(client, {trial: run for trial, run in in_trash.items() if trial not in self._runs})
        self._client = client

    def _know(self, trial: int | None, run: Any) -> None:
        self._runs[trial] = run.info.run_id
        for tag, known in ((EVENTS_TAG, self._events), (CURVE_TAG, self._curves)):
            value = run.data.tags.get(tag, "")
            known[trial] = int(value) if value.isdecimal() else 0

    def _take_out_of_trash(self, client: Any, runs: Mapping[int | None, Any]) -> None:
        for trial, run in runs.items():
            client.restore_run(run.info.run_id)
            self._know(trial, run)
        if runs:
            self._say("again", f"{len(runs)} runs of this sweep had been deleted and were taken out of MLflow's trash")

    def _check_places(self, storage: Path) -> None:
        """RuntimeError where the storage's own database, which others may have made, would send files where nobody says."""
        if not self._target.is_storages_own:
            return
        chosen = without_secrets(self._target.artifact_location or "")
        for place in locations_elsewhere(storage / STORE, storage, self._target.experiment):
            if not chosen or not f"{place}/".startswith(f"{chosen.rstrip('/')}/"):
                raise RuntimeError(
                    f"{storage / STORE} would send files of experiment {self._target.experiment!r} to {redacted(place)}; "
                    "if you mean that, say so by tracking.artifact_location"
                )

    def _experiment(self, client: Any) -> str:
        name = self._target.experiment
        if (found := client.get_experiment_by_name(name)) is None:
            is_server = self._target.uri.startswith(("http", "databricks"))
            beside = None if is_server else artifact_location(self._target.storage, name)
            place = without_secrets(self._target.artifact_location or "") or beside
            with contextlib.suppress(self._error):  # another sweep may just have made it
                return str(client.create_experiment(name, artifact_location=place))
            found = client.get_experiment_by_name(name)
        if found is None:
            raise RuntimeError(f"MLflow neither has nor makes the experiment {name!r}; give tracking.experiment another name")
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
            self._say("again", f"the experiment {name!r} had been deleted and was taken out of MLflow's trash")
        return str(found.experiment_id)

    def _create(self, sweep: SweepStarted, update: RunUpdate) -> None:
        tags = {"trm.sweep": self._key, "mlflow.source.name": "trm-search", "mlflow.source.type": "JOB"}
        name = sweep.name
        if update.trial is not SWEEP:
            tags |= {"mlflow.parentRunId": self._runs[SWEEP], "trm.trial": str(update.trial)}
            name = f"{sweep.name}-{update.trial:04d}"
        run = self._client.create_run(self._experiment_id, start_time=_milliseconds(update.since), tags=tags, run_name=name)
        orphans = [child for trial, child in self._runs.items() if trial is not SWEEP] if update.trial is SWEEP else []
        for child in orphans:
            self._client.set_tag(child, "mlflow.parentRunId", run.info.run_id)
        self._runs[update.trial] = run.info.run_id

    def _write(self, update: RunUpdate) -> None:
        """Everything of the update, last how many events the run has got; of what MLflow refuses, the rest."""
        name, refused = (update.trial, update.events), list[str]()
        self._tries = {name: self._tries.get(name, 0) + 1}
        is_enough = update.events > 0 and self._tries[name] > TRIES_AT_ONE
        for part in self._parts(update):
            try:
                part()
            except Exception as error:
                self._check_there(self._runs[update.trial])
                if not is_enough and not (isinstance(error, self._error) and error.error_code in self._refusals):
                    raise
                refused.append(cause_of(error))
        if update.events:  # where even this fails, it is the store, and nothing is given up
            self._client.set_tag(self._runs[update.trial], EVENTS_TAG, str(update.events))
        if update.curve_step:
            self._client.set_tag(self._runs[update.trial], CURVE_TAG, str(update.curve_step))
        for cause in refused:
            self._say("refused", cause)
        self._tries = {}

    def _parts(self, update: RunUpdate) -> list[Callable[[], Any]]:
        """The calls that an update takes, each as large as MLflow allows."""
        make, client, run = self._entities, self._client, self._runs[update.trial]
        params = [make.Param(key, printable(redacted(value))[:MAX_VALUE_CHARACTERS]) for key, value in update.params.items()]
        points = list(update.points)
        tags = [make.RunTag(key, printable(redacted(value))[:MAX_VALUE_CHARACTERS]) for key, value in update.tags.items()]
        parts: list[Callable[[], Any]] = []
        while params or points or tags:
            parts.append(partial(self._log, run, points[:MAX_POINTS], params[:MAX_PARAMS], tags[:MAX_TAGS]))
            points, params, tags = points[MAX_POINTS:], params[MAX_PARAMS:], tags[MAX_TAGS:]
        if update.status in ("RUNNING", "SCHEDULED"):
            parts.append(lambda: client.update_run(run, status=update.status))
        elif update.status is not None:
            parts.append(lambda: client.set_terminated(run, status=update.status, end_time=_milliseconds(update.status_at)))
        return parts

    def _log(self, run: str, points: list[Point], params: list[Any], tags: list[Any]) -> None:
        metrics = [self._entities.Metric(p.key, p.value, _milliseconds(p.at), p.step) for p in points]
        self._client.log_batch(run, metrics=metrics, params=params, tags=tags)

    def _check_there(self, run: str) -> None:
        """Vanished when the run was deleted meanwhile."""
        try:
            is_there = self._client.get_run(run).info.lifecycle_stage == "active"
        except self._error as error:
            if error.error_code != self._absent:
                raise
            is_there = False
        if not is_there:
            raise Vanished(f"the run {run} was deleted")


@contextlib.contextmanager
def _only_one(lock: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; `waits` is called twice a second while another process has it. Who may not write there needs none."""
    if why_unwritable(lock.parent) is not None:
        yield
        return
    with os.fdopen(open_lock(lock), "rb") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waits()
                time.sleep(POLL_SECONDS)
        yield


def _file_of(uri: str) -> tuple[int, int] | None:
    """What a sqlite database's file is, whatever its name points to later; None where there is none."""
    if not uri.startswith("sqlite"):
        return None
    try:
        found = os.stat(unquote(uri.partition(":///")[2].partition("?")[0]))
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _milliseconds(at: float) -> int:
    return int(at * 1000)


def _follow_driver() -> int:
    """The writer's process: target on the first line of standard input, then a close command, or the end of a dead driver."""
    os.nice(5)  # trials come first
    driver = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # MLflow greets there at the end of every run

    def say(kind: str, text: str) -> None:
        with contextlib.suppress(OSError):
            driver.write(json.dumps([kind, text]) + "\n")
            driver.flush()

    target = Target(**json.loads(sys.stdin.readline()))
    folder = Path(target.folder)
    with _only_one(folder / LOCK, lambda: say("sent", "")):  # the writer of a killed driver may still be sending
        state = OutboxState.load(folder, target.uri, target.experiment, target.mode)
        state.save(folder)
        outbox = outbox_of(folder)(folder, MlflowStore(target, say), state, say, is_driven=True)
        while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            if outbox.forward():
                outbox.forward_curves(time.monotonic() + POLL_SECONDS)
            say("sent", "")
        line = sys.stdin.readline()
        seconds = float(json.loads(line)["close"]) if line else ORPHAN_SECONDS
        if outbox.finish(time.monotonic() + seconds):
            return EXIT_DONE
        say("left", outbox.left)
        return EXIT_FAILED


def _flush(folder: Path, uri: str | None, seconds: float) -> int:
    refuse_links(folder, lambda parts: parts[0] in FOLLOWED)
    record = read_record(folder)
    if (folder / "journal.jsonl").is_file():
        for piece in unread(folder / "journal.jsonl"):  # refuses a damaged one before anything of it goes out
            if piece.kind != "unfinished":
                sys.stderr.write(f"not read: {one_line(piece.text)}\n")
    elif record is None:
        raise SweepError(f"{folder} holds no journal.jsonl and no run.json", remedy="give the folder of a sweep or a run")
    unsent = state_by_sweep_file(folder) if record is None else OutboxState(experiment=record.experiment)
    known = OutboxState.read(folder) or unsent
    address = store_for(folder, uri, known.uri)
    target = Target(address, str(folder), str(storage_for(folder, address)), known.experiment, known.mode)
    if target.is_storages_own and not uri:
        check_own_store(Path(target.storage), target.experiment)

    keeps_note, told, deadline = why_unwritable(folder) is None, _Told(), time.monotonic() + seconds
    with _only_one(folder / LOCK, lambda: told.waits(folder, deadline)):
        state, has_last_word = OutboxState.load(folder, target.uri, target.experiment, target.mode), not is_held(folder)
        store = MlflowStore(target, told)
        outbox = outbox_of(folder)(folder, store, state, told, is_driven=False, has_last_word=has_last_word, keeps_note=keeps_note)
        is_done = outbox.finish(time.monotonic() + seconds)
    rest = ", but for what it refused" if told.has_refused else ""
    sys.stderr.write(f"MLflow has everything{rest}\n" if is_done else f"MLflow has not got everything: {outbox.left}\n")
    return EXIT_DONE if is_done else EXIT_FAILED


class _Told:
    """Says on standard error what an outbox has to say: how far it is every few seconds, a refusal once."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()
        self.has_refused = self._has_waited = False

    def __call__(self, kind: str, text: str) -> None:
        now = time.monotonic()
        if kind == "sent":
            if text and now - self._said_at >= SAID_SECONDS:
                self._said_at = now
                sys.stderr.write(f"sent: {text}\n")
            return
        if kind != "refused" or not self.has_refused:
            sys.stderr.write(f"{kind}: {one_line(text)}\n")
        self.has_refused = self.has_refused or kind == "refused"

    def waits(self, folder: Path, deadline: float) -> None:
        """Another process sends the sweep's journal: say so once; SweepError when it does so beyond the deadline."""
        if time.monotonic() >= deadline:
            raise SweepError(f"another process is sending {folder} to MLflow", remedy="let it end, which a running sweep does last")
        if not self._has_waited:
            self._has_waited = True
            sys.stderr.write("waiting: another process is sending this sweep to MLflow\n")


def main(arguments: list[str]) -> int:
    """Send what MLflow has not got of a sweep folder; without arguments, be the writer's process."""
    give_home()
    if not arguments:
        return _follow_driver()
    steady_output()
    parser = argparse.ArgumentParser(
        prog="python -m trm.tracking.writer", description="Send to MLflow what it has not got of a sweep or a run."
    )
    parser.add_argument("folder", type=Path, help="the folder of a sweep, or of a run of train.py")
    parser.add_argument("--uri", help="tracking store (default: MLFLOW_TRACKING_URI, else the one in the sweep's storage)")
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after so long (default: 60)")
    options = parser.parse_args(arguments)
    try:
        return _flush(options.folder, options.uri, options.seconds)
    except InputError as error:
        sys.stderr.write(f"error: {one_message(str(error))}\n")
        return EXIT_INPUT
    except PermissionError as error:
        text = f"{error.filename} must be readable: {error.strerror}; ask its owner, or run as a user who may"
        sys.stderr.write(f"error: {one_line(text)}\n")
        return EXIT_INPUT
    except OSError as error:
        if (problem := misplaced(error)) is None:
            raise
        sys.stderr.write(f"error: {one_line(problem)}\n")
        return EXIT_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

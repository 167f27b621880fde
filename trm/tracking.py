"""The one MLflow writer: a process of its own that follows the journal, so that it holds up neither a trial nor the exit.

What an unreachable store did not take goes out later, at a resume or by `python -m trm.tracking SWEEP_FOLDER`, and nothing
twice. This is the only file that imports mlflow, and only the writer's process does: the import takes seconds of one core.
"""

import argparse
import contextlib
import fcntl
import json
import os
import select
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from trm.artifact_places import artifact_location, bring_home, locations_elsewhere
from trm.atomic import why_unwritable
from trm.config_messages import nearest
from trm.contained import inside, regular
from trm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INPUT, ConfigError, InputError, SweepError
from trm.outbox import LAST_TRY_SECONDS, Outbox, OutboxState, Say, cause_of
from trm.redaction import in_addresses, is_masked, redacted, without_secrets
from trm.run_updates import SWEEP, RunUpdate
from trm.search.events import SweepStarted
from trm.search.journal import unread

STORES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks", "databricks-uc", "uc")
"""Kinds of store that MLflow has, plugins apart."""
STORE = "mlflow.db"
"""A storage's own store."""
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
TEXT_SUFFIXES = {".yaml", ".json", ".jsonl", ".txt", ".md"}


@dataclass(frozen=True)
class Target:
    """Which sweep goes where."""

    uri: str
    """Tracking store, with its secrets."""
    folder: str
    """The sweep folder."""
    storage: str
    """Holds sweep folders; a database store keeps its artifacts here, under mlartifacts/."""
    experiment: str
    """MLflow experiment; sweeps of one search space share it."""
    mode: Literal["max", "min"] = "max"
    """Which objective is better."""
    artifact_location: str | None = None
    """Where a new experiment's artifacts go; None: as above, or as the server has it. MLflow keeps it in its own files."""

    @property
    def is_storages_own(self) -> bool:
        """Whether the store is the database that lies in the storage."""
        return self.uri == tracking_uri(None, self.storage, {})


def tracking_uri(configured: str | None, storage: str | Path, environment: Mapping[str, str] = os.environ) -> str:
    """The store to write to: as configured, or MLFLOW_TRACKING_URI, or `<storage>/mlflow.db`.

    Raises ConfigError for what MLflow does not take (any more): a folder, a `file:` address, an unknown kind of store.
    """
    given = configured or environment.get("MLFLOW_TRACKING_URI")
    if not given:
        return f"sqlite:///{_in_address(Path(storage).absolute())}/{STORE}"
    name = "tracking.uri" if configured else "MLFLOW_TRACKING_URI"
    if is_masked(given):
        raise ConfigError(
            f"{name} has *** where its secret stood, got {given!r}", remedy="write the secret there, or set MLFLOW_TRACKING_URI"
        )
    scheme, separator, rest = given.partition("://")
    kind = scheme.partition("+")[0]
    if given != "databricks" and not (separator and kind in {*STORES, *_plugins()}):
        near = nearest(kind, STORES) if separator else None
        raise ConfigError(
            f"{name} must be a database or a server, got {redacted(given)!r}",
            remedy=f"did you mean {near}://?" if near else "write sqlite:////absolute/path/mlflow.db or http://host:port",
        )
    if kind == "sqlite" and rest.startswith("/") and not rest.startswith("//"):
        return f"sqlite:///{_in_address(Path.cwd()) / rest[1:]}"
    return given


def _plugins() -> set[str]:
    return {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}


def _in_address(path: Path) -> Path:
    """The path as it stands in a database's address, where % begins a code."""
    return Path(str(path).replace("%", "%25"))


def program(name: str) -> str:
    """How a person types a program of this environment: `name` where its folder is on PATH, else by its path."""
    beside = Path(sys.executable).parent / name
    found = shutil.which(name)
    if not beside.exists() or (found and Path(found).resolve() == beside.resolve() and Path(found).parent == beside.parent):
        return name
    relative = os.path.relpath(beside)
    return shlex.quote(str(beside) if relative.startswith("..") else relative)


def mlflow_command(uri: str) -> str:
    """The command that shows the runs of the store, ready to be typed (secrets left out)."""
    if uri.startswith(("http://", "https://")):
        return f"open {redacted(uri)}"
    if uri.startswith("databricks"):
        return "open your Databricks workspace"
    return f"{program('mlflow')} ui --backend-store-uri {shlex.quote(redacted(uri))} --host 127.0.0.1"


class MlflowWriter:
    """The driver's handle on the writer's process: it starts it, hears what went wrong, and lets it finish within bounds."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._said: deque[str] = deque()
        self._is_reported = self._has_refused = False
        self._left: str | None = None
        root = str(Path(__file__).resolve().parents[1])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "trm.tracking"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for the driver; the writer hears of its end by the closed pipe
        )
        self._tell(asdict(target))
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def messages(self) -> list[str]:
        """What a person should hear since the last call; costs nothing, never waits."""
        heard = [self._said.popleft() for _ in range(len(self._said))]
        if self._process.poll() not in (None, 0) and not self._is_reported:
            self._is_reported = True
            heard.append(f"the MLflow writer ended with code {self._process.returncode}; the sweep goes on. {self._remedy()}")
        return heard

    def close(self, timeout_seconds: float = 30.0) -> str | None:
        """Let the writer send the rest and the sweep's files, at most so long; a message when something is left, else None."""
        self._tell({"close": timeout_seconds})
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        bound = min(timeout_seconds, LAST_TRY_SECONDS) if self._is_reported else timeout_seconds
        try:
            code = self._process.wait(bound + 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(1.0)
        if code == 0:
            return None
        return f"MLflow did not take everything ({self._left or 'it was slow to answer'}). {self._remedy()}"

    def _remedy(self) -> str:
        command = f"{program('python')} -m trm.tracking {shlex.quote(self._target.folder)}"
        if not self._target.is_storages_own and "MLFLOW_TRACKING_URI" not in os.environ:
            command += f" --uri {shlex.quote(redacted(self._target.uri))}"
        return f"Nothing is lost: the rest goes out with --resume or `{command}`"

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it ended already, which messages() tells
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                kind, text = json.loads(line)
                if kind == "problem" and not self._is_reported:
                    self._is_reported = True
                    self._said.append(
                        f"MLflow at {redacted(self._target.uri)} fails ({text}); the sweep goes on, its journal keeps it all"
                    )
                elif kind == "refused" and not self._has_refused:
                    self._has_refused = True
                    self._said.append(f"MLflow refused a part of one run ({text}) and maybe more; the journal keeps it")
                elif kind == "recovered" and self._is_reported:
                    self._is_reported = False
                    self._said.append("MLflow answers again and has everything")
                elif kind == "left":
                    self._left = text


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
        self._client: Any = None
        self._experiment_id = ""
        self._key = ""
        self._runs: dict[int | None, str] = {}

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        """Take in the updates, in their order; raises when the store cannot be reached."""
        try:
            if self._client is None:
                self._connect(sweep)
            if SWEEP not in self._runs:
                self._create(sweep, RunUpdate(SWEEP, sweep.at, sweep.at))
            for update in updates:
                if update.trial not in self._runs:
                    self._create(sweep, update)
                self._write(update)
        except Exception:
            self._client = None  # a call that failed may have been carried out: look again at what is there
            raise

    def upload(self, file: Path, folder: str) -> None:
        """Keep a file of the sweep under `folder` of the sweep's run, text without the secrets of addresses."""
        text = file.read_text(errors="replace") if file.suffix in TEXT_SUFFIXES else ""
        if text == redacted(text):
            self._client.log_artifact(self._runs[SWEEP], str(file), folder or None)
            return
        with tempfile.TemporaryDirectory() as clean:
            copy = Path(clean) / file.name
            copy.write_text(redacted(text))
            self._client.log_artifact(self._runs[SWEEP], str(copy), folder or None)

    def _connect(self, sweep: SweepStarted) -> None:
        from mlflow.tracking import MlflowClient

        storage = Path(self._target.storage)
        # Parallel first starts race on a database's schema; who may not write in the storage has a store of his own.
        with _only_one(storage / ".mlflow.lock") if why_unwritable(storage) is None else contextlib.nullcontext():
            if self._target.is_storages_own and self._target.artifact_location is None:
                bring_home(storage / STORE, storage)
            client = MlflowClient(self._target.uri)
            self._experiment_id = self._experiment(client)
        self._key = sha256(sweep.model_dump_json().encode()).hexdigest()[:16]
        self._runs = {}
        token = None
        while True:
            found = client.search_runs([self._experiment_id], f"tags.`trm.sweep` = '{self._key}'", page_token=token)
            for run in found:
                trial = run.data.tags.get("trm.trial")
                self._runs[SWEEP if trial is None else int(trial)] = run.info.run_id
            token = found.token
            if not token:
                break
        self._client = client

    def _experiment(self, client: Any) -> str:
        name = self._target.experiment
        if (found := client.get_experiment_by_name(name)) is None:
            is_server = self._target.uri.startswith(("http", "databricks"))
            beside = None if is_server else artifact_location(self._target.storage, name)
            place = without_secrets(self._target.artifact_location or "") or beside
            with contextlib.suppress(self._error):  # another sweep may just have made it
                return str(client.create_experiment(name, artifact_location=place))
            found = client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise RuntimeError(
                f"the MLflow experiment {name!r} was deleted; restore it there, or give tracking.experiment another name"
            )
        return str(found.experiment_id)

    def _create(self, sweep: SweepStarted, update: RunUpdate) -> None:
        tags = {"trm.sweep": self._key, "mlflow.source.name": "trm-search", "mlflow.source.type": "JOB"}
        name = sweep.name
        if update.trial is not SWEEP:
            tags |= {"mlflow.parentRunId": self._runs[SWEEP], "trm.trial": str(update.trial)}
            name = f"{sweep.name}-{update.trial:04d}"
        run = self._client.create_run(self._experiment_id, start_time=_milliseconds(update.since), tags=tags, run_name=name)
        self._runs[update.trial] = run.info.run_id

    def _write(self, update: RunUpdate) -> None:
        make = self._entities
        params = [make.Param(key, redacted(value)[:MAX_VALUE_CHARACTERS]) for key, value in update.params.items()]
        points = [make.Metric(p.key, p.value, _milliseconds(p.at), p.step) for p in update.points]
        tags = [make.RunTag(key, redacted(value)[:MAX_VALUE_CHARACTERS]) for key, value in update.tags.items()]
        run = self._runs[update.trial]
        try:
            while params or points or tags:
                self._client.log_batch(run, metrics=points[:MAX_POINTS], params=params[:MAX_PARAMS], tags=tags[:MAX_TAGS])
                points, params, tags = points[MAX_POINTS:], params[MAX_PARAMS:], tags[MAX_TAGS:]
            if update.status in ("RUNNING", "SCHEDULED"):
                self._client.update_run(run, status=update.status)
            elif update.status is not None:
                self._client.set_terminated(run, status=update.status, end_time=_milliseconds(update.status_at))
        except self._error as error:
            if error.error_code not in self._refusals:
                raise
            self._say("refused", cause_of(error))


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with open(lock, "a", opener=regular) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    with _only_one(folder / ".tracking.lock"):  # the writer of a killed driver may still be sending
        state = OutboxState.load(folder, target.uri, target.experiment, target.mode)
        state.save(folder)
        outbox = Outbox(folder, MlflowStore(target, say), state, say, is_driven=True)
        while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            outbox.forward()
        line = sys.stdin.readline()
        seconds = float(json.loads(line)["close"]) if line else ORPHAN_SECONDS
        if outbox.finish(time.monotonic() + seconds):
            return EXIT_DONE
        say("left", f"{outbox.waiting} journal events wait" if outbox.waiting else "files of the sweep wait")
        return EXIT_FAILED


def _flush(folder: Path, uri: str | None, seconds: float) -> int:
    if not (folder / "journal.jsonl").is_file():
        raise SweepError(f"{folder} holds no journal.jsonl", remedy="give the folder of a sweep")
    unread(folder / "journal.jsonl")  # refuses a damaged one before anything of it goes out
    known = OutboxState.read(folder) or OutboxState(experiment=folder.absolute().name)
    address = _address(folder, uri, known.uri)
    target = Target(address, str(folder), str(_storage_for(folder, address)), known.experiment, known.mode)
    if target.is_storages_own and not uri:
        _check_own_store(Path(target.storage), target.experiment)

    def say(kind: str, text: str) -> None:
        sys.stderr.write(f"{kind}: {text}\n")

    keeps_note = why_unwritable(folder) is None
    with _only_one(folder / ".tracking.lock") if keeps_note else contextlib.nullcontext():
        state = OutboxState.load(folder, target.uri, target.experiment, target.mode)
        outbox = Outbox(folder, MlflowStore(target, say), state, say, is_driven=False, keeps_note=keeps_note)
        is_done = outbox.finish(time.monotonic() + seconds)
    sys.stderr.write("MLflow has everything\n" if is_done else f"{outbox.waiting} journal events wait still\n")
    return EXIT_DONE if is_done else EXIT_FAILED


def _address(folder: Path, uri: str | None, noted: str) -> str:
    """The store that the user names, else the storage's own; SweepError when the sweep's files name yet another.

    Whoever filled the folder does not decide where runs, files and credentials go.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    own = tracking_uri(given, folder.absolute().parent)
    if given or not noted or noted in (redacted(own), in_addresses(own)):
        return own
    if noted.startswith("sqlite:") and noted.endswith(f"/{STORE}") and (folder.absolute().parent / STORE).exists():
        return own  # the storage was moved
    secret = ", with its secret, which no file keeps" if is_masked(noted) else ""
    raise SweepError(
        f"{folder} says that its runs are kept at {noted}, and a folder's word does not decide where they go",
        remedy=f"say so yourself: give --uri {shlex.quote(noted)}{secret}, or set MLFLOW_TRACKING_URI",
    )


def _storage_for(folder: Path, address: str) -> Path:
    """Where a database's files go: the sweep's storage, or for one who may only read that, beside his own database."""
    storage = folder.absolute().parent
    if why_unwritable(storage) is None or address == tracking_uri(None, storage, {}):
        return storage
    return Path(unquote(address.partition("://")[2][1:])).parent if address.startswith("sqlite:") else Path.cwd()


def _check_own_store(storage: Path, experiment: str) -> None:
    """SweepError when the storage's own store cannot be written, or would send files out of the storage."""
    database = inside(storage, STORE)
    reason = why_unwritable(storage)
    if reason is None and database.exists() and not os.access(database, os.W_OK):
        reason = "Permission denied"
    if reason is not None:
        raise SweepError(
            f"the storage's own store must be writable: {database} ({reason})",
            remedy="send the runs to a store of yours by --uri, for instance --uri sqlite:////absolute/path/mlflow.db",
        )
    try:
        bring_home(database, storage)
        elsewhere = locations_elsewhere(database, storage, experiment)
    except sqlite3.Error as error:
        raise SweepError(f"{database} cannot be read or written: {error}", remedy="try again, or give another --uri") from error
    if elsewhere:
        raise SweepError(
            f"{database} would send the files of experiment {experiment!r} to {redacted(elsewhere[0])}, outside of its storage",
            remedy="if you mean that, name the store yourself by --uri",
        )


def main(arguments: list[str]) -> int:
    """Send what MLflow has not got of a sweep folder; without arguments, be the writer's process."""
    if not arguments:
        return _follow_driver()
    parser = argparse.ArgumentParser(prog="python -m trm.tracking", description="Send to MLflow what it has not got of a sweep.")
    parser.add_argument("folder", type=Path, help="the sweep folder")
    parser.add_argument("--uri", help="tracking store (default: MLFLOW_TRACKING_URI, else the one in the sweep's storage)")
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after so long (default: 60)")
    options = parser.parse_args(arguments)
    try:
        return _flush(options.folder, options.uri, options.seconds)
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_INPUT
    except PermissionError as error:
        sys.stderr.write(f"error: {error.filename} must be readable: {error.strerror}; ask its owner, or run as a user who may\n")
        return EXIT_INPUT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

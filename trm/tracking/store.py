"""MLflow's store as the outboxes ask for it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from trm.console.redaction import redacted, without_secrets
from trm.console.streams import printable
from trm.search.journal.events import SweepStarted
from trm.search.space.space import SearchSpace
from trm.tracking.artifact_places import artifact_location, bring_home, locations_elsewhere
from trm.tracking.outbox import cause_of
from trm.tracking.pages import VIEW_TAG, Pages, view_key, view_tag
from trm.tracking.places import STORE, Target
from trm.tracking.store_calls import NOTE, NOTE_TAG, RunCalls, held_by, milliseconds, note_digest, progress_of
from trm.tracking.store_door import Say, Vanished
from trm.tracking.store_files import EXIT_AGAIN, file_of, only_one, reach
from trm.tracking.values import SWEEP, Held, RunUpdate, held_after

IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PGCONNECT_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Set unless the environment says otherwise; with MLflow's own defaults one call to a dead server takes four minutes."""


TRIES_AT_ONE = 3
"""So often an update that fails is tried whole; then what of it the store takes is enough, if it takes anything."""


TEXT_SUFFIXES = {".yaml", ".json", ".jsonl", ".txt", ".md"}


def import_mlflow() -> None:
    """Import what every store needs, which takes seconds; how patient it is it reads at that moment."""
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow.entities
    import mlflow.exceptions
    import mlflow.protos.databricks_pb2
    import mlflow.tracking

    assert mlflow.tracking is not None


class MlflowStore:
    """Runs in MLflow: one parent a sweep, one child a trial, found again by their tags, so that every call may be repeated."""

    def __init__(self, target: Target, say: Say) -> None:
        import_mlflow()
        import mlflow.entities
        import mlflow.exceptions
        import mlflow.protos.databricks_pb2 as codes
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        self._files_at = get_artifact_repository
        self._entities = mlflow.entities
        self._error = mlflow.exceptions.MlflowException
        refusals = codes.INVALID_PARAMETER_VALUE, codes.INVALID_STATE, codes.BAD_REQUEST, codes.RESOURCE_DOES_NOT_EXIST
        self._refusals = {codes.ErrorCode.Name(code) for code in (*refusals, codes.ENDPOINT_NOT_FOUND)}
        self._target, self._say = target, say
        self._absent = codes.ErrorCode.Name(codes.RESOURCE_DOES_NOT_EXIST)
        self._client: Any = None
        self._experiment_id = ""
        self._key = ""
        self._database: tuple[int, int] | None = None
        self._runs: dict[int | None, str] = {}
        self._held: dict[int | None, Held] = {}
        self._status: dict[int | None, str] = {}
        self._places: dict[str, str] = {}
        """Where the files of a run go, by its name in MLflow."""
        self._note = self._view = ""
        """As the store has them; a note that a person changed is none of ours."""
        self._takes_texts = True
        self._tries: dict[tuple[int | None, int], int] = {}
        """How often the update was tried that failed last."""

    def held(self, sweep: SweepStarted) -> dict[int | None, Held]:
        """The sweep's runs, and how far each is; those in MLflow's trash are taken out of it again."""
        with self._looked_at_again_after_failure():
            self._connect(sweep)
        return dict(self._held)

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        """Take in the updates, in their order; raises when the store cannot be reached."""
        with self._looked_at_again_after_failure():
            self._open(sweep)
            self._check_database()
            if SWEEP not in self._runs:
                self._create(sweep, RunUpdate(SWEEP, sweep.at, sweep.at))
            for update in updates:
                if update.trial not in self._runs:
                    self._create(sweep, update)
                self._write(update)
                self._say("sent", "")

    def pages(self, sweep: SweepStarted) -> Pages:
        """Where its runs are shown."""
        view = view_key(self._key) if self._target.subject == "sweep" else ""
        return Pages(self._experiment_id, view, dict(self._runs))

    def describe(self, sweep: SweepStarted, note: str, space: SearchSpace) -> None:
        """Make `note` the description of the sweep's run, unless a person changed it; the experiment gets a view of its trials."""
        with self._looked_at_again_after_failure():
            run = self._own_run(sweep)
            self._check_database()
            note = printable(redacted(note))
            view = view_tag(sweep.name, self._key, space, sweep.at)
            if view != self._view:
                with contextlib.suppress(self._error):  # nothing hangs on it
                    self._client.set_experiment_tag(self._experiment_id, VIEW_TAG + view_key(self._key), view)
                    self._view = view
            if note != self._note:
                self._set_note(run, note)
                self._note = note

    def _set_note(self, run: str, note: str) -> None:
        try:
            there = self._client.get_run(run).data.tags
        except self._error:
            self._check_there(run)
            raise
        if not there.get(NOTE) or note_digest(there[NOTE]) == there.get(NOTE_TAG):
            RunCalls(self._client, self._entities, run).tag({NOTE: note, NOTE_TAG: note_digest(note)})

    def files(self, sweep: SweepStarted) -> dict[str, int]:
        """The artifacts of the sweep's run by their paths, with their sizes."""
        with self._looked_at_again_after_failure():
            run = self._own_run(sweep)
            found, folders = dict[str, int](), [""]
            while folders:
                for one in self._client.list_artifacts(run, folders.pop() or None):
                    if one.is_dir:
                        folders.append(one.path)
                    else:
                        found[one.path] = int(one.file_size or 0)
            return found

    def upload(self, sweep: SweepStarted, file: Path, folder: str) -> int:
        """Keep a file of the sweep under `folder` of the sweep's run, text without the secrets of addresses; its bytes there."""
        with self._looked_at_again_after_failure():
            run = self._own_run(sweep)
            self._check_database()
            text = file.read_text(errors="replace") if file.suffix in TEXT_SUFFIXES else ""
            if text == redacted(text):
                size = file.stat().st_size
                self._client.log_artifact(run, str(file), folder or None)
                return size
            with tempfile.TemporaryDirectory() as clean:
                copy = Path(clean) / file.name
                copy.write_text(redacted(text))
                self._client.log_artifact(run, str(copy), folder or None)
                return copy.stat().st_size

    def trash(self, sweep: SweepStarted) -> int:
        """Move the sweep's runs to MLflow's trash, its view goes; how many there were. Nothing is made where there is nothing."""
        from mlflow.tracking import MlflowClient

        if self._target.uri.startswith("sqlite") and file_of(self._target.uri) is None:  # MLflow would make it
            return 0
        reach(self._target.uri)
        client = MlflowClient(self._target.uri)
        if (experiment := client.get_experiment_by_name(self._target.experiment)) is None:
            return 0
        count = 0
        while found := client.search_runs([experiment.experiment_id], f"tags.`trm.sweep` = '{key_of(sweep)}'"):
            for run in found:
                client.delete_run(run.info.run_id)
                count += 1
        with contextlib.suppress(self._error, AttributeError):  # it has none, or MLflow knows no such call
            client.delete_experiment_tag(experiment.experiment_id, VIEW_TAG + view_key(key_of(sweep)))
        return count

    def _open(self, sweep: SweepStarted) -> None:
        """Connect after a failure; Vanished where the store has less than it had: it was emptied, or is another one now."""
        if self._client is not None:
            return
        before = self._held
        self._connect(sweep)
        gone = [trial for trial, held in before.items() if not _has(self._held.get(trial), held)]
        if gone:
            raise Vanished(f"{len(gone)} runs have less than they had")

    def _own_run(self, sweep: SweepStarted) -> str:
        """The sweep's run in the store; Vanished where it is not there."""
        self._open(sweep)
        if SWEEP not in self._runs:
            raise Vanished("the sweep's run is not there")
        return self._runs[SWEEP]

    @contextlib.contextmanager
    def _looked_at_again_after_failure(self) -> Iterator[None]:
        """A call that failed may have been carried out: look again at what is there."""
        try:
            yield
        except Exception:
            if self._client is not None:
                self._client = None
                self._check_database()  # it may be why: a file that is not there any more can be read, and not written
            raise

    def _check_database(self) -> None:
        """End this process when the database's file was replaced or deleted: what it has open is kept by nobody any more.

        MLflow keeps a database open as long as the process lives, so nothing else leads to the one that is there now.
        """
        if self._database != (found := file_of(self._target.uri)):
            self._say("again", f"its database {'was deleted' if found is None else 'is another one now'}")
            raise SystemExit(EXIT_AGAIN)

    def _connect(self, sweep: SweepStarted) -> None:
        from mlflow.entities import ViewType
        from mlflow.tracking import MlflowClient

        storage = Path(self._target.storage)
        # Parallel first starts race on a database's schema; who may not write in the storage has a store of his own.
        with only_one(storage / ".mlflow.lock", lambda: self._say("sent", "")):
            if self._target.is_storages_own and self._target.artifact_location is None:
                bring_home(storage / STORE, storage)
            self._check_places(storage)
            self._database = self._database or file_of(self._target.uri)  # before it is opened
            reach(self._target.uri)
            client = MlflowClient(self._target.uri)
            experiment = self._experiment(client)
        self._database = self._database or file_of(self._target.uri)  # opening it made it
        self._check_database()
        self._key, self._experiment_id = key_of(sweep), str(experiment.experiment_id)
        self._view = experiment.tags.get(VIEW_TAG + view_key(self._key), "")
        self._runs, self._held, self._status = {}, {}, {}
        self._note, self._takes_texts = "", True
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
        self._held[trial] = held_by(run)
        self._found(trial, run.info)
        note = run.data.tags.get(NOTE, "")
        if trial is SWEEP and note_digest(note) == run.data.tags.get(NOTE_TAG):
            self._note = note

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

    def _experiment(self, client: Any) -> Any:
        name = self._target.experiment
        if (found := client.get_experiment_by_name(name)) is None:
            is_server = self._target.uri.startswith(("http", "databricks"))
            beside = None if is_server else artifact_location(self._target.storage, name)
            place = without_secrets(self._target.artifact_location or "") or beside
            with contextlib.suppress(self._error):  # another sweep may just have made it
                return client.get_experiment(client.create_experiment(name, artifact_location=place))
            found = client.get_experiment_by_name(name)
        if found is None:
            raise RuntimeError(f"MLflow neither has nor makes the experiment {name!r}; give tracking.experiment another name")
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
            self._say("again", f"the experiment {name!r} had been deleted and was taken out of MLflow's trash")
        return found

    def _create(self, sweep: SweepStarted, update: RunUpdate) -> None:
        tags = {"trm.sweep": self._key, "mlflow.source.name": "trm-search", "mlflow.source.type": "JOB"}
        name = sweep.name
        if update.trial is not SWEEP:
            tags |= {"mlflow.parentRunId": self._runs[SWEEP], "trm.trial": str(update.trial)}
            name = f"{sweep.name}-{update.trial:04d}"
        run = self._client.create_run(self._experiment_id, start_time=milliseconds(update.since), tags=tags, run_name=name)
        orphans = [child for trial, child in self._runs.items() if trial is not SWEEP] if update.trial is SWEEP else []
        for child in orphans:
            self._client.set_tag(child, "mlflow.parentRunId", run.info.run_id)
        self._found(update.trial, run.info)

    def _found(self, trial: int | None, info: Any) -> None:
        self._runs[trial], self._status[trial], self._places[info.run_id] = info.run_id, info.status, info.artifact_uri

    def _write(self, update: RunUpdate) -> None:
        """Everything of the update, last how many events the run has got; of what MLflow refuses, the rest."""
        name, refused, run = (update.trial, update.events), list[str](), self._runs[update.trial]
        held = held_after(self._held.get(update.trial, Held()), update)
        self._tries = {name: self._tries.get(name, 0) + 1}
        is_enough = update.events > 0 and self._tries[name] > TRIES_AT_ONE
        calls, progress = RunCalls(self._client, self._entities, run), progress_of(update, held)
        steps = calls.first(update, self._status.get(update.trial, ""))
        steps += [partial(self._keep_text, run, file, text) for file, text in update.texts.items()]
        for call in [*steps, *calls.batches(update, progress)]:
            try:
                call()
            except Exception as error:
                self._check_there(run)
                if not is_enough and not (isinstance(error, self._error) and error.error_code in self._refusals):
                    raise
                refused.append(cause_of(error))
        if refused and progress:  # where even this fails, it is the store, and nothing is given up
            calls.tag(progress)
        for cause in refused:
            self._say("refused", cause)
        self._held[update.trial], self._tries = held, {}
        if update.status and not refused:
            self._status[update.trial] = update.status

    def _keep_text(self, run: str, name: str, text: str) -> None:
        """A file that nothing hangs on: a store of artifacts that takes none is told once."""
        if not self._takes_texts:
            return
        try:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / name
                file.write_text(redacted(text), encoding="utf-8")
                if (place := self._places.get(run, "")) and not self._target.uri.startswith("databricks"):
                    self._files_at(place, tracking_uri=self._target.uri).log_artifact(str(file))  # the client would ask for the run
                else:
                    self._client.log_artifact(run, str(file))
        except Exception as error:
            self._check_there(run)
            self._takes_texts = False
            self._say("refused", cause_of(error))

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


def _has(there: Held | None, held: Held) -> bool:
    """Whether a run is there, and has what it had."""
    return there is not None and there.events >= held.events and there.curve >= held.curve


def key_of(sweep: SweepStarted) -> str:
    """What tells the sweep's runs from all others: a digest of its journal's first line."""
    return sha256(sweep.model_dump_json().encode()).hexdigest()[:16]

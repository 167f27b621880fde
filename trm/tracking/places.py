"""Which store a sweep or a run goes to, and where its files go: the user's word, else the storage's own; never a folder's."""

import os
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from trm.config.files import load_yaml
from trm.config.messages import nearest
from trm.console.redaction import in_addresses, is_masked, redacted
from trm.errors import ConfigError, InputError, SweepError
from trm.files.atomic import why_unwritable
from trm.files.contained import inside, refuse_links
from trm.tracking.artifact_places import ARTIFACTS, artifact_folder, bring_home, locations_elsewhere
from trm.tracking.outbox_state import OutboxState

STORES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks", "databricks-uc", "uc")
"""Kinds of store that MLflow has, plugins apart."""
STORE = "mlflow.db"
"""A storage's own store."""
DEPTH_OF_FILES = 3
"""Below an experiment's folder: RUN/artifacts/FILE."""


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
    artifact_location: str | None = None
    """Where a new experiment's artifacts go; None: as above, or as the server has it. MLflow keeps it in its own files."""
    subject: Literal["sweep", "run"] = "sweep"
    """What the folder is of."""

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


def page_lines(state: OutboxState | None, uri: str, port: int = 5000) -> list[str]:
    """Where MLflow's pages show what a note is of: the trials of a sweep by rank, and its own run."""
    if state is None or not state.experiment_id or not is_noted(state.uri, uri) or uri.startswith("databricks"):
        return []
    pages = state.pages
    found = [pages.trials() if pages.view else None, pages.run(None)]
    return [f"{_page_base(uri, port)}/{address}" for address in found if address is not None]


def model_lines(name: str, version: str, uri: str, port: int = 5000) -> list[str]:
    """Where MLflow's pages show a version of a registered model."""
    return [] if uri.startswith("databricks") else [f"{_page_base(uri, port)}/#/models/{quote(name, safe='')}/versions/{version}"]


def _page_base(uri: str, port: int) -> str:
    return redacted(uri).rstrip("/") if uri.startswith(("http://", "https://")) else f"http://127.0.0.1:{port}"


def is_noted(noted: str, uri: str) -> bool:
    """Whether the address that a note has is of this store, or of a storage's own that was moved since."""
    is_own = all(one.startswith("sqlite:") and one.endswith(f"/{STORE}") for one in (noted, uri))
    return is_own or noted in (redacted(uri), in_addresses(uri))


def mlflow_steps(folder: Path, uri: str) -> list[tuple[str, str]]:
    """(what for, what to type or open) for a look at a sweep in MLflow, as far as its writer noted where it is there."""
    steps = [("see every trial in MLflow", mlflow_command(uri))]
    names = ("there, the trials by rank", "there, the sweep's own run")
    lines = page_lines(OutboxState.read(folder), uri)
    return steps + [(name, f"open {shlex.quote(line)}") for name, line in zip(names, lines, strict=False)]


def state_by_sweep_file(folder: Path) -> OutboxState:
    """What a sweep that was never tracked would have been tracked as."""
    try:
        space = load_yaml(inside(folder, "sweep.yaml")).get("space")
    except InputError:
        space = None
    found = space if isinstance(space, dict) else {}
    return OutboxState(experiment=str(found.get("name") or folder.absolute().name))


def store_for(folder: Path, uri: str | None, noted: str) -> str:
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


def storage_for(folder: Path, address: str) -> Path:
    """Where a database's files go: the sweep's storage, or for one who may only read that, beside his own database."""
    storage = folder.absolute().parent
    if why_unwritable(storage) is None or address == tracking_uri(None, storage, {}):
        return storage
    return Path(unquote(address.partition("://")[2][1:])).parent if address.startswith("sqlite:") else Path.cwd()


def check_own_store(storage: Path, experiment: str) -> None:
    """SweepError when the storage's own store cannot be written, or would send files out of the storage."""
    database, files = inside(storage, STORE), inside(storage, ARTIFACTS, artifact_folder(experiment))
    refuse_links(files, lambda parts: len(parts) <= DEPTH_OF_FILES)
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

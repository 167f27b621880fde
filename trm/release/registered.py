"""A registered model's release, as a folder on this machine: what `models:/NAME@ALIAS` or `models:/NAME/VERSION` means."""

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from trm.console.redaction import redacted
from trm.errors import ConfigError, TRMError
from trm.files.atomic import why_unwritable
from trm.release.registry import mlflow_of
from trm.tracking.artifact_places import bring_home
from trm.tracking.outbox import cause_of
from trm.tracking.places import STORE, tracking_uri
from trm.training.weights import CONFIG_FILE

NAMED = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
MOST_NAMED = 20
"""Names that are told of a registry, which may have thousands."""
INSIDE = "artifacts/release"
"""Of a version's files: where `registry.py` has the release put."""


@contextlib.contextmanager
def registered_release(model: str, storage: Path) -> Iterator[Path]:
    """The release's folder: where the registry keeps it on this machine's disk, else a copy that goes again at the end.

    The registry is that of MLFLOW_TRACKING_URI, else the storage's own. Nothing of it is run. ConfigError for what is not there.
    """
    found = NAMED.fullmatch(model)
    if found is None:
        raise ConfigError(
            f"a registered model is named models:/NAME@ALIAS or models:/NAME/VERSION, got {model}", remedy="name it so"
        )
    uri = tracking_uri(None, storage)
    _require_database(uri)
    if uri == tracking_uri(None, storage, {}) and why_unwritable(storage) is None:
        bring_home(storage.absolute() / STORE, storage)
    with tempfile.TemporaryDirectory() as place:
        try:
            with mlflow_of(uri) as client:
                folder = _brought(client, found, Path(place))
        except ConfigError:
            raise
        except Exception as error:  # whatever a store raises
            raise TRMError(f"MLflow at {redacted(uri)} did not give {model} ({cause_of(error)})") from error
        if not (folder / CONFIG_FILE).is_file():
            raise ConfigError(f"{model} is no release of this project: it has no {INSIDE}", remedy="register one by release.py")
        yield folder


def _require_database(uri: str) -> None:
    """ConfigError where a database of a file is not there: MLflow would make one."""
    if uri.startswith("sqlite:///") and not (path := Path(unquote(uri.removeprefix("sqlite:///")))).is_file():
        raise ConfigError(
            f"a registered model is in MLflow's store, and there is none at {path}",
            remedy="give --storage, or set MLFLOW_TRACKING_URI",
        )


def _brought(client: Any, found: re.Match[str], place: Path) -> Path:
    from mlflow.artifacts import download_artifacts

    name, version = found["name"], found["version"]
    if (model := _unless_missing(client.get_registered_model, name)) is None:
        known = [one.name for one in client.search_registered_models(max_results=MOST_NAMED)]
        raise ConfigError(f"no model is registered as {name!r}", remedy=f"choose of {_shown(known) or 'none: there are none'}")
    if version is None:
        aliases = model.aliases
        if found["alias"] not in aliases:
            raise ConfigError(f"{name} has no alias {found['alias']!r}", remedy=f"choose of {', '.join(aliases) or 'its versions'}")
        version = aliases[found["alias"]]
    elif _unless_missing(client.get_model_version, name, version) is None:
        versions = client.search_model_versions(f"name = '{name}'", max_results=MOST_NAMED)  # the newest first
        numbers = sorted(int(one.version) for one in versions)
        raise ConfigError(f"{name} has no version {version}", remedy=f"choose of {_shown([str(one) for one in numbers])}")
    source = str(client.get_model_version_download_uri(name, str(version)))
    parts = urlparse(source)
    if parts.scheme in ("", "file"):
        if not (files := Path(unquote(parts.path))).is_dir():
            raise ConfigError(
                f"this machine does not see {files}, where the registry has the files of {name} {version}",
                remedy="serve where it is seen, or serve a copy of the release's folder",
            )
        return files / INSIDE
    return Path(download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=str(place))) / INSIDE


def _unless_missing(get: Callable[..., Any], *named: str) -> Any:
    """What is asked for; None where the registry has no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return get(*named)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _shown(names: list[str]) -> str:
    """Names to choose of, and that there are more where a page is full."""
    told = ", ".join(names)
    return f"{told} and others" if len(names) == MOST_NAMED else told

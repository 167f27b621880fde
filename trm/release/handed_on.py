"""What a release says of places: data are called by a name in it, for where they lie is the business of one machine alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trm.config.files import load_yaml, yaml_text
from trm.console.redaction import stored
from trm.data.format.storage import is_local, local_path
from trm.files.contained import inside
from trm.training.weights import CONFIG_FILE

OWN_FOLDER = "data"
"""A storage's own folder of data sets: with it a data set is found again by whoever has the release in that storage."""


def place_name(folder: str) -> str:
    """A data set's folder by its name, which has the beginning of its digest where it was built here; of an address all of it."""
    if not is_local(folder):
        return folder
    path = Path(local_path(folder))
    return f"{OWN_FOLDER}/{path.name}" if path.parent.name == OWN_FOLDER else path.name


def config_handed_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """A complete run configuration without the path of its data."""
    data = config.get("data")
    if not isinstance(data, Mapping) or not isinstance(folder := data.get("folder"), str):
        return dict(config)
    return {**config, "data": {**data, "folder": place_name(folder)}}


def config_text(best: Path) -> str:
    """`best/config.yaml` as it is handed on."""
    return yaml_text(stored(config_handed_on(load_yaml(inside(best, CONFIG_FILE)))))


def report_handed_on(report: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation's report without the path of its data."""
    told = report.get("dataset")
    if not isinstance(told, Mapping) or not isinstance(folder := told.get("folder"), str):
        return dict(report)
    return {**report, "dataset": {**told, "folder": place_name(folder)}}

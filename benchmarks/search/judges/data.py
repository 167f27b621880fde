"""Where recorded judges' data lie: outside this repository, in the folders that the environment variable JUDGES_DATA names."""

import hashlib
import os
from pathlib import Path

VARIABLE = "JUDGES_DATA"


class MissingDataError(RuntimeError):
    """Data of a judge are not there, or are not those that it was written for."""


def data_file(place: str, digest: str, source: str) -> Path:
    """The file at `place` below a folder of judges' data, the first that has it; `source`: where one gets it.

    MissingDataError where it is missing, or its SHA-256 is not `digest`.
    """
    folders = os.environ.get(VARIABLE, "")
    paths = [Path(folder) / place for folder in folders.split(os.pathsep) if folder]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        said = f"{VARIABLE} is {folders}, which has none" if folders else f"{VARIABLE} is not set"
        raise MissingDataError(f"this judge needs {place}, and {said}; get it from {source}, into a folder that {VARIABLE} names")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise MissingDataError(f"{path} must have SHA-256 {digest}, has {found}; get it from {source}")
    return path

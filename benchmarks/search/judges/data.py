"""Where recorded judges' data lie: outside this repository, in the folder that the environment variable JUDGES_DATA names."""

import hashlib
import os
from pathlib import Path

VARIABLE = "JUDGES_DATA"


class MissingDataError(RuntimeError):
    """Data of a judge are not there, or are not those that it was written for."""


def data_file(place: str, digest: str, source: str) -> Path:
    """The file at `place` below the folder of judges' data; `source`: where one gets it.

    MissingDataError where it is missing, or its SHA-256 is not `digest`.
    """
    folder = os.environ.get(VARIABLE)
    path = Path(folder or ".") / place
    if folder is None or not path.is_file():
        said = f"{VARIABLE} is {folder}, which has no {place}" if folder else f"{VARIABLE} is not set"
        raise MissingDataError(
            f"this judge needs {place}, and {said}; get it from {source}, and set {VARIABLE} to the folder above"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise MissingDataError(f"{path} must have SHA-256 {digest}, has {found}; get it from {source}")
    return path

"""Weights from any fsspec URL (hf://, s3://, https://) on this machine's disk while they are read; files are copied, never run."""

import contextlib
import hashlib
import posixpath
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from trm.console.redaction import in_addresses, reason_of
from trm.errors import CheckpointError
from trm.files.disk import is_disk_full
from trm.files.weight_files import META, MODEL_FILE

COPY_BYTES = 1 << 22
CONFIG_FILE = "config.yaml"
STEP = re.compile(r"step-(\d+)$")


@dataclass(frozen=True)
class Fetched:
    """Weights that were fetched."""

    url: str
    """Where they came from, without secrets."""
    path: Path
    """Where they lie now: a file, or a folder."""
    digests: dict[str, str]
    """SHA-256 of each file that was fetched, by its name."""


def is_url(path: str) -> bool:
    """Whether weights must be fetched."""
    return "://" in path


@contextlib.contextmanager
def fetched_weights(url: str, storage: Path) -> Iterator[Fetched]:
    """While entered the weights lie below `storage`: a file with what vouches for it, or the checkpoint or export of a folder.

    Of a run or a sweep its `best/`, else its newest checkpoint. CheckpointError where there are none, or they cannot be reached;
    OSError where this machine's disk is full.
    """
    shown = in_addresses(url)
    storage.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=storage) as place:
        try:
            files, where = fsspec.core.url_to_fs(url)
            names, is_file = _wanted(files, where.rstrip("/"))
            digests = {posixpath.basename(name): _copied(files, name, Path(place)) for name in names}
        except ImportError as error:
            raise CheckpointError(
                f"weights must be reachable from here, {shown} is not: {reason_of(error)}",
                remedy="install what serves such addresses, for instance pip install 'trm-search[hf]' or 'trm-search[s3]'",
            ) from error
        except Exception as error:  # foreign file systems raise what they like
            if is_disk_full(error):
                raise
            raise CheckpointError(
                f"weights must be reachable from here, {shown} is not: {reason_of(error)}",
                remedy="give a file of weights, or the folder of a run, a checkpoint or an export",
            ) from error
        path = Path(place) / posixpath.basename(where.rstrip("/")) if is_file else Path(place)
        yield Fetched(shown, path, digests)


def _wanted(files: Any, where: str) -> tuple[list[str], bool]:
    """Paths of what is to be copied, and whether a file was meant. FileNotFoundError where no weights are."""
    if files.isfile(where):
        beside = [posixpath.join(posixpath.dirname(where), name) for name in (META, CONFIG_FILE)]
        if files.exists(beside[0]):  # a checkpoint's: its other files belong to it
            return _files_in(files, posixpath.dirname(where)), True
        return [where, *(name for name in beside[1:] if files.exists(name))], True
    checkpoints = posixpath.join(where, "checkpoints")
    steps = [str(path).rstrip("/") for path in files.ls(checkpoints, detail=False)] if files.exists(checkpoints) else []
    known = sorted((int(found[1]), path) for path in steps if (found := STEP.search(path)))
    for folder in (where, posixpath.join(where, "best"), *(path for _, path in known[-1:])):
        if any(files.exists(posixpath.join(folder, name)) for name in (META, MODEL_FILE)):
            return _files_in(files, folder), False
    raise FileNotFoundError(f"no {META}, no {MODEL_FILE} and no best/ is there")


def _files_in(files: Any, folder: str) -> list[str]:
    return sorted(str(one["name"]) for one in files.ls(folder, detail=True) if one["type"] == "file")


def _copied(files: Any, source: str, folder: Path) -> str:
    """Copies one file; its SHA-256."""
    digest = hashlib.sha256()
    with files.open(source, "rb") as read, (folder / posixpath.basename(source)).open("wb") as written:
        while chunk := read.read(COPY_BYTES):
            digest.update(chunk)
            written.write(chunk)
    return digest.hexdigest()

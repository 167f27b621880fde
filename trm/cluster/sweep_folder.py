"""The folder of a sweep: where it lies, who may use it, and the file that says what the sweep is."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm.config_files import dump_yaml, load_yaml, validated
from trm.data.manifest import Manifest
from trm.errors import SweepError
from trm.outbox import redacted
from trm.search.lease import Lease
from trm.search.space import SearchSpace, check_resumable
from trm.search.sweep_log import FILE as JOURNAL

SWEEP_FILE = "sweep.yaml"
DEFAULT_STORAGE = "runs"


def storage_folder(given: str | None, *, needs_one: bool) -> Path:
    """The absolute, writable folder of all sweeps. SweepError when it cannot be written, or is missing in a Ray job."""
    if given is None and needs_one:
        raise SweepError(
            "a Ray job needs --storage: its own working folder is deleted when it ends",
            remedy="add --storage FOLDER, on a file system that every node mounts",
        )
    storage = Path(given or DEFAULT_STORAGE).expanduser().absolute()
    if "://" in str(given):
        raise SweepError(
            f"--storage must be a folder of a POSIX file system, got {given}", remedy="give a local or shared folder, without ://"
        )
    try:
        storage.mkdir(parents=True, exist_ok=True)
        probe = storage / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SweepError(
            f"--storage must be a folder that can be written: {storage} ({error.strerror})", remedy="give another --storage"
        ) from error
    return storage


def sweep_folder(storage: Path, space: SearchSpace, name: str | None, *, is_resume: bool) -> Path:
    """The sweep's folder; SweepError when the name is taken, or there is nothing to resume."""
    if name is not None:
        if not name or name.startswith(".") or "/" in name:
            raise SweepError(f"--name must be a folder's name, got {name!r}", remedy="use letters, digits, - and _")
        folder = storage / name
        if is_resume and not (folder / JOURNAL).is_file():
            raise SweepError(f"there is no sweep to resume in {folder}", remedy=_sweeps_text(storage))
        if not is_resume and (folder / JOURNAL).is_file():
            raise SweepError(f"the sweep {folder} exists", remedy="go on with it by --resume, or give another --name")
        return folder
    numbered = {
        int(path.name.removeprefix(f"{space.name}-")): path
        for path in storage.glob(f"{space.name}-*")
        if path.name.removeprefix(f"{space.name}-").isdigit() and (path / JOURNAL).is_file()
    }
    if is_resume:
        if not numbered:
            raise SweepError(f"there is no sweep of {space.name} to resume in {storage}", remedy=_sweeps_text(storage))
        return numbered[max(numbered)]
    return storage / f"{space.name}-{max(numbered, default=0) + 1}"


@contextlib.contextmanager
def claimed_folder(folder: Path, space: SearchSpace, *, is_resume: bool) -> Iterator[Lease]:
    """Hold the lease on the folder; one that was made here and never became a sweep is removed again."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with Lease(folder) as lease:
            if is_resume:
                check_resumable(_space_of(folder), space)
            yield lease
    finally:
        if is_new and not (folder / JOURNAL).exists():
            shutil.rmtree(folder, ignore_errors=True)


def write_sweep_file(
    folder: Path, space: SearchSpace, manifest: Manifest, dataset: str, versions: dict[str, str], *, is_resume: bool
) -> None:
    """Write sweep.yaml: the resolved sweep. SweepError when a resume meets other data than the sweep began with."""
    if is_resume:
        before = load_yaml(folder / SWEEP_FILE)["dataset"]["content_hash"]
        if before != manifest.content_hash:
            raise SweepError(
                f"{folder} began with the data set of content hash {before[:12]}, {dataset} has {manifest.content_hash[:12]}",
                remedy="give the same data set, or start a sweep under another --name",
            )
    values: dict[str, Any] = {
        "name": folder.name,
        "space": space.model_dump(mode="json"),
        "dataset": {"folder": dataset, "content_hash": manifest.content_hash, "recipe": manifest.recipe},
        "versions": versions,
    }
    if space.tracking.uri is not None:
        values["space"]["tracking"]["uri"] = redacted(space.tracking.uri)
    dump_yaml(folder / SWEEP_FILE, values)


def _space_of(folder: Path) -> SearchSpace:
    path = folder / SWEEP_FILE
    return validated(SearchSpace, load_yaml(path)["space"], str(path))


def _sweeps_text(storage: Path) -> str:
    names = sorted(path.parent.name for path in storage.glob(f"*/{JOURNAL}"))
    return f"the sweeps there are {', '.join(names)}" if names else "start it without --resume"

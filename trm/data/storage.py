"""Files of a data set on a local disk or behind any fsspec URL; on a local disk every write is durable."""

import os
import posixpath
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from trm.errors import DatasetError

Result = TypeVar("Result")


def is_local(folder: str) -> bool:
    """Whether the folder is on this machine's file system (a plain path or a file:// URL)."""
    return "://" not in folder or folder.startswith("file://")


def local_path(folder: str) -> Path:
    """The path behind a plain path or a file:// URL."""
    return Path(folder.removeprefix("file://"))


def absolute(folder: str) -> str:
    """The folder as it is known from everywhere on this machine; a URL stays."""
    return str(local_path(folder).absolute()) if is_local(folder) else folder


def join(folder: str, *names: str) -> str:
    """A file's path or URL below a folder's."""
    return posixpath.join(folder, *names)


def exists(path: str) -> bool:
    """Whether a file or folder is there; DatasetError when its file system cannot be asked."""
    return _reached(path, lambda files, where: bool(files.exists(where)), what="data set's folder", remedy="correct the path")


def read_bytes(path: str, *, what: str, remedy: str) -> bytes:
    """The whole file; DatasetError naming it when it is missing or unreadable."""
    return _reached(path, lambda files, where: bytes(files.cat_file(where)), what=what, remedy=remedy)


def find(folder: str, pattern: str, *, what: str, remedy: str) -> list[str]:
    """Paths or URLs of the files in `folder` whose names match, in order; DatasetError when its file system cannot be asked."""

    def found(files: Any, where: str) -> list[str]:
        paths = files.glob(f"{where.rstrip('/')}/{pattern}")
        return sorted(str(path) if is_local(folder) else str(files.unstrip_protocol(path)) for path in paths)

    return _reached(folder, found, what=what, remedy=remedy)


def _reached(path: str, call: Callable[[Any, str], Result], *, what: str, remedy: str) -> Result:
    """What `call` makes of the file system behind `path` and the path there."""
    try:
        return call(*fsspec.core.url_to_fs(path))
    except FileNotFoundError as error:
        raise DatasetError(f"the {what} must exist: {path} does not", remedy=remedy) from error
    except Exception as error:  # foreign file systems raise what they like
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise DatasetError(f"the {what} must be readable: {path} ({reason})", remedy=remedy) from error


def write_bytes(path: str, content: bytes) -> None:
    """Write a file; on a local disk it has reached the disk when this returns."""
    if not is_local(path):
        filesystem, where = fsspec.core.url_to_fs(path)
        filesystem.makedirs(posixpath.dirname(where), exist_ok=True)
        with filesystem.open(where, "wb") as file:
            file.write(content)
        return
    where = local_path(path)
    with open(where, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def staging_folder(target: Path) -> Path:
    """A new folder beside `target` to write into; those of dead processes of this host are swept away."""
    host = socket.gethostname()
    prefix = f".{target.name}.building-{host}-"
    for stale in target.parent.glob(f"{prefix}*"):
        if not _is_alive(stale.name.removeprefix(prefix)):
            shutil.rmtree(stale, ignore_errors=True)
    folder = target.parent / f"{prefix}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _is_alive(pid: str) -> bool:
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

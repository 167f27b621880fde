"""Files of a data set on a local disk or behind any fsspec URL; on a local disk every write is durable."""

import posixpath
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from trm.console.redaction import is_masked
from trm.errors import DatasetError
from trm.files.atomic import make_folders, write_bytes_atomic
from trm.files.strays import is_stray

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


def inside(folder: str, name: str) -> str:
    """The path or URL of a file that a manifest names; DatasetError when it is a link to what lies outside of the folder."""
    path = join(folder, name)
    if is_local(folder) and (there := local_path(path)).is_symlink():
        root = local_path(folder).resolve()
        if not there.resolve().is_relative_to(root):
            raise DatasetError(
                f"a data set's files must lie in its folder: {path} is a link to {there.readlink()}",
                remedy="put the file itself there, for instance with cp -L",
            )
    return path


def exists(path: str) -> bool:
    """Whether a file or folder is there; DatasetError when its file system cannot be asked."""
    return _reached(path, lambda files, where: bool(files.exists(where)), what="data set's folder", remedy="correct the path")


def is_folder(path: str) -> bool:
    """Whether a folder is there; DatasetError when its file system cannot be asked."""
    return _reached(path, lambda files, where: bool(files.isdir(where)), what="data set's folder", remedy="correct the path")


def read_bytes(path: str, *, what: str, remedy: str, most_bytes: int | None = None) -> bytes:
    """The whole file; DatasetError naming it when it is missing, unreadable, or larger than `most_bytes`."""

    def read(files: Any, where: str) -> bytes:
        if is_local(path) and local_path(path).exists() and not local_path(path).is_file():
            raise OSError("it is no regular file")  # a pipe or a device would be waited for, or never end
        found = files.size(where) if most_bytes is not None else None
        if found is not None and most_bytes is not None and found > most_bytes:
            raise OSError(f"it has {found:,} bytes, and at most {most_bytes:,} are read")
        return bytes(files.cat_file(where))

    return _reached(path, read, what=what, remedy=remedy)


def size(path: str, *, what: str, remedy: str) -> int:
    """Bytes of the file; DatasetError naming it when it is missing or its file system cannot be asked."""
    return _reached(path, lambda files, where: int(files.size(where)), what=what, remedy=remedy)


def find(folder: str, pattern: str, *, what: str, remedy: str) -> list[str]:
    """Paths or URLs of the files in `folder` whose names match, in order; DatasetError when its file system cannot be asked."""

    def found(files: Any, where: str) -> list[str]:
        paths = [str(path) for path in files.ls(where, detail=False) if fnmatch(posixpath.basename(str(path)), pattern)]
        paths = [path for path in paths if not is_stray(posixpath.basename(path))]
        return sorted(path if is_local(folder) else str(files.unstrip_protocol(path)) for path in paths)

    return _reached(folder, found, what=what, remedy=remedy)


def files_below(folder: str) -> list[str]:
    """Paths or URLs of all files below `folder`, in order, but for strays and what lies in folders of such names.

    Links to folders are not followed. DatasetError when its file system cannot be asked.
    """

    def found(files: Any, where: str) -> list[str]:
        paths = [str(path) for path in files.find(where)]
        kept = [path for path in paths if not any(map(is_stray, path[len(where) :].strip("/").split("/")))]
        return sorted(path if is_local(folder) else str(files.unstrip_protocol(path)) for path in kept)

    return _reached(folder, found, what="folder", remedy="correct the path")


def names(folder: str) -> list[str]:
    """Names of the files in `folder`, in order, but for strays; none where a file system cannot list, as one behind HTTP."""
    try:
        files, where = fsspec.core.url_to_fs(folder)
        found = sorted(posixpath.basename(str(path).rstrip("/")) for path in files.ls(where, detail=False))
        return [name for name in found if not is_stray(name)]
    except Exception:  # foreign file systems raise what they like
        return []


def holds(path: str, content: bytes) -> bool:
    """Whether the file is there with exactly this content."""
    try:
        files, where = fsspec.core.url_to_fs(path)
        return bool(files.size(where) == len(content)) and bytes(files.cat_file(where)) == content
    except Exception:  # foreign file systems raise what they like
        return False


def _reached(path: str, call: Callable[[Any, str], Result], *, what: str, remedy: str) -> Result:
    """What `call` makes of the file system behind `path` and the path there."""
    if is_masked(path):
        raise DatasetError(
            f"the {what} has *** where the secret of its address stood, which no file keeps: {path}",
            remedy="write the whole address where the data set is named, for instance with --set data.folder=ADDRESS",
        )
    try:
        return call(*fsspec.core.url_to_fs(path))
    except FileNotFoundError as error:
        raise DatasetError(f"the {what} must exist: {path} does not", remedy=remedy) from error
    except Exception as error:  # foreign file systems raise what they like
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise DatasetError(f"the {what} must be readable: {path} ({reason})", remedy=remedy) from error


def write_bytes(path: str, content: bytes) -> None:
    """Write a file; on a local disk it is there whole or not at all, and has reached the disk when this returns."""
    if not is_local(path):
        filesystem, where = fsspec.core.url_to_fs(path)
        filesystem.makedirs(posixpath.dirname(where), exist_ok=True)
        with filesystem.open(where, "wb") as file:
            file.write(content)
        return
    make_folders(local_path(path).parent)
    write_bytes_atomic(local_path(path), content)

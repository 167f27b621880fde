"""Paths below a folder that others may have filled: neither a name from a file nor a link that lies there leads out of it.

The folder that a person gives may itself be a link, as storages often are. Below it no link is followed: what would read, write or
delete through one is refused, and what only clears away removes the link and never what it points to.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

from trm.errors import FolderError

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
MOST_SHOWN = 100
READABLE_BY_ALL = 0o666
"""Mode of a new file, before the user's umask."""


def relative_path(name: str) -> str:
    """`name` as it is; ValueError unless it is a relative POSIX path that stays below where it is joined to."""
    parts = name.split("/")
    is_foreign = "\0" in name or "\\" in name or PureWindowsPath(name).drive
    if is_foreign or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"a path from a file must stay below its folder, without / in front and .., got {name[:MOST_SHOWN]!r}")
    return name


def file_name(name: str) -> str:
    """`name` as it is; ValueError unless it is a plain name in one folder, which means nothing else to any file system."""
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"a file must be named by letters, digits, ., _ and -, without its folder, got {name[:MOST_SHOWN]!r}")
    return name


def inside(folder: str | Path, *names: str) -> Path:
    """The path of `names` below `folder`; FolderError when a name leaves it, or a link lies on the way or at the end."""
    path = Path(folder)
    for name in names:
        try:
            parts = relative_path(name).split("/")
        except ValueError as error:
            raise FolderError(f"{folder}: {error}", remedy="do not use this folder: its files name what lies elsewhere") from error
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise link_error(path)
    return path


def link_error(path: str | Path) -> FolderError:
    """What is said of a link where none is followed."""
    return FolderError(
        f"links below a folder are not followed: {path} is one{_target(path)}",
        remedy="put the real file or folder there, or remove the link",
    )


def _target(path: str | Path) -> str:
    try:
        return f", to {os.readlink(path)}"
    except OSError:
        return ""


def regular(path: str, flags: int) -> int:
    """An `opener` for `open`: FolderError for a link or anything else that is no file; neither waits nor creates elsewhere."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, READABLE_BY_ALL)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise link_error(path) from error
        if error.errno in (errno.ENXIO, errno.EISDIR):  # a pipe that nobody reads, or a socket; a folder
            raise _no_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _no_file(path)
    return handle


def _no_file(path: str | Path) -> FolderError:
    return FolderError(f"{path} must be a file, and is none", remedy="remove what is there")


def misplaced(error: OSError) -> str | None:
    """What is said of an error that comes of something else standing where a file or a folder belongs; None: it is another."""
    wrong = {errno.EISDIR: "must be a file, and is a folder", errno.ENOTDIR: "must be a folder, and is none"}
    wrong |= {errno.EEXIST: "is in the way of a folder", errno.ENAMETOOLONG: "is too long a name for this file system"}
    if error.errno not in wrong or not error.filename:
        return None
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
    shown = name if error.errno != errno.ENAMETOOLONG else f"{name[:MOST_SHOWN]}..."
    return f"{shown} {wrong[error.errno]}; remove what is there, or name another place"


def remove(path: str | Path) -> None:
    """Removes a file, a folder with all that is in it, or a link and not what it points to; what cannot be removed stays."""
    path = Path(path)
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return


def refuse_links(folder: str | Path, is_used: Callable[[tuple[str, ...]], bool]) -> None:
    """FolderError for the first link, pipe or device below `folder` at a place that is used; others are left alone.

    `is_used` is asked with the names on the way, from the folder's own entries on; what lies below an unused one is not looked at.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with os.scandir(Path(folder, *parts)) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):  # gone since, or not there yet
            continue
        for entry in found:
            here = (*parts, entry.name)
            if not is_used(here):
                continue
            if entry.is_symlink():
                raise link_error(entry.path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(here)
            elif not entry.is_file(follow_symlinks=False):
                raise _no_file(entry.path)

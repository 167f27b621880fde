"""Files that are either the old ones or the new ones, whole: written beside, fsynced, renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fsync_folder(folder: str | Path) -> None:
    """Makes the names in `folder` durable: renames and new files survive a power cut after this returns."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: str | Path) -> None:
    """Makes the bytes of a closed file durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def why_unwritable(folder: str | Path) -> str | None:
    """Why `folder` cannot be made or written in; None when it can. Nothing is left behind."""
    path = Path(folder).absolute()
    try:
        while not path.exists():
            path = path.parent
        with tempfile.TemporaryFile(dir=path):
            return None
    except OSError as error:
        return error.strerror or str(error)


def remove_folder(path: str | Path) -> None:
    """Removes a folder, if it is there: for others it is there whole or not at all, killed at any moment.

    What a killed process leaves has a hidden name; see `remove_hidden`.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.gone")
    try:
        path.rename(aside)
    except OSError:  # not there, or another removes it
        return
    shutil.rmtree(aside, ignore_errors=True)


def remove_hidden(folder: str | Path) -> None:
    """Removes what killed processes left of unfinished writes and removals in `folder`: everything hidden there."""
    for path in Path(folder).glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what is written there takes the name when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        fsync_file(temporary)
        os.replace(temporary, path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Replaces `path` by `data`, durably; a reader sees the old bytes or the new ones, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Replaces `path` by `text` (UTF-8), durably."""
    write_bytes_atomic(path, text.encode())

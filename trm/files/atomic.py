"""Files that are the old ones or the new ones, whole: written beside, fsynced, renamed. Names are claimed, not looked up."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trm.files.contained import regular, remove

MAKE_TRIES = 200
"""A parent may vanish between two calls, when another process takes back what it had made for nothing."""


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


def claim_folder(path: str | Path) -> bool:
    """Makes `path`, durably, and its parents; True when this very call made it, so that of several at once one alone hears it."""
    path = Path(path)
    for _ in range(MAKE_TRIES):
        with contextlib.suppress(FileNotFoundError):  # another process took the parent back
            make_folders(path.parent)
            try:
                path.mkdir()
            except FileExistsError:
                return False
            fsync_folder(path.parent)
            return True
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def make_folders(path: str | Path) -> list[Path]:
    """Makes `path` and its parents where they are missing, each durable as a name; those that this call made, innermost first."""
    path, made = Path(path), list[Path]()
    for _ in range(MAKE_TRIES):
        with contextlib.suppress(FileNotFoundError):  # another process took a parent back
            for folder in reversed([path, *path.parents]):
                if not folder.is_dir() and _made(folder):
                    made.insert(0, folder)
            return made
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _made(folder: Path) -> bool:
    """Whether this call made the folder; FileExistsError when something else than a folder has the name.

    FileNotFoundError when another process took it, or its parent, back meanwhile.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        mode = folder.lstat().st_mode  # one look: FileNotFoundError where another process took it back since
        if not (stat.S_ISDIR(mode) or (stat.S_ISLNK(mode) and folder.is_dir())):
            raise
        return False
    fsync_folder(folder.parent)
    return True


@contextmanager
def usual_mode(path: Path) -> Iterator[None]:
    """Whatever mode a library gives the file `path` in the block, it ends with the one that the umask (or a default ACL) gives."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    yield
    path.chmod(mode)


def _beside(path: Path, ending: str) -> Path:
    """A hidden name beside `path` that no other process or thread, on any machine, has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.{ending}")


def is_unfinished(name: str) -> bool:
    """Whether a file of that name, or path, is one that a write has not finished, or never will."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(".tmp")


def remove_folder(path: str | Path) -> None:
    """Removes a folder, or a link to one, if it is there: for others it is there whole or not at all, killed at any moment.

    What a killed process leaves has a hidden name; see `remove_hidden`.
    """
    path = Path(path)
    aside = _beside(path, "gone")
    try:
        path.rename(aside)
    except OSError:  # not there, or another removes it
        return
    remove(aside)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Gives a new hidden folder beside `path`, which takes the name, durably, when the block ends without an error.

    The files in it must be durable by then. A folder that already stands at `path` is moved aside for the instant of the rename.
    """
    path = Path(path)
    make_folders(path.parent)
    temporary, aside = _beside(path, "tmp"), _beside(path, "old")
    temporary.mkdir()
    try:
        yield temporary
        fsync_folder(temporary)
        if os.path.lexists(path):
            path.rename(aside)
        try:
            temporary.rename(path)
        except OSError:
            if os.path.lexists(aside):
                aside.rename(path)
            raise
        fsync_folder(path.parent)
        remove(aside)
    finally:
        remove(temporary)


@contextmanager
def locked(path: str | Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the lock file `path`, which is made when it is missing; `on_wait` is called when another process holds it.

    A dead process holds no lock. A lock file that is a link is none of ours (FolderError); of another user's, reading is enough.
    """
    path = Path(path)
    while True:
        handle = open_lock(path)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_at(handle, path):
                continue  # its last holder removed it while we waited
            yield
            return
        finally:
            os.close(handle)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, which is made when it is missing; for reading where it is another user's."""
    try:
        return regular(str(path), os.O_RDWR | os.O_CREAT)
    except PermissionError:
        if not path.exists():
            raise
        return regular(str(path), os.O_RDONLY)


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one that has the name."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def remove_hidden(folder: str | Path) -> None:
    """Removes what killed processes left of unfinished writes and removals in `folder`: everything hidden there.

    A folder that is a link is not entered.
    """
    if Path(folder).is_symlink():
        return
    for path in Path(folder).glob(".*"):
        remove(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what is written there takes the name when the block ends without an error."""
    path = Path(path)
    temporary = _beside(path, "tmp")
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

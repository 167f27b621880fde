"""What this user once computed on this machine, kept between processes: compiled code, timings. Nobody else's word is taken for it.

A cache is a folder that only its user can write to, opened once: its owner and mode, and those of each file, are asked of what
was opened, never of a name that may mean something else a moment later. Each file ends with its own digest: one that was cut,
emptied or changed is none. Where the home cannot be written to, or the folder is open to others, the next place is taken; where
there is none, nothing is kept, and whatever it is gets computed again.
"""

import contextlib
import fcntl
import functools
import getpass
import hashlib
import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAME = "trm-search"
NO_HOME = "/nonexistent"
OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
SEAL = b"trm-search sha-256 "
"""Stands before the digest at the end of a file; loaders of libraries do not look there."""
SEAL_BYTES = len(SEAL) + 32
log = logging.getLogger(__name__)


class _Cache:
    """One folder, opened."""

    def __init__(self, path: Path) -> None:
        """OSError when it is not there and cannot be made; PermissionError when others may write to it."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not _is_ours(self._folder):
            os.close(self._folder)
            raise PermissionError(f"{path} is another user's or open to others")

    def read(self, name: str) -> bytes | None:
        """The content that was kept under the name, whole; None where there is none."""
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._folder)
        except OSError:
            return None
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode) or not _is_ours(handle):
                return None
            whole = file.read()
        content, seal = whole[:-SEAL_BYTES], whole[-SEAL_BYTES:]
        return content if seal == _seal(name, content) else None

    def write(self, name: str, content: bytes) -> None:
        """Keep the content under the name; OSError when it cannot be."""
        unfinished = f".{name}.{os.getpid()}-{secrets.token_hex(4)}"
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content + _seal(name, content))
                file.flush()
                os.fsync(handle)
            os.rename(unfinished, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=self._folder)
            raise

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Whoever computes something for the cache may do it here: the others of this node wait, and then find it."""
        handle = os.open(".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def folder(self, name: str) -> Path:
        """A folder in it for the files of a library; OSError when there can be none."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=self._folder)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            if not _is_ours(handle):
                raise PermissionError(f"{self.path / name} is another user's or open to others")
            os.close(os.open(".probe", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=handle))
        finally:
            os.close(handle)
        return self.path / name


def kept(name: str) -> bytes | None:
    """The content that was kept under the name on this machine, as it was; None where there is none, or it was damaged."""
    return next((content for cache in _caches() if (content := cache.read(name)) is not None), None)


def keep(name: str, content: bytes) -> None:
    """Keep the content under the name for other processes of this user, where there is a place for it."""
    for cache in _caches():
        with contextlib.suppress(OSError):
            cache.write(name, content)
            return


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While entered, no other process of this user on this node is in here; without a cache, each is for itself."""
    with contextlib.ExitStack() as stack:
        for cache in _caches():
            with contextlib.suppress(OSError):
                stack.enter_context(cache.alone())
                break
        yield


def kept_folder(name: str) -> Path | None:
    """A folder that only this user can write to, for the cache of a library; None where there is no place for one."""
    for cache in _caches():
        with contextlib.suppress(OSError):
            return cache.folder(name)
    return None


def give_home() -> None:
    """Give libraries a home and a user's name where this user has none, as a number in a container: some ask when imported."""
    try:
        is_there = Path.home().is_absolute()
    except (RuntimeError, KeyError):
        is_there = False
    if not is_there:
        os.environ["HOME"] = str(kept_folder("home") or NO_HOME)
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["USER"] = f"uid{os.getuid()}"


def _caches() -> list[_Cache]:
    return _opened(tuple(_places()))


def _places() -> Iterator[Path]:
    """Where a cache may be, the best first."""
    with contextlib.suppress(RuntimeError, KeyError):  # a container's user without a home
        given = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if given.is_absolute():
            yield given / NAME
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"


@functools.lru_cache(maxsize=4)
def _opened(places: tuple[Path, ...]) -> list[_Cache]:
    found = []
    for place in places:
        try:
            found.append(_Cache(place))
        except PermissionError as error:
            if error.errno is None:  # ours
                log.warning("%s and not used as a cache: remove it (rm -r %s), and a new one is made", error, place)
        except OSError:
            continue
    return found


def _is_ours(handle: int) -> bool:
    """Whether nobody but this user, and root, could have written to what is open."""
    about = os.fstat(handle)
    return about.st_uid in (os.getuid(), 0) and not about.st_mode & OTHERS_MAY_WRITE


def _seal(name: str, content: bytes) -> bytes:
    return SEAL + hashlib.sha256(name.encode() + b"\0" + content).digest()

"""Files as objects below a URL of any fsspec file system: written one by one, listed by their names, never appended to.

No listing is remembered: another process may have written or removed since. Credentials come from where the file system takes
them (the environment, a profile, the machine's role), never from the address. Every call ends within a bounded time, also where
a store accepts it and never answers: clients' own limits do not cover that (a PUT that waits for `100 Continue` has none).
"""

import asyncio
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.implementations.local import LocalFileSystem

from trm.console.redaction import in_addresses, reason_of
from trm.errors import CheckpointError, InterruptedRun, StoreSilent
from trm.files.atomic import fsync_folder, is_unfinished, make_folders, replacing, write_bytes_atomic
from trm.files.daemon_calls import begun

T = TypeVar("T")
ONE_ACT = {"s3", "s3a", "gs", "gcs", "file", "local"}
"""File systems where of two who create one object at once one is refused; fsspec's general way looks first and writes then."""
CALL_SECONDS = 30.0
"""A call ends within so long, with its client's own tries, and so much longer as its bytes take at SLOWEST_BYTES a second."""
LIST_SECONDS = 60.0
"""A listing may take so long: it is many calls, one for each thousand names."""
SLOWEST_BYTES = 2**20
AT_ONCE = 64
"""Objects that are read side by side."""
PASSING_KINDS = {"TimeoutError", "ConnectionError", "HTTPClientError", "ClientConnectionError"}
"""What errors of networks are called, or what they are of, in Python, botocore and aiohttp."""
PASSING_NUMBERS = {errno.EIO, errno.EBUSY, errno.ETIMEDOUT}
"""What s3fs makes of a server's 500, 503 and of its time limit."""


def address_problem(url: str) -> str | None:
    """Why `url` can hold no objects of a sweep, as rule and value; None where it can."""
    shown = in_addresses(url)
    if "://" not in url:
        return f"it must be the URL of an object store, such as s3://bucket/folder, got {shown!r}"
    if url.startswith("memory:"):
        return f"other processes must see it, and memory: is each process's own, got {shown!r}"
    if shown != url:
        return f"its address must hold no secret, which the environment should (AWS_ACCESS_KEY_ID and so on), got {shown!r}"
    return None


class Objects:
    """The objects below one URL."""

    def __init__(self, url: str) -> None:
        """Reaches nothing yet; CheckpointError when there is no file system for such a URL."""
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise CheckpointError(
                f"checkpoints cannot lie at {self.url}: {reason_of(error)}",
                remedy="install what reads such addresses (the extras s3 and gcs of trm-search bring s3fs and gcsfs)",
            ) from error
        if isinstance(self._files, AsyncFileSystem):
            # Every call says by itself what came of it; what a client's tasks, cancelled or tried again, add is no news.
            self._files.loop.set_exception_handler(lambda loop, context: None)

    def put(self, name: str, path: Path) -> None:
        """Write the file `path` as the object `name`; it is durable when this returns. CheckpointError when it cannot be.

        StoreSilent, which is one, when the store does not answer in time or now: so do all other calls.
        """
        self._written(name, lambda place: _copied(place, path), "put_file", str(path), self._place(name), size=path.stat().st_size)

    def write(self, name: str, data: bytes) -> None:
        """Write the object `name`, in place of what was there; errors as `put`."""
        self._written(name, lambda place: write_bytes_atomic(place, data), "pipe_file", self._place(name), data, size=len(data))

    def create(self, name: str, data: bytes) -> bool:
        """Write the object `name` if there is none, in one act of the store (`is_fence`); false, and nothing done, if there is one.

        One of several writers finds it created. An answer that got lost and a second try look like another's: read what is there.
        """
        how = {"mode": "create", "size": len(data)}
        try:
            self._written(name, lambda place: _linked(place, data), "pipe_file", self._place(name), data, **how)
        except FileExistsError:
            return False
        return True

    @property
    def is_fence(self) -> bool:
        """Whether the file system's `create` is one act; what of this kind answers may still not keep to it."""
        protocol = self._files.protocol
        return not ONE_ACT.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def get(self, name: str, path: Path) -> None:
        """Write the object to the file `path`; FileNotFoundError when there is none, CheckpointError when it cannot be read."""
        size = self._reached("read", name, lambda: self._call("size", self._place(name)))
        self._reached("read", name, lambda: self._call("get_file", self._place(name), str(path), size=size or 0))

    def read(self, name: str) -> bytes:
        """The bytes of an object that is no large one; errors as `get`."""
        return bytes(self._reached("read", name, lambda: self._call("cat_file", self._place(name))))

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Many small objects' bytes by their names, several at once; errors as `get`."""
        names = list(names)

        def read() -> list[Any]:
            if not isinstance(self._files, AsyncFileSystem):
                return [self._call("cat_file", self._place(name)) for name in names]
            return sync(self._files.loop, self._cat_files, names, timeout=CALL_SECONDS + len(names))  # type: ignore[no-any-return]

        return dict(zip(names, map(bytes, self._reached("read", "", read)), strict=True))

    async def _cat_files(self, names: list[str]) -> list[Any]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def cat(name: str) -> Any:
            async with gate:
                return await self._files._cat_file(self._place(name))

        return await asyncio.gather(*map(cat, names))  # fsspec's own `cat` leaves some behind when it is cancelled

    def sizes(self, below: str, *, unfinished: bool = False) -> dict[str, int]:
        """Names of all objects that begin with `below/` (empty: all), in order, with their bytes; CheckpointError likewise.

        `unfinished`: on a disk also what a write has not finished, or never will: for who removes all.
        """
        try:
            found = self._reached(
                "listed", below, lambda: self._call("find", self._place(below), seconds=LIST_SECONDS, detail=True)
            )
        except FileNotFoundError:
            return {}
        sizes = {str(path).removeprefix(self._root).strip("/"): int(about["size"] or 0) for path, about in found.items()}
        return {name: size for name, size in sorted(sizes.items()) if unfinished or not is_unfinished(name)}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, one after another in this order; one that is not there is none. CheckpointError likewise."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._reached("removed", name, lambda name=name: self._call("rm_file", self._place(name)))  # type: ignore[misc]

    def _written(self, name: str, here: Callable[[Path], None], method: str, *arguments: Any, **how: Any) -> None:
        """By the store's `method`; on a disk, where that would write in place, by `here`."""

        def write() -> None:
            if isinstance(self._files, LocalFileSystem):
                make_folders(Path(self._place(name)).parent)
                begun(lambda: here(Path(self._place(name))), "store").result(_seconds(how["size"]))
                return
            try:
                self._call(method, *arguments, **how)
            except OSError as error:  # s3fs says "invalid" where a server's refusal does not name the condition
                if error.errno != errno.EINVAL or "mode" not in how:
                    raise
                raise FileExistsError(error.errno, str(error)) from error

        try:
            self._reached("written", name, write)
        except FileNotFoundError as error:  # a bucket that is not there
            raise self._unreached("written", name, error) from error

    def _call(self, method: str, *arguments: Any, size: int = 0, seconds: float = 0.0, **how: Any) -> Any:
        """What the file system's `method` returns; TimeoutError when it takes longer than so many bytes, or so long, may."""
        limit = max(seconds, _seconds(size))
        if isinstance(self._files, AsyncFileSystem):  # what is too late is cancelled, its connection closed
            return sync(self._files.loop, getattr(self._files, f"_{method}"), *arguments, timeout=limit, **how)
        return begun(lambda: getattr(self._files, method)(*arguments, **how), "store").result(limit)

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _reached(self, what: str, name: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (FileNotFoundError, FileExistsError, InterruptedRun):
            raise
        except Exception as error:  # foreign file systems raise what they like
            raise self._unreached(what, name, error) from error

    def _unreached(self, what: str, name: str, error: Exception) -> CheckpointError:
        why = "no answer in time" if isinstance(error, TimeoutError) and not str(error) else reason_of(error)
        kind = StoreSilent if _passes(error) else CheckpointError
        return kind(
            f"{self.url}/{name} could not be {what}: {why}",
            remedy="look whether the store answers, and whether the environment's credentials may do that there",
        )


def _seconds(size: int) -> float:
    return CALL_SECONDS + size / SLOWEST_BYTES


def _passes(error: BaseException | None) -> bool:
    """Whether an error is the network's or a busy server's: the same call may do later."""
    while error is not None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & PASSING_KINDS or (isinstance(error, OSError) and error.errno in PASSING_NUMBERS):
            return True
        error = error.__cause__
    return False


def _copied(place: Path, path: Path) -> None:
    with replacing(place) as temporary:
        shutil.copyfile(path, temporary)


def _linked(place: Path, data: bytes) -> None:
    """The file `place` with this content, which it has from its first moment; FileExistsError when there is one."""
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.") as temporary:
        temporary.write(data)
        temporary.flush()
        os.fsync(temporary.fileno())
        os.link(temporary.name, place)
    fsync_folder(place.parent)

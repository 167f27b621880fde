"""Files as objects below a URL of any fsspec file system: written one by one, listed by their names, never appended to.

No listing is remembered: another process may have written or removed since. Credentials come from where the file system takes
them (the environment, a profile, the machine's role), never from the address.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trm.console.redaction import in_addresses, reason_of
from trm.errors import CheckpointError, InterruptedRun
from trm.files.atomic import fsync_folder

T = TypeVar("T")
ONE_ACT = {"s3", "s3a", "gs", "gcs", "file", "local"}
"""File systems where of two who create one object at once one is refused; fsspec's general way looks first and writes then."""


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

    def put(self, name: str, path: Path) -> None:
        """Write the file `path` as the object `name`; it is durable when this returns. CheckpointError when it cannot be."""

        self._written(name, lambda: self._files.put_file(str(path), self._place(name)))

    def write(self, name: str, data: bytes) -> None:
        """Write the object `name`, in place of what was there; errors as `put`."""
        self._written(name, lambda: self._files.pipe_file(self._place(name), data))

    def create(self, name: str, data: bytes) -> bool:
        """Write the object `name` if there is none, in one act of the store (`is_fence`); false, and nothing done, if there is one.

        One of several writers finds it created. An answer that got lost and a second try look like another's: read what is there.
        """

        def write() -> None:
            if isinstance(self._files, LocalFileSystem):
                _linked(Path(self._place(name)), data)
                return
            try:
                self._files.pipe_file(self._place(name), data, mode="create")
            except OSError as error:  # s3fs says "invalid" where a server's refusal does not name the condition
                if error.errno != errno.EINVAL:
                    raise
                raise FileExistsError(error.errno, str(error)) from error

        try:
            self._written(name, write)
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
        self._reached("read", name, lambda: self._files.get_file(self._place(name), str(path)))

    def read(self, name: str) -> bytes:
        """The object's bytes; errors as `get`."""
        return bytes(self._reached("read", name, lambda: self._files.cat_file(self._place(name))))

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Many objects' bytes by their names, several at once; errors as `get`."""
        places = {self._place(name): name for name in names}

        def read() -> dict[str, bytes]:
            found = self._files.cat(list(places)) if places else {}
            return {places[str(place)]: bytes(data) for place, data in found.items()}

        return self._reached("read", "", read)

    def sizes(self, below: str) -> dict[str, int]:
        """Names of all objects that begin with `below/` (empty: all), in order, with their bytes; CheckpointError likewise."""

        def listed() -> dict[str, int]:
            with contextlib.suppress(FileNotFoundError):
                found = self._files.find(self._place(below), detail=True)
                return {str(path).removeprefix(self._root).strip("/"): int(about["size"] or 0) for path, about in found.items()}
            return {}

        return dict(sorted(self._reached("listed", below, listed).items()))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects, one after another in this order; one that is not there is none. CheckpointError likewise."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._reached("removed", name, lambda name=name: self._files.rm_file(self._place(name)))  # type: ignore[misc]

    def _written(self, name: str, write: Callable[[], object]) -> None:
        def written() -> None:
            if isinstance(self._files, LocalFileSystem):
                self._files.makedirs(self._place(name).rpartition("/")[0], exist_ok=True)
            write()

        try:
            self._reached("written", name, written)
        except FileNotFoundError as error:  # a bucket that is not there
            raise self._unreached("written", name, error) from error

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
        return CheckpointError(
            f"{self.url}/{name} could not be {what}: {reason_of(error)}",
            remedy="look whether the store answers, and whether the environment's credentials may do that there",
        )


def _linked(place: Path, data: bytes) -> None:
    """The file `place` with this content, which it has from its first moment; FileExistsError when there is one."""
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.") as temporary:
        temporary.write(data)
        temporary.flush()
        os.fsync(temporary.fileno())
        os.link(temporary.name, place)
    fsync_folder(place.parent)

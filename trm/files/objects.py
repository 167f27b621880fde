"""Files as objects below a URL of any fsspec file system: written one by one, listed by their names, never appended to.

No listing is remembered: another process may have written or removed since. Credentials come from where the file system takes
them (the environment, a profile, the machine's role), never from the address.
"""

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from trm.console.redaction import in_addresses, reason_of
from trm.errors import CheckpointError

T = TypeVar("T")


def address_problem(url: str) -> str | None:
    """Why `url` can hold no objects of a sweep, as rule and value; None where it can."""
    shown = in_addresses(url)
    if "://" not in url:
        return f"it must be the URL of an object store, such as s3://bucket/folder, got {shown!r}"
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

        def write() -> None:
            if isinstance(self._files, LocalFileSystem):
                self._files.makedirs(self._place(name).rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), self._place(name))

        try:
            self._reached("written", name, write)
        except FileNotFoundError as error:  # a bucket that is not there
            raise self._unreached("written", name, error) from error

    def get(self, name: str, path: Path) -> None:
        """Write the object to the file `path`; FileNotFoundError when there is none, CheckpointError when it cannot be read."""
        self._reached("read", name, lambda: self._files.get_file(self._place(name), str(path)))

    def read(self, name: str) -> bytes:
        """The object's bytes; errors as `get`."""
        return bytes(self._reached("read", name, lambda: self._files.cat_file(self._place(name))))

    def sizes(self, below: str) -> dict[str, int]:
        """Names of all objects whose names begin with `below/`, in order, with their bytes; CheckpointError likewise."""

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

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _reached(self, what: str, name: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except FileNotFoundError:
            raise
        except Exception as error:  # foreign file systems raise what they like
            raise self._unreached(what, name, error) from error

    def _unreached(self, what: str, name: str, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"{self.url}/{name} could not be {what}: {reason_of(error)}",
            remedy="look whether the store answers, and whether the environment's credentials may do that there",
        )

"""Text files as bytes to read, compressed or not; one that unfolds into far more than any text is refused while it is read."""

import io
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import fsspec
import pyarrow as pa

from trm.errors import DatasetError

SUFFIXES = ("gz", "bz2", "xz", "zst", "lz4")
MOST_TIMES = 200
"""Bytes out of a byte in; puzzles as text are 2 to 20."""
FREE_BYTES = 1 << 24
"""So many may come out before that is looked at."""


def uncompressed_name(path: str) -> str:
    """The name without the ending that says how it is compressed."""
    return re.sub(rf"\.({'|'.join(SUFFIXES)})$", "", path, flags=re.IGNORECASE)


@contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """The bytes of a file, a path or any fsspec URL, decompressed as its ending says (`SUFFIXES`).

    Reading raises DatasetError when they become more than `MOST_TIMES` of what is stored.
    """
    ending = path.rpartition(".")[2].lower()
    with ExitStack() as stack:
        stored = stack.enter_context(fsspec.open(path, "rb"))
        if ending not in SUFFIXES:
            yield _buffered(stored, None, path)
        elif ending == "xz":
            import lzma

            yield _buffered(stack.enter_context(lzma.open(stored)), stored, path)
        else:
            kind = {"gz": "gzip", "bz2": "bz2", "zst": "zstd", "lz4": "lz4"}[ending]
            yield _buffered(stack.enter_context(pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), kind)), stored, path)


def _buffered(file: Any, stored: Any | None, path: str) -> io.BufferedReader:
    return io.BufferedReader(_Bounded(file, stored, path), buffer_size=1 << 20)


class _Bounded(io.RawIOBase):
    """Counts what is read of a file against what was stored of it."""

    def __init__(self, file: Any, stored: Any | None, path: str) -> None:
        self._file, self._stored, self._path = file, stored, path
        self._count = 0

    def readable(self) -> bool:
        """True: it is read from its start to its end."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with the next bytes, as far as they go."""
        part = self._file.read(len(buffer))
        buffer[: len(part)] = part
        self._count += len(part)
        if self._stored is not None and self._count > FREE_BYTES and self._count > MOST_TIMES * max(self._stored.tell(), 1):
            raise DatasetError(
                f"a compressed file must unfold to at most {MOST_TIMES} times its size: {self._path} gives "
                f"{self._count / 1e6:,.0f} MB for its first {self._stored.tell():,} bytes",
                remedy="give the file that its publisher wrote",
            )
        return len(part)

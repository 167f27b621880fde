"""Where a data set is built before it takes its name: one builder a host at a time, and an interrupted build goes on."""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trm.atomic import write_bytes_atomic
from trm.contained import regular, remove
from trm.data.builders.pieces import Columns
from trm.data.shards import decode_parquet, decode_table, encode_parquet, encode_table

PIECES = "pieces"
DIGEST = "recipe-digest"


@contextmanager
def staging_folder(target: Path, digest: str, say: Callable[[str], None]) -> Iterator[Path]:
    """A folder beside `target` to build into, which this process alone holds while the block lasts.

    It holds what an interrupted build of the same recipe (`digest`) left there, and nothing else. It stays when the block is
    interrupted, and is gone when it ends otherwise. Another process on this host that builds the same target is waited for.
    """
    staging = target.with_name(f".{target.name}.building-{socket.gethostname()}")
    lock = staging.with_name(f"{staging.name}.lock")
    missing = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    with _gone_if_empty(missing), _held(lock, lambda: say(f"another process is building {target}: waiting for it")):
        if staging.is_symlink():
            remove(staging)
        marker = staging / DIGEST
        if not marker.is_file() or marker.read_text() != digest:
            remove(staging)
            staging.mkdir()
            marker.write_text(digest)
        try:
            yield staging
        except KeyboardInterrupt:
            raise
        except BaseException:
            remove(staging)
            raise
        remove(staging)


@contextmanager
def _gone_if_empty(folders: list[Path]) -> Iterator[None]:
    """Removes those of the folders, innermost first, that hold nothing when the block ends."""
    try:
        yield
    finally:
        with suppress(OSError):
            for folder in folders:
                folder.rmdir()


@contextmanager
def _held(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """The lock file locked; a dead process holds no lock, and the file is gone afterwards."""
    while True:
        with open(lock, "a", opener=regular) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_same(file.fileno(), lock):
                continue  # its last holder removed it while we waited
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


class PieceFolder:
    """Keeps the pieces of a generated data set in a folder, each written whole or not at all."""

    def __init__(self, staging: Path) -> None:
        self._folder = staging / PIECES
        self._folder.mkdir(exist_ok=True)

    def load(self, number: int) -> Columns | None:
        """The piece, if it was kept."""
        path = self._path(number)
        return decode_table(decode_parquet(path)) if path.exists() else None

    def save(self, number: int, columns: Columns) -> None:
        """Keep the piece."""
        write_bytes_atomic(self._path(number), encode_parquet(encode_table(columns)))

    def _path(self, number: int) -> Path:
        return self._folder / f"piece-{number:06d}.parquet"

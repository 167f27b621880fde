"""Where a data set is built before it takes its name: one builder a host at a time, and an interrupted build goes on."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from trm.data.format.shards import decode_parquet, decode_table, encode_parquet, encode_table
from trm.files.atomic import MAKE_TRIES, locked, make_folders, write_bytes_atomic
from trm.files.contained import remove
from trm.tasks.making.chunks import Columns

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
    with _held(lock, lambda: say(f"another process is building {target}: waiting for it")):
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
def _held(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """The lock file locked, in a folder that is made for it; the file is gone afterwards, and what was made and holds nothing."""
    made: list[Path] = []
    try:
        with ExitStack() as stack:
            for _ in range(MAKE_TRIES):
                made[:0] = make_folders(lock.parent)
                with suppress(FileNotFoundError):  # another process took back what it had made for nothing
                    stack.enter_context(locked(lock, on_wait))
                    break
            else:
                raise FileNotFoundError(f"{lock.parent} vanishes as often as it is made")
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


class ChunkFolder:
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

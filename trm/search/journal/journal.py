"""The journal: one checksummed, fsynced line an event. It is the truth; everything else is rebuilt from it.

A driver that takes a sweep over gives the journal's lines a file of its own, under the same name. What an older driver still
has on its way goes to the old file, which has no name any more; and if it comes by the name all the same, its fence tells it.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from trm.errors import SweepError
from trm.files.atomic import fsync_folder, replacing
from trm.files.contained import regular
from trm.search.journal.events import Event
from trm.search.journal.lines import Entry, Unread, damage, line_of, scan

__all__ = ["Entry", "Journal", "Unread", "read_events", "set_aside", "unread"]


def read_events(path: str | Path, after: Entry | int = 0) -> Iterator[Entry]:
    """Entries from a byte offset (an `Entry.end`, or 0), or from behind an entry, on.

    A last line that is not finished, and late lines of drivers that were replaced, are none; so a living journal can be followed.
    An entry tells more than its offset: which number follows, and whose lines count. SweepError, naming the byte, for damage.
    """
    for item in _pieces(Path(path), after):
        if isinstance(item, Entry):
            yield item


def unread(path: str | Path) -> list[Unread]:
    """What of the file counts for nothing. SweepError as `read_events`."""
    return [item for item in _pieces(Path(path), 0) if isinstance(item, Unread)]


def set_aside(path: str | Path) -> list[Path]:
    """Files beside the journal with pieces that drivers cut out of it because they count for nothing."""
    path = Path(path)
    return sorted(found for kind in ("torn", "late") for found in path.parent.glob(f"{path.name}.{kind}-*"))


def _pieces(path: Path, after: Entry | int) -> Iterator[Entry | Unread]:
    if not path.exists():
        raise SweepError(f"{path} does not exist", remedy="give the folder of a sweep")
    with open(path, "rb", opener=regular) as handle:
        handle.seek(after.end if isinstance(after, Entry) else after)
        yield from scan(handle, path, after)


class Journal:
    """The journal opened for writing, by one process at a time; what a killed writer left unfinished is set aside.

    With a `guard` the writer owns the journal by a lease: what others do to the file is mended, in the end, by who has the lease.
    """

    def __init__(
        self, path: str | Path, *, guard: Callable[[], None] | None = None, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Opens or creates `path`. `guard` is called around every write and raises when the writer lost its right to write.

        `say` is told what was set aside, and where.
        """
        self.path = Path(path)
        self.fence = 0
        """Of this writer: stands in every line from here on; 0: in none. First it is that of the newest line."""
        self._guard, self._say = guard, say
        self._count, self._end = 0, 0
        self._opening: list[Event] = []
        self._file: IO[bytes] = io.BytesIO()
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        is_new = not self.path.exists()
        if self._guard is None:
            self._file = open(self.path, "a+b", buffering=0, opener=regular)  # noqa: SIM115  # `close` closes it
            content = _whole(self._file)
        else:  # it may be another user's, whom one need not be to give it a file of its own
            content = b"" if is_new else _content(self.path)
        kept = self._counted(content)
        self._end = len(kept)
        if self._guard is not None:
            self._own(kept)
        elif len(content) != self._end:
            self._file.truncate(self._end)
            os.fsync(self._file.fileno())
        if is_new:
            fsync_folder(self.path.parent)

    def _counted(self, content: bytes) -> bytes:
        """What of the journal's bytes stays in it; the rest is set aside."""
        kept, start = bytearray(), 0
        for item in scan(io.BytesIO(content), self.path):
            if isinstance(item, Entry):
                self._count, self.fence = item.n + 1, item.fence
                self._opening.append(item.event)
                kept += content[start : item.end]
            elif item.kind != "late" or self._guard is not None:
                self._set_aside(content[item.start : item.end], "late" if item.kind == "late" else "torn", item.text)
            else:  # nobody's lease: it stays where it is
                kept += content[item.start : item.end]
            start = item.end
        return bytes(kept)

    def take_events(self) -> list[Event]:
        """The events that were there when the journal was opened, handed out once."""
        events, self._opening = self._opening, []
        return events

    @property
    def count(self) -> int:
        """Events in the journal."""
        return self._count

    @property
    def end(self) -> int:
        """Size in bytes."""
        return self._end

    def append(self, *events: Event) -> None:
        """Writes `events`; they are durable, in the file that has the name, when this returns.

        SweepError when the lease was lost, before the write or while it was on its way; without one, when another process wrote.
        """
        if not events:
            return
        self._check()
        data = b"".join(line_of(self._count + index, self.fence, event) for index, event in enumerate(events))
        try:
            self._write(data)
        except OSError:
            if self._guard is not None:
                self._guard()  # the file of a driver that was replaced may be gone: that is the reason then
            raise
        self._count += len(events)
        self._end += len(data)
        if self._guard is not None:
            self._check()

    def _write(self, data: bytes) -> None:
        """All of `data` durably, or, on a full disk, none of it and the OSError."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    # The file that has the name ---------------------------------------------------------------------------------------

    def _check(self) -> None:
        """The file at `path` is ours and as we left it, or is made so again by who has the lease; SweepError by anyone else."""
        if self._guard is not None:
            self._guard()
        if self._is_ours():
            return
        if self._guard is None:
            raise SweepError(f"{self.path} was written by another process", remedy="run one driver a sweep; resume with --resume")
        self._mend()

    def _is_ours(self) -> bool:
        here = os.fstat(self._file.fileno())
        try:
            return here.st_size == self._end and os.path.samestat(here, self.path.stat())
        except FileNotFoundError:
            return False

    def _mend(self) -> None:
        """An older driver's write came by the name, or its file took the name: its bytes are set aside, ours are the journal."""
        written = _whole(self._file)
        ours, late = written[: self._end], written[self._end :]
        count = sum(isinstance(item, Entry) for item in scan(io.BytesIO(ours), self.path))
        if len(ours) < self._end or count != self._count:
            raise damage(self.path, 0, f"{self._count} events were written there, and {count} are left")
        why = "it was written by another driver after this one had taken over"
        if late:
            self._set_aside(late, "late", f"{len(late)} bytes from byte {self._end} on: {why}")
        with contextlib.suppress(FileNotFoundError):
            found = _content(self.path)
            if not written.startswith(found):
                self._set_aside(found, "late", f"a file of {len(found)} bytes in the journal's place: {why}")
        self._own(ours)

    def _own(self, content: bytes) -> None:
        """Give the journal, with this content, a file of its own."""
        assert self._guard is not None
        with contextlib.ExitStack() as unless_named:
            with replacing(self.path) as temporary:
                temporary.write_bytes(content)
                file = unless_named.enter_context(temporary.open("a+b", buffering=0))
                self._guard()
            unless_named.pop_all()
        self._file.close()
        self._file = file

    def _set_aside(self, data: bytes, kind: str, what: str) -> None:
        """Keep bytes that count for nothing beside the journal, durably, before they are cut out of it."""
        number = 1
        while True:
            aside = self.path.with_name(f"{self.path.name}.{kind}-{number}")
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                break
            except FileExistsError:
                number += 1
        fsync_folder(self.path.parent)
        self._say(f"{self.path} does not count {what}; kept as {aside.name}")


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=regular) as file:
        return file.read()


def _whole(file: IO[bytes]) -> bytes:
    """All bytes of the open file."""
    content, handle = bytearray(), file.fileno()
    while piece := os.pread(handle, 1 << 20, len(content)):
        content += piece
    return bytes(content)

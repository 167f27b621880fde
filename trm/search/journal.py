"""The journal: one checksummed, fsynced line an event. It is the truth; everything else is rebuilt from it.

A line is `{"n":7,"crc":"89abcdef","event":{...}}`: n counts from 0, crc is CRC-32 of `7:` and the event's text.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from trm.atomic import fsync_folder
from trm.errors import SweepError
from trm.search.events import EVENT, Event


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    n: int
    event: Event
    end: int
    """Byte offset just behind the line: where to read on."""


def read_events(path: str | Path, offset: int = 0) -> Iterator[Entry]:
    """Entries from byte `offset` (an `Entry.end`, or 0) on; stops before a torn tail, so a living journal can be followed.

    SweepError when a line is broken and an intact one follows it, or when the numbers have a gap.
    """
    for item in _scan(path, offset):
        if isinstance(item, Entry):
            yield item


class Journal:
    """The journal opened for writing, by one process at a time; the torn tail of a killed writer is cut."""

    def __init__(self, path: str | Path, *, guard: Callable[[], None] | None = None) -> None:
        """Opens or creates `path`. `guard` is called before every write and raises when the writer lost its right to write."""
        self.path = Path(path)
        self._guard = guard
        is_new = not self.path.exists()
        self._file: IO[bytes] = self.path.open("ab", buffering=0)
        self._count, self._end = 0, 0
        self._opening: list[Event] = []
        try:
            self._read_whole()
        except BaseException:
            self._file.close()
            raise
        if is_new:
            fsync_folder(self.path.parent)

    def _read_whole(self) -> None:
        for item in _scan(self.path, 0):
            if isinstance(item, Entry):
                self._count, self._end = item.n + 1, item.end
                self._opening.append(item.event)
        if os.fstat(self._file.fileno()).st_size != self._end:
            self._file.truncate(self._end)
            os.fsync(self._file.fileno())

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
        """Writes `events`; they are durable when this returns. SweepError when another process wrote meanwhile."""
        if not events:
            return
        if self._guard is not None:
            self._guard()
        if os.fstat(self._file.fileno()).st_size != self._end:
            raise SweepError(f"{self.path} was written by another process", remedy="run one driver a sweep; resume with --resume")
        data = b"".join(_line(self._count + index, event) for index, event in enumerate(events))
        self._write(data)
        self._count += len(events)
        self._end += len(data)

    def _write(self, data: bytes) -> None:
        """All of `data` durably, or, on a full disk, none of it and the OSError."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._end)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _line(n: int, event: Event) -> bytes:
    payload = EVENT.dump_json(event)
    return b'{"n":%d,"crc":"%08x","event":%b}\n' % (n, _checksum(n, payload), payload)


def _checksum(n: int, payload: bytes) -> int:
    return zlib.crc32(b"%d:%b" % (n, payload))


@dataclass(frozen=True)
class _Broken:
    start: int


def _scan(path: str | Path, offset: int) -> Iterator[Entry | _Broken]:
    """Every line from `offset`; a broken tail as one _Broken at its end."""
    if not Path(path).exists():
        raise SweepError(f"{path} does not exist", remedy="give the folder of a sweep")
    broken: _Broken | None = None
    expected: int | None = 0 if offset == 0 else None
    with Path(path).open("rb") as handle:
        handle.seek(offset)
        for line in handle:
            if not line.endswith(b"\n"):  # torn, or being written at this moment: what follows is no line of its own
                broken = broken or _Broken(offset)
                break
            start, offset = offset, offset + len(line)
            entry = _parsed(line, offset)
            if entry is None:
                broken = broken or _Broken(start)
                continue
            if broken is not None:
                raise SweepError(
                    f"{path} is corrupt at byte {broken.start}: a broken line with intact ones after it",
                    remedy="restore the file from a copy; events there cannot be told from what is left",
                )
            if expected is not None and entry.n != expected:
                raise SweepError(f"{path} is corrupt at byte {start}: event {expected} is missing", remedy="restore it from a copy")
            expected = entry.n + 1
            yield entry
    if broken is not None:
        yield broken


def _parsed(line: bytes, end: int) -> Entry | None:
    head, separator, tail = line.partition(b',"event":')
    if not separator or not tail.endswith(b"}\n") or not head.startswith(b'{"n":'):
        return None
    payload = tail[:-2]
    number, _, checksum = head[5:].partition(b',"crc":')
    if not number.isdigit() or checksum != b'"%08x"' % _checksum(int(number), payload):
        return None
    try:
        return Entry(int(number), EVENT.validate_json(payload), end)
    except ValidationError as error:
        raise SweepError(
            f"event {int(number)} of the journal is not one this version knows: {error.errors()[0]['msg']}",
            remedy="resume with the version of trm that wrote it (sweep_started names it)",
        ) from error

"""The lines of a journal as they lie in the file: what an event is, what counts for nothing, what is damage.

A line is `{"n":7,"fence":2,"crc":"89abcdef","event":{...}}`: n counts from 0, the fence is that of the driver that wrote it, crc
is CRC-32 of `7:2:` and the event's text. Journals of before fences say neither `"fence":2` nor `2:`; such a line has fence 0.

Only the last append can be unfinished, and it ends without a newline. A whole line is right or it is damage, but for one: a line
of an older driver behind one of a newer, which had taken the sweep over while the older one's write was on its way.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from trm.errors import FolderError, SweepError
from trm.files.contained import regular
from trm.search.journal.events import EVENT, Event

LINE = re.compile(rb'\{"n":(\d{1,15}),(?:"fence":(\d{1,15}),)?"crc":"([0-9a-f]{8})","event":(.*)\}\n', re.DOTALL)
BEGINNING = re.compile(rb'\{"n":(\d*|\d+,.*)', re.DOTALL)
START = b'{"n":'


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    n: int
    event: Event
    end: int
    """Byte offset just behind the line: where to read on."""
    fence: int = 0
    """Of the driver that wrote it; 0: it does not say."""


@dataclass(frozen=True)
class Unread:
    """A piece of the file that counts for nothing."""

    start: int
    end: int
    kind: Literal["unfinished", "zeroed", "late"]
    """An append that was cut off; one whose bytes never reached the disk; what an older driver wrote after a newer one began."""

    @property
    def text(self) -> str:
        """What it is, in words."""
        what = {
            "unfinished": "a line that was not finished",
            "zeroed": "a piece with zeros in it, which no append leaves on a disk that keeps its word",
            "late": "written by an older driver after a newer one had taken over",
        }
        return f"{self.end - self.start} bytes from byte {self.start} on: {what[self.kind]}"


def line_of(n: int, fence: int, event: Event) -> bytes:
    """The event as a line."""
    payload = EVENT.dump_json(event)
    said = b'"fence":%d,' % fence if fence else b""
    return b'{"n":%d,%b"crc":"%08x","event":%b}\n' % (n, said, _checksum(n, fence, payload), payload)


def scan(lines: Iterable[bytes], path: Path, after: Entry | int = 0) -> Iterator[Entry | Unread]:
    """What the `lines` of the file are, which begin at the byte `after`, or behind an entry.

    SweepError, naming the byte, at the first line that is damaged, and where numbers have a gap.
    """
    known = after if isinstance(after, Entry) else None
    offset = after.end if isinstance(after, Entry) else after
    expected = known.n + 1 if known is not None else None if offset else 0
    newest = known.fence if known is not None else 0
    for line in lines:
        start, offset = offset, offset + len(line)
        if not line.endswith(b"\n"):
            yield _tail(line, start, path)
            return
        entry = _parsed(line, offset)
        if entry is None:
            glued = _behind_a_late_piece(line, offset, expected, newest)
            if glued is None:
                raise damage(path, start, "the line there is not as it was written")
            yield Unread(start, start + glued[0], "late")
            entry = glued[1]
        if entry.fence < newest:
            yield Unread(start, offset, "late")
            continue
        if expected is not None and entry.n != expected:
            raise damage(path, start, f"event {expected} is missing")
        expected, newest = entry.n + 1, entry.fence
        yield entry


def holds_events(path: Path) -> bool:
    """Whether the file has a line, or what once was one; the unfinished first line of a killed driver is none.

    One that may not be read counts: it is somebody's. A link or a pipe does not.
    """
    try:
        with open(path, "rb", opener=regular) as handle:
            first = handle.readline()
    except (FileNotFoundError, NotADirectoryError, FolderError):
        return False
    except PermissionError:
        return True
    return first.endswith(b"\n") or b"\0" in first or not _is_beginning(first)


def damage(path: Path, start: int, what: str) -> SweepError:
    """What a journal that is not as it was written is refused with."""
    whole = f", or keep a copy, give up what follows by `truncate -s {start} {path}`, and resume" if start else ""
    return SweepError(f"{path} is corrupt at byte {start}: {what}", remedy=f"restore it from a copy{whole}")


def _tail(piece: bytes, start: int, path: Path) -> Unread:
    """What lies behind the last newline: the beginning of a line, and zeros where the disk got no more of it."""
    head, zero, _ = piece.partition(b"\0")
    if not _is_beginning(head):
        raise damage(path, start, "what stands there is neither a line nor the beginning of one")
    return Unread(start, start + len(piece), "zeroed" if zero else "unfinished")


def _is_beginning(piece: bytes) -> bool:
    """Whether an append that was cut off can have left the piece: behind a whole line there would be a newline."""
    try:
        _, end = json.JSONDecoder().raw_decode(piece.decode("latin-1"))
    except (ValueError, RecursionError):
        end = len(piece)
    return end == len(piece) and (BEGINNING.fullmatch(piece) is not None or START.startswith(piece))


def _behind_a_late_piece(line: bytes, end: int, expected: int | None, newest: int) -> tuple[int, Entry] | None:
    """The entry that follows in the same line on a half line of an older driver, and where it begins; None where there is none.

    Its number and its fence say that nothing is missing before it.
    """
    place = line.find(START, 1)
    while place > 0 and expected is not None:
        entry = _parsed(line[place:], end)
        if entry is not None and entry.n == expected and entry.fence >= newest and entry.fence > 0:
            return place, entry
        place = line.find(START, place + 1)
    return None


def _checksum(n: int, fence: int, payload: bytes) -> int:
    return zlib.crc32(b"%d:%d:%b" % (n, fence, payload) if fence else b"%d:%b" % (n, payload))


def _parsed(line: bytes, end: int) -> Entry | None:
    """The entry of a whole line, which ends at byte `end`; None when it is not as it was written."""
    match = LINE.fullmatch(line)
    if match is None:
        return None
    n, fence, payload = int(match[1]), int(match[2] or 0), match[4]
    if int(match[3], 16) != _checksum(n, fence, payload) or (match[2] is not None and not fence):
        return None
    try:
        return Entry(n, EVENT.validate_json(payload), end, fence)
    except ValidationError as error:
        raise SweepError(
            f"event {n} of the journal is not one this version knows: {error.errors()[0]['msg']}",
            remedy="resume with the version of trm that wrote it (sweep_started names it)",
        ) from error

"""Standard output and error that never end the work, and never show a secret: what cannot be written is lost, the work goes on.

A closed pipe (`| head`), a full disk, a terminal that went away, a reader that stopped reading and letters that a locale lacks are
all met here, below everything that prints: our own lines, rich, logging, warnings, tracebacks, the flush at the interpreter's end.
"""

import errno
import io
import os
import re
import select
import sys
from typing import Any

from trm.console.lines import formed, keep
from trm.console.redaction import redacted

PATIENCE_SECONDS = 2.0
"""So long may a line of progress wait for who does not read on (Ctrl-S, a pager); a result waits as long as it takes."""
GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET}
"""Nobody is there any more; after other errors, as of a full disk, the next line is tried."""
LEAST_COLUMNS = 20
AT_A_TIME_BYTES = select.PIPE_BUF
"""Whoever can be written to at all takes so many without holding up."""
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but for tab and newline: ESC begins what a terminal obeys
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turn the direction of writing
    "\u2028\u2029\ud800-\udfff\U000e0000-\U000e007f]"  # other line ends, halves of characters, invisible ones
)
_UNINDENTED = re.compile("\n(?!  )")
UNREAD = b"\n[some lines are missing here: nobody read on]\n"


class _Steady(io.RawIOBase):
    """Bytes for a file descriptor; a write takes everything and raises nothing."""

    def __init__(self, descriptor: int, name: str, patience_seconds: float | None) -> None:
        self.name, self._descriptor, self._patience = name, descriptor, patience_seconds
        self._is_gone = self._is_unread = False
        self.failure: OSError | None = None
        """The first one."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        taken = len(view)
        try:
            if self._is_unread and self._waits(0.0):
                self._is_unread = False
                os.write(self._descriptor, UNREAD)
            while view and not self._is_gone:
                view = view[self._some(view) :]
        except OSError as error:
            self.failure = self.failure or error
            self._is_gone = error.errno in GONE
        return taken

    def _some(self, view: memoryview) -> int:
        """Bytes that were written, or given up."""
        if self._patience is not None and not self._waits(0.0 if self._is_unread else self._patience):
            self._is_unread = True
            return len(view)
        try:
            return os.write(self._descriptor, view[:AT_A_TIME_BYTES])
        except BlockingIOError:  # another process made the terminal one that does not wait
            self._waits(self._patience)
            return 0

    def _waits(self, seconds: float | None) -> bool:
        """Whether a write would go through at once, within so many seconds."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(None if seconds is None else 1000 * seconds))


def say(text: str) -> None:
    """A line for the person who waits, on standard error, and in the records."""
    text = one_message(text)
    keep(text)
    print(formed(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """`text` with what a terminal would obey, or show elsewhere than it stands, written as escapes; newlines and tabs stay."""
    return _COMMANDS.sub(_escaped, text)


def one_message(text: str) -> str:
    """As `printable`, and of the newlines only those stay that go before our own indented lines: a name cannot begin another."""
    return _UNINDENTED.sub(r"\\n", printable(text))


def one_line(text: str) -> str:
    """As `printable`, on one line."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def steady_output() -> None:
    """From here on writing to standard output or error never raises; call it before anything else is imported or opened.

    A standard stream that was closed at the start is the null device: its number would go to the next file that is opened, and
    what any library writes there with it. Streams that somebody put in the place of the interpreter's own stay as they are.
    """
    for descriptor in range(3):
        _fill(descriptor)
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) < LEAST_COLUMNS:
        del os.environ["COLUMNS"]  # of a program that is no terminal; tables would be empty
    if sys.stdout is sys.__stdout__ and not _is_steady(sys.stdout):
        sys.stdout = _text(sys.stdout, _Steady(1, "<stdout>", None))
    if sys.stderr is sys.__stderr__ and not _is_steady(sys.stderr):
        sys.stderr = _text(sys.stderr, _Steady(2, "<stderr>", PATIENCE_SECONDS))


def result_lost() -> str | None:
    """Why what was written to standard output did not arrive; None where it did, or where its reader left of itself (`| head`)."""
    raw = getattr(sys.stdout, "buffer", None)
    if not isinstance(raw, _Steady):
        return None
    sys.stdout.flush()
    return None if raw.failure is None or raw.failure.errno in GONE else raw.failure.strerror


def _fill(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one


def _is_steady(stream: Any) -> bool:
    return isinstance(getattr(stream, "buffer", None), _Steady)


class _Discreet(io.TextIOWrapper):
    """Text that shows no secret, whoever wrote it: errors of libraries quote addresses, and tracebacks quote errors."""

    def write(self, text: str) -> int:
        super().write(redacted(text))
        return len(text)


def _text(before: Any, raw: _Steady) -> io.TextIOWrapper:
    if before is not None:
        try:
            before.flush()
        except OSError as error:
            raw.failure = error
    return _Discreet(
        raw,  # as the interpreter does it for `python -u`
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        newline="\n",
        line_buffering=before is None or before.line_buffering,
        write_through=before is not None and before.write_through,
    )

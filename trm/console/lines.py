"""The form of what a job says: lines for a person or JSON objects for a machine, and files that keep the lines with their time."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from trm.console.redaction import redacted


class _Form:
    """Of this process's lines."""

    is_json = False
    records: tuple[IO[str], ...] = ()


def say_json() -> None:
    """From here on each line that this process says is a JSON object."""
    _Form.is_json = True


def is_json() -> bool:
    """Whether lines are for a machine: then nothing is drawn."""
    return _Form.is_json


def formed(text: str, facts: Mapping[str, Any] | None = None) -> str:
    """The line that says `text`: as it is, or as an object with its time, its `message` and `facts`."""
    if not _Form.is_json:
        return text
    return json.dumps({"time": _now().isoformat(timespec="milliseconds"), "message": text, **(facts or {})}, default=str)


def time_of_day() -> str:
    """Date and time here, to the second."""
    return f"{_now():%Y-%m-%d %H:%M:%S}"


def keep(text: str) -> None:
    """Write `text` into the records, without its secrets; a file that cannot be written misses it."""
    for record in _Form.records:
        with contextlib.suppress(OSError, ValueError):
            record.write(f"{time_of_day()}  {redacted(text)}\n")
            record.flush()


@contextlib.contextmanager
def recorded(path: Path) -> Iterator[None]:
    """While entered, what this process says is appended to a file; nothing where it cannot be opened, or is a link."""
    before = _Form.records
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
            record = stack.enter_context(open(handle, "w", encoding="utf-8", errors="backslashreplace"))
            _Form.records = (*before, record)
        try:
            yield
        finally:
            _Form.records = before
            with contextlib.suppress(OSError):  # a full disk
                stack.close()


def _now() -> datetime:
    return datetime.now().astimezone()

"""What a task elsewhere says of its work while it works: lines for the person who waits, and how far it is."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from trm.console.long_work import Report, silent

HEARD_SECONDS = 1.0
"""The driver asks so often."""
SAID_SECONDS = 0.5
"""A task tells how far it is at most so often."""
Said = tuple[list[str], tuple[str, int, int] | None]


class Ear:
    """Keeps what was said until it is heard."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._stage = ""
        self._parts: dict[str, tuple[int, int]] = {}

    def say(self, text: str) -> None:
        """A line."""
        self._lines.append(text)

    def report(self, stage: str, done: int, total: int, part: str = "") -> None:
        """How far a part of the work is."""
        if stage != self._stage:
            self._stage, self._parts = stage, {}
        self._parts[part] = done, total

    def heard(self) -> Said:
        """The lines since the last call, and the newest stage, all its parts together."""
        lines, self._lines = self._lines, []
        if not self._parts:
            return lines, None
        done, total = (sum(counts) for counts in zip(*self._parts.values(), strict=True))
        return lines, (self._stage, done, total)


@dataclass
class Mouth:
    """What a remote task is handed to be heard by; calls return at once, and raise nothing when nobody hears any more."""

    ear: ActorHandle
    _reported_at: float = field(default=0.0, init=False)

    def say(self, text: str) -> None:
        """A line for the person who waits."""
        with suppress(RayError):
            self.ear.say.remote(text)

    def report(self, stage: str, done: int, total: int, part: str = "") -> None:
        """How far a part of the work is; too often costs nothing, but its end is always said."""
        if done == total or time.monotonic() - self._reported_at >= SAID_SECONDS:
            self._reported_at = time.monotonic()
            with suppress(RayError):
                self.ear.report.remote(stage, done, total, part)


@contextmanager
def heard(say: Callable[[str], None], report: Report = silent) -> Iterator[Mouth]:
    """A `Mouth` for remote tasks; while the block runs, `say` and `report` get what they say, from a thread of its own."""
    ear = ray.remote(num_cpus=0)(Ear).remote()
    over = threading.Event()
    thread = threading.Thread(target=_listen, args=(ear, over, say, report), name="hearing", daemon=True)
    thread.start()
    try:
        yield Mouth(ear)
    finally:
        over.set()
        thread.join()
        with suppress(RayError):
            ray.kill(ear)


def _listen(ear: ActorHandle, over: threading.Event, say: Callable[[str], None], report: Report) -> None:
    is_last = False
    while not is_last:
        is_last = over.wait(HEARD_SECONDS)
        try:
            lines, stage = ray.get(ear.heard.remote(), timeout=5.0)
        except RayError:  # Ray is at its end, or busy: what is said is no more than progress
            continue
        for line in lines:
            say(line)
        if stage is not None:
            report(*stage)

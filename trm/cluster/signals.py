"""Ctrl-C and `ray job stop`: the first asks legs to stop and save, and the job ends within the time it is given."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from trm.errors import EXIT_INTERRUPTED

INTERRUPT_GRACE_SECONDS = 10.0
"""After Ctrl-C legs may finish a step, save and return."""
TERMINATE_GRACE_SECONDS = 1.0
"""After SIGTERM (a Ray job has 3 s until SIGKILL) they may too, if they are quick."""
TERMINATE_EXIT_SECONDS = 2.3
"""After SIGTERM the process ends by then, whatever else hangs; the journal is whole at every moment."""


class StopSignals:
    """Holds the handlers of SIGINT and SIGTERM while it is entered; enter it after `ray.init`, which sets its own.

    A second Ctrl-C ends the process at once.
    """

    def __init__(self, at_exit: Callable[[], None]) -> None:
        """`at_exit` is called before the process is ended the hard way; it must be quick."""
        self._at_exit = at_exit
        self._requested_at: float | None = None
        self._grace = INTERRUPT_GRACE_SECONDS
        self._before: dict[int, object] = {}
        self.name = ""
        """Name of the signal that came."""

    @property
    def is_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._requested_at is not None

    @property
    def is_grace_over(self) -> bool:
        """Whether legs have had the time they get."""
        return self._requested_at is not None and time.monotonic() - self._requested_at > self._grace

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested_at is not None and number == signal.SIGINT:
            self._leave()
        if self._requested_at is None:
            self._requested_at = time.monotonic()
            self.name = signal.Signals(number).name
        if number == signal.SIGTERM:
            self._grace = TERMINATE_GRACE_SECONDS
            timer = threading.Timer(TERMINATE_EXIT_SECONDS, self._leave)
            timer.daemon = True
            timer.start()

    def _leave(self) -> None:
        try:
            self._at_exit()
        finally:
            os._exit(EXIT_INTERRUPTED)

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

"""Ctrl-C, a terminal that goes away, `ray job stop`: the first asks legs to stop and save; the job ends in the time it is given."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from trm.errors import EXIT_INTERRUPTED
from trm.terminal.command_line import heard_hangup

INTERRUPT_GRACE_SECONDS = 10.0
"""After Ctrl-C, or without their terminal, legs may finish a step, save and return."""
TERMINATE_SECONDS = 3.0
"""So long after SIGTERM a Ray job gets SIGKILL, unless RAY_JOB_STOP_WAIT_TIME_S says otherwise."""
TERMINATE_GRACE_SHARE, LEAVING_SECONDS = 1 / 3, 2.0
"""For this share of it, or for all but so many seconds, legs may finish a step and save."""
TERMINATE_EXIT_SHARE, MARGIN_SECONDS = 0.77, 0.7
"""And by then, or so long before its end, the process ends, whatever else hangs; the journal is whole at every moment."""


def _terminate_seconds() -> float:
    try:
        return max(0.0, float(os.environ.get("RAY_JOB_STOP_WAIT_TIME_S", TERMINATE_SECONDS)))
    except ValueError:
        return TERMINATE_SECONDS


class StopSignals:
    """Holds the handlers of SIGINT, SIGTERM and SIGHUP while it is entered; enter it after `ray.init`, which sets its own.

    A second Ctrl-C ends the process at once.
    """

    def __init__(self, at_exit: Callable[[], None], what_was_lost: Callable[[], str | None] = lambda: None) -> None:
        """`at_exit` is called before the process is ended the hard way; it must be quick.

        `what_was_lost` names what the work cannot go on without and has lost, where that and no person sent the signal.
        """
        self._at_exit, self._what_was_lost = at_exit, what_was_lost
        self._requested_at: float | None = None
        self._grace = INTERRUPT_GRACE_SECONDS
        self._before: dict[int, object] = {}
        self.name = ""
        """Name of the signal that came, or what was lost."""

    @property
    def is_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._requested_at is not None

    @property
    def remedy(self) -> str:
        """What a person who cannot wait may do, as the end of a sentence."""
        return "; once more ends them at once" if self.name == "SIGINT" else ""

    @property
    def is_grace_over(self) -> bool:
        """Whether legs have had the time they get."""
        return self._requested_at is not None and time.monotonic() - self._requested_at > self._grace

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._requested_at is not None and number == signal.SIGINT:
            self._leave()
        if self._requested_at is None:
            self._requested_at = time.monotonic()
            self.name = self._what_was_lost() or signal.Signals(number).name
        if number == signal.SIGTERM:
            seconds = _terminate_seconds()
            self._grace = max(TERMINATE_GRACE_SHARE * seconds, seconds - LEAVING_SECONDS)
            timer = threading.Timer(max(TERMINATE_EXIT_SHARE * seconds, seconds - MARGIN_SECONDS), self._leave)
            timer.daemon = True
            timer.start()

    def _leave(self) -> None:
        try:
            self._at_exit()
        finally:
            os._exit(EXIT_INTERRUPTED)

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM, *heard_hangup()):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

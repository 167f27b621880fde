"""The driver's handle on MLflow's writer: it starts the process, starts it again when it dies or hangs, and lets it finish."""

import contextlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trm.console.redaction import redacted
from trm.errors import EXIT_DONE, EXIT_FAILED
from trm.tracking.outbox import LAST_TRY_SECONDS
from trm.tracking.places import Target, program
from trm.tracking.store_files import EXIT_AGAIN

RESTART_SECONDS = (0.0, 2.0, 10.0, 60.0, 300.0)
"""Pauses before the writer is started again; after so many ends it is left alone."""
STEADY_SECONDS = 3600.0
"""One that lived so long has its ends forgotten."""
HANG_SECONDS = 180.0
"""So long without a sign of life, and it hangs: a call of MLflow takes seconds, its first import a minute on a busy machine."""
CLOSE_SECONDS = 30.0
"""So long an exit waits for what is still to be sent."""
TOLD_SECONDS = 2.0, 10.0
"""A wait is told after the first, then as often as the second."""


class MlflowWriter:
    """The one writer of a sweep; nothing here waits for MLflow but `close`, which is bounded."""

    def __init__(self, target: Target, *, is_early: bool = False) -> None:
        """`is_early`: its process only imports MLflow, which takes seconds, until `begin`."""
        self._target, self._has_begun = target, not is_early
        self._said: deque[str] = deque()
        self._is_reported = self._has_refused = self._is_closed = False
        self._left: str | None = None
        self._sent = ""
        self._ends = 0
        self._again_at: float | None = None
        """When it is started next; None while it runs, and when it is left alone."""
        self._start()

    def begin(self) -> None:
        """The folder is there: send what it holds."""
        if not self._has_begun:
            self._has_begun, self._heard_at = True, time.monotonic()
            self._tell(asdict(self._target))

    def give_up(self) -> None:
        """End a process that was started early, and never told of a folder."""
        if not self._has_begun:
            self._is_closed = True
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # type: ignore[union-attr]
            self._process.kill()
            self._process.wait()
            self._reader.join(1.0)

    def messages(self) -> list[str]:
        """What a person should hear since the last call; looks after the process, costs nothing, never waits."""
        now = time.monotonic()
        if self._is_closed:
            pass
        elif self._again_at is not None and now >= self._again_at:
            self._start()
        elif self._process.poll() is not None and self._again_at is None and self._ends < len(RESTART_SECONDS):
            self._on_end(now)
        elif self._process.poll() is None and now - self._heard_at > HANG_SECONDS:
            self._process.kill()
        return [self._said.popleft() for _ in range(len(self._said))]

    def close(self, timeout_seconds: float = CLOSE_SECONDS, tell: Callable[[str], None] = lambda text: None) -> str | None:
        """Let the writer send the rest and the sweep's files, at most so long; a message when something is left, else None.

        `tell` hears of a wait how far it is. A writer that died is started once more for the rest.
        """
        self._is_closed = True
        bound = min(timeout_seconds, LAST_TRY_SECONDS) if self._is_reported else timeout_seconds
        deadline = time.monotonic() + bound + 1.0
        code = self._closed(timeout_seconds, deadline, tell)
        while code not in (EXIT_DONE, EXIT_FAILED) and self._ends < len(RESTART_SECONDS) and time.monotonic() < deadline:
            self._ends += 1
            self._start()
            code = self._closed(timeout_seconds, deadline, tell)
        if code == EXIT_DONE:
            return None
        return f"MLflow did not take everything ({self._left or 'it was slow to answer'}). {self._remedy()}"

    def _start(self) -> None:
        self._again_at = None
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "trm.tracking.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for the driver; the writer hears of its end by the closed pipe
        )
        self._started_at = self._heard_at = time.monotonic()
        if self._has_begun:
            self._tell(asdict(self._target))
        self._reader = threading.Thread(target=self._listen, args=[self._process], daemon=True)
        self._reader.start()

    def _on_end(self, now: float) -> None:
        code = self._process.returncode
        if now - self._started_at > STEADY_SECONDS:
            self._ends = 0
        pause = RESTART_SECONDS[self._ends]
        self._ends += 1
        if self._ends < len(RESTART_SECONDS):
            self._again_at = now + pause
            if code != EXIT_AGAIN:
                self._said.append(f"the MLflow writer ended with code {code} and is started again; {self._goes_on}")
        else:
            self._said.append(f"the MLflow writer ended with code {code}, as before; {self._goes_on}. {self._remedy()}")

    def _closed(self, timeout_seconds: float, deadline: float, tell: Callable[[str], None]) -> int | None:
        """Exit code of the process after it was told to finish; None when it did not by the deadline, and was ended."""
        self._tell({"close": max(0.0, min(timeout_seconds, deadline - time.monotonic()))})
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        next_told = time.monotonic() + TOLD_SECONDS[0]
        code = None
        while code is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(max(0.0, min(0.2, deadline - time.monotonic())))
            if code is None and time.monotonic() >= next_told:
                next_told = time.monotonic() + TOLD_SECONDS[1]
                so_far = f" ({self._sent})" if self._sent else ""
                tell(f"MLflow gets the rest{so_far}, for {max(0.0, deadline - time.monotonic()):.0f} s at most")
        if code is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(1.0)
        return code

    @property
    def _goes_on(self) -> str:
        return f"the {self._target.subject} goes on"

    def _remedy(self) -> str:
        command = f"{program('python')} -m trm.tracking.writer {shlex.quote(self._target.folder)}"
        is_beside = self._target.is_storages_own and Path(self._target.folder).parent == Path(self._target.storage)
        if not is_beside and "MLFLOW_TRACKING_URI" not in os.environ:
            command += f" --uri {shlex.quote(redacted(self._target.uri))}"
        return f"Nothing is lost: the rest goes out with --resume or `{command}`"

    def _tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it ended already, which messages() tells
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._heard_at = time.monotonic()
                try:
                    kind, text = json.loads(line)
                except ValueError:  # what a library printed there
                    continue
                self._hear(kind, text)

    def _hear(self, kind: str, text: str) -> None:
        if kind == "sent":
            self._sent = text or self._sent
            if text:  # a writer that was started again does not know that the one before it had failed
                self._recovered()
        elif kind == "problem" and not self._is_reported:
            self._is_reported = True
            kept = f"{self._goes_on}, its {'journal' if self._target.subject == 'sweep' else 'folder'} keeps it all"
            self._said.append(f"MLflow at {redacted(self._target.uri)} fails ({text}); {kept}")
        elif kind == "refused" and not self._has_refused:
            self._has_refused = True
            self._said.append(f"MLflow refused a part of one run ({text}) and maybe more; the journal keeps it")
        elif kind == "recovered":
            self._recovered()
        elif kind == "again":
            self._said.append(f"MLflow: {text}")
        elif kind == "left":
            self._left = text

    def _recovered(self) -> None:
        if self._is_reported:
            self._is_reported = False
            self._said.append("MLflow answers again")

"""`report.html` while a sweep runs: a process of its own follows the journal, and takes below 1 % of the workers' time.

The driver holds a pipe to it and otherwise takes no notice: it starts the process late, so that a short sweep never meets it, and
ends it before it writes the last page by itself. When the pipe closes because the driver was killed or left in order, one last page
says so; a driver that leaves early starts the process for that page alone.
"""

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trm.errors import EXIT_DONE, SweepError
from trm.files.atomic import is_unfinished
from trm.files.own_cache import give_home
from trm.pages.page import write_page
from trm.pages.sweep import REPORT
from trm.sweeps.report import FollowedSweep

SHARE = 0.008
"""Of the workers' seconds, what the process may take of a processor's, its imports among them."""
LEAST_BEGIN_SECONDS, BEGIN_WORKER_SECONDS = 120.0, 400.0
"""The process starts when so much time has passed, and so many workers' seconds: its imports are paid for then."""
LEAST_REST_SECONDS = 10.0
TICK_SECONDS = 1.0
LAST_WORDS_SECONDS = 1.0
"""A driver that leaves in order says so in the journal, after the pipe is closed."""
MOST_STARTS = 3
FIRST_PAGE_SECONDS = 1.0
"""What the first page is taken to cost."""


@dataclass
class Allowance:
    """When a page may be made: what was spent and what it will take stay within `SHARE` of the workers' seconds."""

    worker_seconds: float = 0.0

    def pass_time(self, seconds: float, slots: int) -> None:
        """So much time went by with so many legs side by side."""
        self.worker_seconds += max(0.0, seconds) * slots

    def allows(self, spent: float, expected: float) -> bool:
        """Whether a page of `expected` seconds may follow `spent` ones."""
        return spent + expected <= SHARE * self.worker_seconds


class ReportWriter:
    """The writer's process, as a driver holds it."""

    def __init__(self, folder: Path, slots: int) -> None:
        """It starts by itself when it is worth it; nothing here takes the driver any time."""
        self._folder = folder
        self._delay = max(LEAST_BEGIN_SECONDS, BEGIN_WORKER_SECONDS / max(1, slots))
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._watch, name="report", daemon=True).start()

    def end(self) -> None:
        """The driver writes the page from here on: the process is gone when this returns, and no half of a page is left."""
        self._is_over.set()
        with self._lock:
            process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._hang_up()
            with contextlib.suppress(OSError):
                for path in self._folder.iterdir():
                    if path.name.startswith(f".{REPORT}.{process.pid}-") and is_unfinished(path.name):
                        path.unlink(missing_ok=True)

    def leave(self) -> None:
        """The driver leaves before the end: the process, started if there is none, writes what is known then and ends by itself."""
        with self._lock:
            self._is_over.set()
            if self._process is None or self._process.poll() is not None:
                with contextlib.suppress(OSError):
                    self._process = self._started()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def _watch(self) -> None:
        for _ in range(MOST_STARTS):
            if self._is_over.wait(self._delay):
                break
            with self._lock:
                if self._is_over.is_set():
                    break
                try:
                    self._process = self._started()
                except OSError:  # no memory, no process: the last page is the driver's
                    return
            self._process.wait()
        with self._lock:
            process = self._process
        if process is not None:  # a process that was started to say that the driver leaves
            process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "trm.sweeps.report_writer", str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the driver; the process hears of its end by the closed pipe
        )


@contextmanager
def reported(folder: Path, slots: int) -> Iterator[None]:
    """While entered, the page of the sweep is written now and then; who leaves by an error has a last one written."""
    writer = ReportWriter(folder, slots)
    try:
        yield
    except BaseException:
        writer.leave()
        raise
    writer.end()


def main(arguments: list[str]) -> int:
    """The writer's process, until its standard input ends."""
    os.nice(10)  # trials come first
    give_home()
    followed = FollowedSweep(Path(arguments[0]))
    followed.read()
    state, allowance, known = followed.state, Allowance(), -1
    began = state.driver.at if state.driver is not None else time.time()
    allowance.pass_time(time.time() - began, state.slots)
    expected, looked_at = FIRST_PAGE_SECONDS, -LEAST_REST_SECONDS
    before = time.monotonic()
    while not select.select([sys.stdin], [], [], TICK_SECONDS)[0]:
        now = time.monotonic()
        allowance.pass_time(now - before, followed.state.slots)
        before = now
        if now - looked_at < LEAST_REST_SECONDS or not allowance.allows(time.process_time(), expected):
            continue
        start, looked_at = time.process_time(), now
        if followed.read() != known:
            known = followed.state.events
            _write(followed)
            expected = time.process_time() - start
    time.sleep(LAST_WORDS_SECONDS)
    followed.read()
    _write(followed)
    return EXIT_DONE


def _write(followed: FollowedSweep) -> None:
    with contextlib.suppress(OSError):  # a full disk: the old page stays, whole, and the next one may fit
        write_page(followed.page(), followed.folder / REPORT)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SweepError:  # the driver says the same and stops
        sys.exit(EXIT_DONE)

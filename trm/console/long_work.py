"""Long work shows how far it is: nothing while it is short, then a bar where somebody watches, a line now and then in a log."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trm.console.lines import is_json

FIRST_SECONDS, FIRST_LINE_SECONDS = 2.0, 5.0
"""Work that takes no longer shows nothing: no bar, no line."""
BAR_SECONDS = 0.25
LINE_SECONDS, LATER_LINE_SECONDS = 10.0, 30.0
"""Between lines, in the first two minutes and afterwards."""
LATER_SECONDS = 120.0


@runtime_checkable
class Report(Protocol):
    """Told how far long work is, from any thread; costs next to nothing."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` pieces of `stage` are ready."""


def silent(stage: str, done: int, total: int) -> None:
    """A `Report` that tells nobody."""


@contextmanager
def shown(title: str, say: Callable[[str], None], *, is_live: bool | None = None) -> Iterator[Report]:
    """A `Report` for the work in the block, which need not call it: then only the time that has passed is told.

    On a terminal (`is_live`; null: whether standard error is one) a bar on standard error, elsewhere lines by `say`, which is
    called from a thread of its own. The bar is no good beside another live picture.
    """
    is_live = not is_json() and (sys.stderr.isatty() if is_live is None else is_live)
    work: _Bars | _Lines = _Bars(title) if is_live else _Lines(title, say)
    over = threading.Event()
    thread = threading.Thread(target=_tick, args=(work, over), name="long work", daemon=True)
    thread.start()
    try:
        yield work.report
    finally:
        over.set()
        thread.join()
        work.close()


def _tick(work: "_Bars | _Lines", over: threading.Event) -> None:
    seconds = FIRST_SECONDS if isinstance(work, _Bars) else FIRST_LINE_SECONDS
    while not over.wait(seconds):
        seconds = work.show()


class _Lines:
    def __init__(self, title: str, say: Callable[[str], None]) -> None:
        self._title, self._say = title, say
        self._began = time.monotonic()
        self._stage: tuple[str, int, int, float] | None = None

    def report(self, stage: str, done: int, total: int) -> None:
        before = self._stage
        self._stage = stage, done, total, before[3] if before is not None and before[0] == stage else time.monotonic()

    def show(self) -> float:
        """Says a line; seconds until the next."""
        now = time.monotonic()
        self._say(f"{self._title}: {self._text(now)}")
        return LINE_SECONDS if now - self._began < LATER_SECONDS else LATER_LINE_SECONDS

    def _text(self, now: float) -> str:
        if self._stage is None:
            return f"{now - self._began:.0f} s so far"
        stage, done, total, began = self._stage
        left = f", {(now - began) * (total - done) / done:.0f} s left" if 0 < done < total else ""
        return f"{done:,} of {total:,} {stage}{left}" if total else f"{done:,} {stage}"

    def close(self) -> None:
        """Nothing stays."""


class _Bars:
    def __init__(self, title: str) -> None:
        self._title = title
        self._stages: dict[str, tuple[int, int]] = {}
        self._progress: Progress | None = None

    def report(self, stage: str, done: int, total: int) -> None:
        self._stages[stage] = done, total

    def show(self) -> float:
        """Draws the bars as they stand; seconds until the next time."""
        if self._progress is None:
            counts = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            columns = (SpinnerColumn(), TextColumn("{task.description}"), *counts, TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
            self._progress.start()
        stages = dict(self._stages) or {"": (0, 0)}
        for task in self._progress.tasks:
            if task.fields["stage"] not in stages:
                self._progress.remove_task(task.id)
        known = {task.fields["stage"]: task.id for task in self._progress.tasks}
        for stage, (done, total) in stages.items():
            if stage not in known:
                text = f"{self._title}: {stage}" if stage else self._title
                known[stage] = self._progress.add_task(text, total=None, stage=stage)
            self._progress.update(known[stage], completed=done, total=total or None)
        self._progress.refresh()
        return BAR_SECONDS

    def close(self) -> None:
        """The bars go away."""
        if self._progress is not None:
            self._progress.stop()

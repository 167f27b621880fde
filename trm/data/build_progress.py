"""How far a build is: a bar where somebody watches, a line every few seconds where a log does."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from trm.data.builders.built import Report

SECONDS_BETWEEN_LINES = 5.0


class Lines:
    """A `Report` that says a line every few seconds, with the time left."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._stage, self._start = "", 0.0
        self._said = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say how far the stage is, unless something was said just now."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._start = stage, now
        if now - self._said < SECONDS_BETWEEN_LINES:
            return
        self._said = now
        left = f", {(now - self._start) * (total - done) / done:.0f} s left" if 0 < done < total else ""
        self._say(f"building {self._name}: {done} of {total} {stage}{left}")


@contextmanager
def shown(name: str, say: Callable[[str], None]) -> Iterator[Report]:
    """A `Report` that draws bars on standard error when that is a terminal, and says lines when it is not."""
    if not sys.stderr.isatty():
        yield Lines(name, say)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(f"{name}: {stage}", total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield report

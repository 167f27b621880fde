"""Sweeps for benchmarks: run as a user runs them, watched from outside, and read back from their journals."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psutil

from trm.search.journal.events import Event, LegEnded
from trm.search.journal.journal import read_events

POLL_SECONDS = 0.2
MEMORY_SECONDS = 5.0
"""Looking at the pages of thirty processes takes a tenth of a second of one core."""


class Watched:
    """A sweep that runs; its processes' memory is sampled, shared pages counted once."""

    def __init__(self, *arguments: str) -> None:
        self.started_at = time.time()
        self.process = subprocess.Popen([sys.executable, "ray_jobs/sweep.py", *arguments], start_new_session=True)
        self.peak_bytes = 0

    def wait(self, until: Callable[[], bool] = lambda: False) -> int | None:
        """Watch until it ends (its exit code) or `until` holds (None)."""
        looked = 0.0
        while self.process.poll() is None and not until():
            if time.monotonic() - looked > MEMORY_SECONDS:
                looked = time.monotonic()
                self.peak_bytes = max(self.peak_bytes, memory_bytes(self.process.pid))
            time.sleep(POLL_SECONDS)
        return self.process.poll()

    def kill(self) -> None:
        """kill -9 the driver."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


def memory_bytes(pid: int) -> int:
    """Memory of a process and all below it, each shared page divided among those that share it."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def events_of(folder: Path) -> list[Event]:
    """The sweep's journal so far."""
    journal = folder / "journal.jsonl"
    return [entry.event for entry in read_events(journal)] if journal.exists() else []


def legs_of(folder: Path) -> list[LegEnded]:
    """Completed legs."""
    return [event for event in events_of(folder) if isinstance(event, LegEnded) and event.status == "completed"]


def overheads(legs: list[LegEnded]) -> dict[str, list[float]]:
    """Process -> seconds between the ends of legs that followed each other there, less training and evaluation."""
    by_process: dict[str, list[LegEnded]] = defaultdict(list)
    for leg in sorted(legs, key=lambda leg: leg.ended_at or 0.0):
        by_process[str(leg.process)].append(leg)
    return {
        process: [
            (after.ended_at or 0.0) - (before.ended_at or 0.0) - after.train_seconds - after.eval_seconds
            for before, after in pairwise(there)
        ]
        for process, there in by_process.items()
    }

"""Small sweeps for the tests of the cluster room: run as a user runs them, in processes of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from trm.search.journal.events import Event
from trm.search.journal.journal import read_events

Truth = TypeVar("Truth")
ROOT = Path(__file__).resolve().parents[1]
SPACE = """
name: tiny
data: {recipe: datasets/sudoku4x4.yaml}
base:
  model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_layers: 1}
  optim: {lr_warmup_steps: 0, puzzle_emb_lr: 1e-3}
  training: {global_batch_size: 16}
  evaluation: {max_examples: 32}
search:
  model.hidden_size: {type: choice, values: [8, 16]}
  model.L_cycles: {type: int, low: 1, high: 3}
  optim.lr: {type: float, low: 1e-3, high: 1e-2, log: true}
budget: {trials: 4, per_trial: 4.0e10}
sampler: random
scheduler: {type: asha, eta: 2, rungs: 2}
resources: {slots: 2}
tracking: {enabled: false}
"""


def write_space(folder: Path) -> Path:
    """The tiny search space as a file."""
    path = folder / "tiny.yaml"
    path.write_text(SPACE)
    return path


@contextlib.contextmanager
def started(job: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A job that runs, in a process group of its own that does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, f"ray_jobs/{job}.py", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_job(job: str, *arguments: str, timeout: float = 400) -> tuple[int, str]:
    """Run a job to its end: exit code and output."""
    with started(job, *arguments) as process:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output


def events_of(folder: Path) -> list[Event]:
    """The sweep's journal so far."""
    journal = folder / "journal.jsonl"
    return [entry.event for entry in read_events(journal)] if journal.exists() else []


def wait_until(holds: Callable[[], Truth | None], process: subprocess.Popen[str], timeout: float = 240) -> Truth:
    """Wait for something to become true while the process runs; what it became."""
    deadline = time.monotonic() + timeout
    while not (found := holds()):
        assert process.poll() is None, f"the sweep ended early: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found

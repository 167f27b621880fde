"""Small sweeps for the tests of the cluster room: run as a user runs them, in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trm.search.events import Event
from trm.search.journal import read_events

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
budget: {trials: 4, train_flops: 4.0e10}
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


def start_sweep(space: Path, storage: Path, *more: str) -> subprocess.Popen[str]:
    """Start `ray_jobs/sweep.py` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "ray_jobs/sweep.py", str(space), "--storage", str(storage), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )


def run_sweep(space: Path, storage: Path, *more: str, timeout: float = 240) -> tuple[int, str]:
    """Run it to its end: exit code and output."""
    process = start_sweep(space, storage, *more)
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"the sweep hangs: {output}") from None
    return process.returncode, output


def events_of(folder: Path) -> list[Event]:
    """The sweep's journal so far."""
    journal = folder / "journal.jsonl"
    return [entry.event for entry in read_events(journal)] if journal.exists() else []


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str], timeout: float = 120) -> None:
    """Wait for something to become true while the process runs."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert process.poll() is None, f"the sweep ended early: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)

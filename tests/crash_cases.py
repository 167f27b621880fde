"""What a sweep that was killed must have in common with one that never was, read from its folder."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from trm.search.journal.events import Asked, Decided, Event, LegEnded, LegStarted, Reported, SweepEnded
from trm.search.journal.journal import read_events
from trm.training.curve import read_curve

SPACE = """
name: crash
data: {recipe: datasets/sudoku4x4.yaml}
base:
  model: {mlp_t: true, pos_encodings: none, puzzle_emb_len: 1, halt_max_steps: 2, H_cycles: 1, L_layers: 1}
  optim: {lr_warmup_steps: 0, puzzle_emb_lr: 1e-3}
  training: {global_batch_size: 4}
  evaluation: {max_examples: 16}
search:
  model.hidden_size: {type: choice, values: [8, 16]}
  model.L_cycles: {type: int, low: 1, high: 3}
  optim.lr: {type: float, low: 1e-3, high: 1e-2, log: true}
budget: {trials: 30, per_trial: 4.0e8}
sampler: {type: tpe, startup_trials: 4}
scheduler: {type: asha, eta: 2, rungs: 2}
resources: {slots: 1}
tracking: {enabled: false}
"""
TIMED = ("seconds", "per_second")
CIRCUMSTANCES = {"at", "attempt", "started_at", "ended_at", "process", "checkpoint", "from_checkpoint", "expected_seconds"}
CIRCUMSTANCES |= {"train_seconds", "eval_seconds", "overhead_seconds", "peak_memory_bytes", "metrics"}


def write_space(folder: Path) -> Path:
    """The search space as a file."""
    path = folder / "crash.yaml"
    path.write_text(SPACE)
    return path


def events_of(folder: Path) -> list[Event]:
    """The journal so far."""
    path = folder / "journal.jsonl"
    return [entry.event for entry in read_events(path)] if path.exists() else []


def facts(folder: Path) -> dict[str, Any]:
    """Everything that does not depend on when and where a sweep ran: its trials, results, decisions, leaderboard, winner."""
    events = events_of(folder)
    board = json.loads((folder / "leaderboard.json").read_text())
    for row in board["trials"]:
        row["checkpoint"] = str(row["checkpoint"]).rpartition("-attempt-")[0]
        row["test"], row["validation"] = _untimed(row["test"]), _untimed(row["validation"])
    return {
        "asked": [_plain(event) for event in events if isinstance(event, Asked)],
        "results": [
            {**_plain(event), "metrics": _untimed(event.metrics)}
            for event in events
            if isinstance(event, LegEnded) and event.status == "completed"
        ],
        "decided": [_plain(event) for event in events if isinstance(event, Decided)],
        "board": {**board, "name": ""},
        "best": weights_digest(folder / "best"),
        "curves": curves(folder),
    }


def curves(folder: Path) -> list[dict[str, Any]]:
    """Every point of every trial's training curve, without clocks; what the parts say, the file of all says too."""
    parts = [read_curve(path) for path in sorted((folder / "curves").glob("*.parquet"))]
    whole = read_curve(folder / "curves.parquet")
    assert whole is not None
    assert whole.num_rows == sum(part.num_rows for part in parts if part is not None) > 0
    return list(whole.drop_columns(["at", "rows_per_second"]).to_pylist())


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def check_whole(folder: Path, trials: int) -> None:
    """No trial is lost, no stretch of a trial was done twice, all came to an end, one winner was reported once."""
    events = events_of(folder)
    assert [event.trial for event in events if isinstance(event, Asked)] == list(range(trials))
    done = Counter((event.trial, event.rung) for event in events if isinstance(event, LegEnded) and event.status == "completed")
    assert set(done.values()) == {1}
    assert {event.trial for event in events if isinstance(event, Decided)} == set(range(trials))
    attempts = [(event.trial, event.rung, event.attempt) for event in events if isinstance(event, LegStarted)]
    assert len(set(attempts)) == len(attempts)
    assert sum(isinstance(event, Reported) for event in events) == 1
    assert isinstance(events[-1], SweepEnded | Reported)
    for trial_folder in (folder / "trials").iterdir():
        left = [path.name for path in trial_folder.iterdir() if path.name.startswith(".")]
        assert not left, left


def check_replay(folder: Path) -> None:
    """Every decision of the journal follows from what stands before it."""
    from trm.jobs.inspect import show_replay

    assert show_replay(str(folder)) == 0


def _plain(event: Event) -> dict[str, Any]:
    return {key: value for key, value in event.model_dump(mode="json").items() if key not in CIRCUMSTANCES}


def _untimed(metrics: dict[str, float] | None) -> dict[str, float] | None:
    return None if metrics is None else {name: value for name, value in metrics.items() if not name.endswith(TIMED)}

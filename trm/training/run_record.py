"""What a run of train.py is called, since when it runs, and how it ended: `run.json` in its folder."""

import contextlib
import json
import socket
import time
import uuid
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from trm.config.tracking import Tracking
from trm.files.atomic import write_text_atomic
from trm.files.contained import inside

RECORD_FILE = "run.json"
RunStatus = Literal["running", "finished", "interrupted", "diverged", "out_of_memory", "failed"]


@dataclass(frozen=True)
class RunRecord:
    """One run, through all its resumes."""

    id: str
    """Of its own, so that a copy of its folder is known as the same run."""
    name: str
    started_at: float
    """Unix seconds, as all times here."""
    experiment: str
    """Of the tracking store."""
    versions: dict[str, str]
    """What began it."""
    is_tracked: bool = True
    """Whether MLflow is told of it."""
    status: RunStatus = "running"
    """A killed run's stays at running."""
    reason: str = ""
    """How it came to its status."""
    at: float = 0.0
    """Since when it has its status."""
    process: str = ""
    """host that drives it, or drove it last."""
    costs: dict[str, float] = field(default_factory=dict)
    """What it took as it began, by the names that a sweep's trials have: max_steps, step_flops, inference_flops, params_count."""

    def now(self, status: RunStatus, reason: str = "") -> "RunRecord":
        """The run with another status from now on."""
        return replace(self, status=status, reason=reason, at=time.time(), process=socket.gethostname())

    def as_told(self, tracking: Tracking) -> "RunRecord":
        """The run as `tracking` wants it told; what that leaves open stays as it was."""
        is_tracked = tracking.enabled if "enabled" in tracking.model_fields_set else self.is_tracked
        return replace(self, experiment=tracking.experiment or self.experiment, is_tracked=is_tracked)


def new_record(name: str, experiment: str, versions: dict[str, str], costs: dict[str, float] | None = None) -> RunRecord:
    """A run that begins now."""
    started = RunRecord(uuid.uuid4().hex, name, time.time(), experiment, versions, costs=costs or {})
    return started.now("running")


def read_record(folder: Path) -> RunRecord | None:
    """What the run in `folder` is; None where there is no run, or none that says so."""
    try:
        return _RECORD.validate_json(inside(folder, RECORD_FILE).read_bytes())
    except (OSError, ValueError):
        return None


def write_record(folder: Path, record: RunRecord) -> None:
    """Replaces the file, durably; a disk that takes none costs the run no more than its record."""
    with contextlib.suppress(OSError):
        write_text_atomic(folder / RECORD_FILE, json.dumps(asdict(record), indent=1) + "\n")


_RECORD = TypeAdapter(RunRecord)

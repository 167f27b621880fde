"""One leg as it travels: what its process is told, and what it says when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trm.cluster.progress_board import Leg
from trm.sweeps.checkpoints import outcome_beside, step_of


@dataclass(frozen=True)
class LegTask:
    """One leg as it travels to its process: everything but the data."""

    trial: int
    rung: int
    attempt: int
    config: dict[str, Any]
    """The complete RunConfig."""
    max_steps: int
    until_steps: int
    from_checkpoint: str | None
    """Absolute: the checkpoint that the leg goes on from; null: from the trial's start."""
    trial_folder: str
    """Absolute; the leg's checkpoints go below it."""
    workers: int
    cpus: float
    gpus: float
    threads: int
    curve: str | None = None
    """Absolute: file for the points of the trial's training curve; null: none."""
    puzzles_to: str | None = None
    """Absolute: file for the scores of every single puzzle; null: none."""
    older: Sequence[str] = ()
    """Absolute: what it goes on from in its place where that one is damaged, in this order; after the last, from the start."""
    own_before: int | None = None
    """Step up to which the trial's own checkpoints may have other knobs than the leg; null: none have."""

    @property
    def leg(self) -> Leg:
        """The leg's name."""
        return self.trial, self.rung, self.attempt

    @property
    def is_adopted(self) -> bool:
        """Whether it goes on from another trial's checkpoint, or from one of its own of before its knobs were changed."""
        if self.from_checkpoint is None:
            return False
        checkpoint = Path(self.from_checkpoint)
        is_own = checkpoint.parent == Path(self.trial_folder)
        return not is_own or (self.own_before is not None and step_of(checkpoint) <= self.own_before)

    def checkpoint_at(self, step: int) -> Path:
        """Where a checkpoint of this leg goes: by step and attempt, so that no two writers share a folder."""
        return Path(self.trial_folder) / f"step-{step:08d}-attempt-{self.attempt}"

    @property
    def outcome_file(self) -> Path:
        """Where the leg's outcome goes; it counts once the leg's checkpoint is there."""
        return outcome_beside(self.checkpoint_at(self.until_steps))


@dataclass(frozen=True)
class LegReturn:
    """What a leg says when it ends."""

    status: Literal["completed", "diverged", "out_of_memory", "failed", "stalled", "lost", "interrupted", "disk_full"]
    error: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    train_flops: float = 0.0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    overhead_seconds: float = 0.0
    checkpoint: str | None = None
    """Relative to the sweep folder."""
    peak_memory_bytes: int | None = None
    started_at: float = 0.0
    ended_at: float = 0.0
    process: str = ""
    """host:pid of the process that trained (the gang's leader)."""
    torn: list[str] = field(default_factory=list)
    """Checkpoints that it would have gone on from, had they not been damaged: what is wrong with each."""

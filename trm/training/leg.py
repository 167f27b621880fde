"""One leg as it travels: what its process is told, how far it is, what it comes to. No torch: the driver reads it too."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from trm.config.run import RunConfig
from trm.files.atomic import make_folders, write_text_atomic
from trm.training.curve import CurveFile
from trm.training.reporting import Progress

Leg = tuple[int, int, int]
"""Trial, rung and attempt: what names one leg."""
LegStatus = Literal["completed", "diverged", "out_of_memory", "failed", "stalled", "lost", "interrupted", "disk_full"]


class Beginning(NamedTuple):
    """A checkpoint that a leg may go on from."""

    checkpoint: str
    """Its folder, absolute."""
    is_adopted: bool = False
    """Whether it may be another run's: all of it is taken but its seed and the knobs that change within a run."""


@dataclass(frozen=True)
class LegTask:
    """What a leg is to do: everything but the data."""

    config: RunConfig
    """The complete run."""
    max_steps: int
    """The trial's own maximum, which the learning rate decays against: its steps at the last rung."""
    until_steps: int
    """Step at which the leg ends, counted from the trial's start."""
    trial: int = 0
    rung: int = 0
    attempt: int = 0
    begins: Sequence[Beginning] = ()
    """Where it goes on from: the first that is whole; where none is, the trial's start."""
    folder: str | None = None
    """Absolute: its checkpoints go below it, by step and attempt; null: it leaves none."""
    objects: str | None = None
    """URL of the sweep's objects: all paths here are names below it then, and of `begins` only what was given; null: files."""
    is_of_population: bool = False
    """Whether its trial may have taken over another's checkpoint; told where `begins` is completed from objects."""
    interim_seconds: float | None = 60.0
    """Seconds of training between two checkpoints on the way, of which the newest is kept until the leg's own is durable.

    An interrupted leg leaves one too. Null: there are none.
    """
    puzzles_to: str | None = None
    """Absolute: file for the scores of every single puzzle; null: none."""
    curve: CurveFile | None = None
    """Where the points of the trial's training curve go; null: nowhere."""
    places: Sequence[str] = ()
    """Ids of the places whose workers train with it, besides its own; empty: it has one slot."""
    threads: int = 1
    """Threads that the leg's process computes with."""
    gpus: float = 0.0
    """Its share of a GPU."""

    @property
    def leg(self) -> Leg:
        """The leg's name."""
        return self.trial, self.rung, self.attempt

    @property
    def checkpoint(self) -> Path | None:
        """Folder that the leg's own checkpoint becomes; None: it leaves none."""
        return None if self.folder is None else self.checkpoint_at(self.until_steps)

    def checkpoint_at(self, step: int) -> Path:
        """Where a checkpoint of this leg goes: by step and attempt, so that no two writers share a folder."""
        assert self.folder is not None, "a leg that leaves no checkpoint has no place for one"
        return Path(self.folder) / f"step-{step:08d}-attempt-{self.attempt}"

    def as_json(self) -> str:
        """The task as JSON, without the secrets of addresses; `task_from` reads it."""
        return _TASK.dump_json(self).decode()


def task_from(text: str) -> LegTask:
    """The task that `LegTask.as_json` wrote, its configuration validated once more, where the leg runs."""
    return _TASK.validate_json(text)


_TASK = TypeAdapter(LegTask)


@dataclass(frozen=True, kw_only=True)
class LegProgress(Progress):
    """How far a running leg is."""

    trial: int
    rung: int
    attempt: int
    at: float
    """Unix seconds of the report."""
    evaluated: int = 0
    """Batches of the evaluation that are done."""

    @property
    def leg(self) -> Leg:
        """The leg's name."""
        return self.trial, self.rung, self.attempt


@dataclass(frozen=True)
class LegResult:
    """What a leg comes to, under the names that the journal has for it; its fields are what lies beside its checkpoint as JSON."""

    status: LegStatus
    error: str | None = None
    """One line, when it did not complete."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The evaluation on validation, `latency_seconds` of one puzzle in its batch, and `train/NAME`: means over the leg's steps."""
    standard_errors: dict[str, float] = field(default_factory=dict)
    """Standard errors of the `metrics` that have one."""
    steps: int = 0
    """Optimizer steps since the trial's start."""
    train_flops: float = 0.0
    """Training FLOPs since the trial's start."""
    train_seconds: float = 0.0
    """Seconds of this leg in training steps."""
    eval_seconds: float = 0.0
    """Seconds of this leg in evaluation."""
    overhead_seconds: float = 0.0
    """Seconds of this leg in anything else: set-up, loading, the checkpoint."""
    checkpoint: str | None = None
    """Folder of its checkpoint, relative to that of the sweep."""
    peak_memory_bytes: int | None = None
    """Most that its tensors held on a GPU; null on a CPU, where a reused process keeps what earlier legs freed."""
    started_at: float = 0.0
    ended_at: float = 0.0
    process: str = ""
    """host:pid of the process that trained (the gang's leader), or of the gang's first that died."""
    torn: list[str] = field(default_factory=list)
    """Checkpoints that it would have gone on from, had they not been damaged: what is wrong with each."""

    def ended_here(self, started_at: float, torn: Sequence[str]) -> "LegResult":
        """The result of a leg of this process that ends now."""
        where = f"{os.uname().nodename}:{os.getpid()}"
        return replace(self, started_at=started_at, ended_at=time.time(), process=where, torn=list(torn))


def in_order(
    whole: Iterable[Path], own: Path, given: Path | None, until_steps: int, *, is_of_population: bool, is_there: bool
) -> list[Beginning]:
    """Where a leg that ends at `until_steps` may go on from, in the order in which that is tried; its trial's start comes last.

    First what an earlier attempt at it left on the way, beyond the checkpoint that it was given: a member of a population may have
    been given another's. Then the `given` one, which `keep` may have deleted (not `is_there`); then what the trial itself left
    before: in a population, with the knobs that it had then. `whole`: checkpoints in the trial's folder, `own`.
    """
    ordered = sorted((path for path in whole if step_of(path) <= until_steps), key=lambda path: (step_of(path), path.name))
    left = [path for path in reversed(ordered) if path != given]
    if given is None:
        return [Beginning(str(path)) for path in left]
    is_own = given.parent == own
    known_until = step_of(given) - is_own if is_of_population else -1
    beyond = [path for path in left if step_of(path) > step_of(given)]
    before = [path for path in left if step_of(path) <= step_of(given)]
    return [
        *(Beginning(str(path)) for path in beyond),
        *([Beginning(str(given), is_adopted=not is_own)] if is_there or not is_own else []),
        *(Beginning(str(path), is_adopted=step_of(path) <= known_until) for path in before),
    ]


def step_of(checkpoint: Path) -> int:
    """The optimizer step of a leg's checkpoint, from its name."""
    return int(checkpoint.name.split("-")[1])


def in_sweep(checkpoint: Path) -> str:
    """A trial's checkpoint relative to the sweep's folder: `trials/0003/step-00000030-attempt-0`."""
    return checkpoint.relative_to(checkpoint.parents[2]).as_posix()


def outcome_beside(checkpoint: Path) -> Path:
    """The file with the result of the leg that ended with `checkpoint`."""
    return checkpoint.with_name(f"{checkpoint.name}.json")


def write_outcome(checkpoint: Path, result: LegResult) -> None:
    """Writes the result beside the place of the checkpoint, which is renamed there next: a checkpoint implies its result."""
    make_folders(checkpoint.parent)
    write_text_atomic(outcome_beside(checkpoint), json.dumps(asdict(result)))

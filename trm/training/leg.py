"""One leg of a trial: from a checkpoint, or from the start, to a step; scored; made durable."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from trm.config.run import RunConfig
from trm.data.batches.plan import BatchPlan
from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import CheckpointError, InterruptedRun
from trm.evaluation.puzzle_scores import write_puzzles
from trm.files.atomic import remove_folder
from trm.training.curve import CurveFile
from trm.training.failures import memory_failures
from trm.training.loop import train
from trm.training.reporting import SILENT, Progress, Reporter
from trm.training.scoring import score
from trm.training.start import RunData, start_plan, start_state
from trm.training.state import TrainingState


@dataclass(frozen=True)
class LegWork:
    """What a leg is to do."""

    config: RunConfig
    """The complete run."""
    max_steps: int
    """The trial's own maximum, which the learning rate decays against: its steps at the last rung."""
    until_steps: int
    """Step at which the leg ends, counted from the trial's start."""
    from_checkpoint: str | None = None
    """Folder of the checkpoint it continues; None: from the start."""
    checkpoint_to: str | None = None
    """Folder its own checkpoint is to become; None: none."""
    is_scored: bool = True
    """Whether it ends with an evaluation on validation."""
    interim: str | None = None
    """Path with `{step}` for checkpoints on the way, of which the newest is kept until the leg's own is durable; None: none."""
    interim_seconds: float = 60.0
    """Seconds of training between two of them; an interrupted leg leaves one too."""
    puzzles_to: str | None = None
    """File that the scores of every single puzzle go to, before the leg's checkpoint is durable; None: none."""
    curve: CurveFile | None = None
    """Where the points of the training curve go; None: nowhere."""
    is_adopted: bool = False
    """Whether `from_checkpoint` may be another trial's: all of it is taken but its seed and the knobs that change within a run."""


@dataclass(frozen=True)
class LegOutcome:
    """What a leg has to say; plain values, so `dataclasses.asdict` is JSON."""

    metrics: dict[str, float]
    """The evaluation on validation; empty without one."""
    standard_errors: dict[str, float]
    """Those of `metrics` that have one."""
    training: dict[str, float] = field(default_factory=dict)
    """Means over the steps of this leg (loss parts, accuracy over halted rows, gradient norm) and its speed."""
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
    latency_seconds: float | None = None
    """What the evaluation took for one puzzle in its batch; None without one."""
    checkpoint: str | None = None
    """Folder of the checkpoint, durable by now."""
    peak_memory_bytes: int | None = None
    """Most that this leg's tensors held on its GPU; None on a CPU, where a reused process keeps what earlier legs freed."""


def run_leg(
    work: LegWork,
    splits: RunData,
    manifest: Manifest,
    *,
    gang: Gang = SOLO,
    reporter: Reporter = SILENT,
    device: torch.device | str = "cpu",
    announce: Callable[[LegOutcome], None] | None = None,
) -> LegOutcome:
    """Does `work` in this process; in a gang every worker calls it with the same work and all get the same outcome.

    `announce` is told the outcome before the leg's checkpoint becomes durable: what it writes, the checkpoint vouches for.
    Raises DivergedError, OutOfMemoryError, CheckpointError, and InterruptedRun when a reporter stops it.
    """
    start = time.perf_counter()
    with memory_failures():
        state = start_state(
            work.config,
            manifest,
            work.from_checkpoint,
            max_steps=work.max_steps,
            device=device,
            gang=gang,
            is_adopted=work.is_adopted,
            curve=work.curve,
        )
        plan = start_plan(state, splits["train"], manifest)
    if state.step > work.until_steps:
        raise CheckpointError(
            f"a leg only goes forward: {work.from_checkpoint} is at step {state.step}, the leg ends at {work.until_steps}",
            remedy="continue from an earlier checkpoint",
        )
    first = state.step
    try:
        train_seconds, saved = _train_saving(state, plan, work, reporter)
    finally:
        state.curve.write()  # of a leg that fails too: its last points may say why
    scored = score(state, splits["validation"], manifest, reporter) if work.is_scored else None
    training = state.metrics.take_report() | state.speeds(state.step - first, train_seconds)
    eval_seconds = scored.seconds if scored else 0.0
    outcome = LegOutcome(
        metrics=dict(scored.evaluation.metrics) if scored else {},
        standard_errors=dict(scored.evaluation.standard_errors) if scored else {},
        training=training,
        steps=state.step,
        train_flops=state.train_flops,
        train_seconds=train_seconds,
        eval_seconds=eval_seconds,
        overhead_seconds=time.perf_counter() - start - train_seconds - eval_seconds,
        latency_seconds=scored.latency_seconds if scored else None,
        checkpoint=work.checkpoint_to,
        peak_memory_bytes=state.peak_memory_bytes,
    )
    if scored is not None and work.puzzles_to is not None and gang.is_leader:
        write_puzzles(work.puzzles_to, scored.evaluation.puzzles)
    if announce is not None:
        announce(outcome)
    if work.checkpoint_to is None:
        return outcome
    state.save(work.checkpoint_to)
    _remove(saved, gang)
    return replace(outcome, overhead_seconds=time.perf_counter() - start - train_seconds - eval_seconds)


class _SavingReporter(Reporter):
    """Asks the loop to pause when a checkpoint is due, and remembers whether somebody asked it to stop."""

    def __init__(self, reporter: Reporter, interval_seconds: float) -> None:
        self._reporter, self._due = reporter, time.perf_counter() + interval_seconds
        self.is_stopped = False

    def on_step(self, progress: Progress) -> bool:
        self.is_stopped = self._reporter.on_step(progress) or self.is_stopped
        return self.is_stopped or time.perf_counter() >= self._due


def _train_saving(state: TrainingState, plan: BatchPlan, work: LegWork, reporter: Reporter) -> tuple[float, str | None]:
    """Train to the leg's end with checkpoints on the way; the seconds of training, and the newest such checkpoint."""
    seconds, saved = 0.0, None
    while True:
        listener = _SavingReporter(reporter, work.interim_seconds if work.interim else math.inf)
        trained = train(state, plan, until_steps=work.until_steps, reporter=listener)
        seconds += trained.seconds
        if state.step >= work.until_steps:
            return seconds, saved
        # One worker asked and the loop made all of them pause; the others have to hear what it was for.
        is_stopped = bool(state.gang.all_reduce_sum(torch.tensor([float(listener.is_stopped)], device=state.device)).item())
        if work.interim is not None:
            before, saved = saved, work.interim.format(step=state.step)
            state.save(saved)
            _remove(before, state.gang)
        if is_stopped:
            raise InterruptedRun(f"stopped at step {state.step} of {work.until_steps}")


def _remove(checkpoint: str | None, gang: Gang) -> None:
    if checkpoint is not None and gang.is_leader:
        remove_folder(checkpoint)

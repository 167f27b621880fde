"""One leg of a trial: from a checkpoint, or from the start, to a step; scored; made durable."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from trm.config import RunConfig
from trm.data.manifest import Manifest
from trm.data.plan import TrainPlan
from trm.data.split import Split
from trm.errors import CheckpointError, InterruptedRun
from trm.training.failures import memory_failures
from trm.training.gang import SOLO, Gang
from trm.training.loop import train
from trm.training.reporting import SILENT, Reporter
from trm.training.scoring import score
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
    checkpoint: str | None = None
    """Folder of the checkpoint, durable by now."""


def run_leg(
    work: LegWork,
    splits: Mapping[str, Split],
    manifest: Manifest,
    *,
    gang: Gang = SOLO,
    reporter: Reporter = SILENT,
    device: torch.device | str = "cpu",
) -> LegOutcome:
    """Does `work` in this process; in a gang every worker calls it with the same work and all get the same outcome.

    Raises DivergedError, OutOfMemoryError, CheckpointError, and InterruptedRun when a reporter stops it.
    """
    start = time.perf_counter()
    with memory_failures():
        state = start_state(work.config, manifest, work.from_checkpoint, max_steps=work.max_steps, device=device, gang=gang)
        plan = start_plan(state, splits["train"], manifest)
    if state.step > work.until_steps:
        raise CheckpointError(
            f"a leg only goes forward: {work.from_checkpoint} is at step {state.step}, the leg ends at {work.until_steps}",
            remedy="continue from an earlier checkpoint",
        )
    first = state.step
    trained = train(state, plan, until_steps=work.until_steps, reporter=reporter)
    if trained.is_interrupted and state.step < work.until_steps:
        raise InterruptedRun(f"stopped at step {state.step} of {work.until_steps}")
    scored = score(state, splits["validation"], manifest, reporter) if work.is_scored else None
    training = state.metrics.take_report() | speeds(state, state.step - first, trained.seconds)
    if work.checkpoint_to is not None:
        state.save(work.checkpoint_to)
    eval_seconds = scored.seconds if scored else 0.0
    return LegOutcome(
        metrics=dict(scored.evaluation.metrics) if scored else {},
        standard_errors=dict(scored.evaluation.standard_errors) if scored else {},
        training=training,
        steps=state.step,
        train_flops=state.train_flops,
        train_seconds=trained.seconds,
        eval_seconds=eval_seconds,
        overhead_seconds=time.perf_counter() - start - trained.seconds - eval_seconds,
        checkpoint=work.checkpoint_to,
    )


def start_state(
    config: RunConfig,
    manifest: Manifest,
    from_checkpoint: str | None,
    *,
    max_steps: int,
    device: torch.device | str,
    gang: Gang,
) -> TrainingState:
    """A run on the data set of `manifest`: before its first step, or as the checkpoint has it."""
    shape, data_hash = manifest.shape, manifest.content_hash
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if from_checkpoint is None:
        return TrainingState(config, shape, data_hash=data_hash, max_steps=max_steps, device=device, gang=gang)
    return TrainingState.load(from_checkpoint, config, shape, data_hash=data_hash, max_steps=max_steps, device=device, gang=gang)


def start_plan(state: TrainingState, split: Split, manifest: Manifest) -> TrainPlan:
    """This worker's batches, at the state's place in the data."""
    plan = TrainPlan(
        split,
        manifest,
        global_batch_size=state.config.training.global_batch_size,
        seed=state.config.seed,
        rank=state.gang.rank,
        world_size=state.gang.world_size,
    )
    plan.restore(state.position)
    return plan


def speeds(state: TrainingState, steps: int, seconds: float) -> dict[str, float]:
    """Rows and training FLOPs a second over `steps` that took `seconds`, all workers together; empty for no steps."""
    if not steps:
        return {}
    rows = steps * state.config.training.global_batch_size
    figures = {"rows_per_second": rows / seconds, "flops_per_second": steps * state.step_flops / seconds}
    if state.device.type == "cuda":
        figures["peak_memory_bytes"] = float(torch.cuda.max_memory_allocated(state.device))
    return figures

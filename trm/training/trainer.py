"""One leg of a trial: from a checkpoint, or from the start, to a step; scored; made durable."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import CheckpointError, InterruptedRun
from trm.evaluation.puzzle_scores import write_puzzles
from trm.files.atomic import remove_folder
from trm.training.checkpoint import newest_whole
from trm.training.failures import memory_failures
from trm.training.feed import Feed
from trm.training.leg import Beginning, LegResult, LegTask, in_sweep, write_outcome
from trm.training.loop import train
from trm.training.reporting import SILENT, Progress, Reporter
from trm.training.scoring import score
from trm.training.start import RunData, start_plan, start_state
from trm.training.state import TrainingState


def run_leg(
    task: LegTask,
    splits: RunData,
    manifest: Manifest,
    *,
    gang: Gang = SOLO,
    reporter: Reporter = SILENT,
    device: torch.device | str = "cpu",
    torn: Sequence[str] = (),
) -> LegResult:
    """Does `task` in this process; in a gang every worker calls it with the same task and all get the same result.

    It goes on from the first of the task's beginnings, which must be whole (see `begun_whole`, which tells what was `torn`). Its
    result lies beside its checkpoint before that becomes durable. Raises DivergedError, OutOfMemoryError, CheckpointError, and
    InterruptedRun when a reporter stops it.
    """
    started_at, start = time.time(), time.perf_counter()
    begins = task.begins[0] if task.begins else None
    with memory_failures():
        state = start_state(
            task.config,
            manifest,
            None if begins is None else begins.checkpoint,
            max_steps=task.max_steps,
            device=device,
            gang=gang,
            is_adopted=begins is not None and begins.is_adopted,
            curve=task.curve,
        )
        plan = start_plan(state, splits["train"], manifest)
    if begins is not None and state.step > task.until_steps:
        raise CheckpointError(
            f"a leg only goes forward: {begins.checkpoint} is at step {state.step}, the leg ends at {task.until_steps}",
            remedy="continue from an earlier checkpoint",
        )
    first = state.step
    try:
        train_seconds, saved = _train_saving(state, plan, task, reporter)
    finally:
        state.curve.write()  # of a leg that fails too: its last points may say why
    scored = score(state, splits["validation"], manifest, reporter)
    training = state.metrics.take_report() | state.speeds(state.step - first, train_seconds)

    def result() -> LegResult:
        return LegResult(
            status="completed",
            metrics={
                **scored.evaluation.metrics,
                "latency_seconds": scored.latency_seconds,
                **{f"train/{name}": value for name, value in training.items()},
            },
            standard_errors=dict(scored.evaluation.standard_errors),
            steps=state.step,
            train_flops=state.train_flops,
            train_seconds=train_seconds,
            eval_seconds=scored.seconds,
            overhead_seconds=time.perf_counter() - start - train_seconds - scored.seconds,
            checkpoint=None if task.checkpoint is None else in_sweep(task.checkpoint),
            peak_memory_bytes=state.peak_memory_bytes,
        ).ended_here(started_at, torn)

    if task.puzzles_to is not None and gang.is_leader:
        write_puzzles(task.puzzles_to, scored.evaluation.puzzles)
    if task.checkpoint is not None:
        if gang.is_leader:
            write_outcome(task.checkpoint, result())
        state.save(task.checkpoint)
        _remove(saved, gang)
    return result()


def begun_whole(task: LegTask, gang: Gang, device: torch.device | str) -> tuple[LegTask, list[str]]:
    """The task with the first of its beginnings that is whole, the same on all of a gang's workers; its leader hears of damage."""
    chosen, torn = _first_whole(task.begins) if gang.is_leader else (0, [])
    chosen = int(gang.all_reduce_sum(torch.tensor(chosen, device=device)).item())
    return replace(task, begins=task.begins[chosen : chosen + 1]), torn


def _first_whole(begins: Sequence[Beginning]) -> tuple[int, list[str]]:
    """The place of the first that is not damaged, their number when all are; and what is damaged, in words."""
    torn: list[str] = []
    for number, begin in enumerate(begins):
        try:
            found, problems = newest_whole([begin.checkpoint])
        except CheckpointError:  # whole, and not to be used: loading it says why
            return number, torn
        torn += problems
        if found is not None:
            return number, torn
    return len(begins), torn


class _SavingReporter(Reporter):
    """Asks the loop to pause when a checkpoint is due, and remembers whether somebody asked it to stop."""

    def __init__(self, reporter: Reporter, interval_seconds: float) -> None:
        self._reporter, self._due = reporter, time.perf_counter() + interval_seconds
        self.is_stopped = False

    def on_step(self, progress: Progress) -> bool:
        self.is_stopped = self._reporter.on_step(progress) or self.is_stopped
        return self.is_stopped or time.perf_counter() >= self._due


def _train_saving(state: TrainingState, plan: Feed, task: LegTask, reporter: Reporter) -> tuple[float, Path | None]:
    """Train to the leg's end with checkpoints on the way; the seconds of training, and the newest such checkpoint."""
    seconds, saved = 0.0, None
    interim = None if task.folder is None else task.interim_seconds
    while True:
        listener = _SavingReporter(reporter, math.inf if interim is None else interim)
        trained = train(state, plan, until_steps=task.until_steps, reporter=listener)
        seconds += trained.seconds
        if state.step >= task.until_steps:
            return seconds, saved
        # One worker asked and the loop made all of them pause; the others have to hear what it was for.
        is_stopped = bool(state.gang.all_reduce_sum(torch.tensor([float(listener.is_stopped)], device=state.device)).item())
        if interim is not None:
            before, saved = saved, task.checkpoint_at(state.step)
            state.save(saved)
            _remove(before, state.gang)
        if is_stopped:
            raise InterruptedRun(f"stopped at step {state.step} of {task.until_steps}")


def _remove(checkpoint: Path | None, gang: Gang) -> None:
    if checkpoint is not None and gang.is_leader:
        remove_folder(checkpoint)

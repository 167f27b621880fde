"""What trains: one run on its way from leg to leg. A sweep's leg is one of them, a run of train.py (`run.py`) many in a row."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.distributed import SOLO, Gang
from trm.errors import CheckpointError, InterruptedRun
from trm.evaluation.answers_file import AnsweredBatch
from trm.evaluation.puzzle_scores import write_puzzles
from trm.training.checkpoint import newest_whole
from trm.training.curve import CurveFile
from trm.training.failures import memory_failures
from trm.training.leg import Beginning, LegResult, LegTask, in_sweep, write_outcome
from trm.training.leg_files import LegFiles, leg_files
from trm.training.loop import train
from trm.training.protocol import ScoredSplit
from trm.training.reporting import SILENT, Progress, Reporter
from trm.training.run_folder import write_start
from trm.training.scoring import Scored, score
from trm.training.start import RunData, start_plan, start_state


class Trainer:
    """A run between two legs, and what they take: it trains to a step, is scored, is saved, and counts where its seconds go."""

    def __init__(
        self,
        config: RunConfig,
        splits: RunData,
        manifest: Manifest,
        begins: Beginning | None,
        *,
        max_steps: int,
        curve: CurveFile | None = None,
        gang: Gang = SOLO,
        reporter: Reporter = SILENT,
        device: torch.device | str = "cpu",
    ) -> None:
        """The run as the checkpoint that it begins from has it, or before its first step; every worker of a gang makes one."""
        self._started = time.perf_counter()
        self.splits, self.manifest, self.reporter = splits, manifest, reporter
        with memory_failures():
            self.state = start_state(
                config,
                manifest,
                None if begins is None else begins.checkpoint,
                max_steps=max_steps,
                device=device,
                gang=gang,
                is_adopted=begins is not None and begins.is_adopted,
                curve=curve,
            )
            self.plan = start_plan(self.state, splits["train"], manifest)
        self.train_seconds = self.eval_seconds = 0.0
        self.steps = 0
        """Steps that this trainer made."""
        self._told = 0, 0.0
        """Steps and seconds of training up to the last `take_training`."""

    @property
    def other_seconds(self) -> float:
        """Seconds in anything but training steps and evaluation: set-up, loading, checkpoints."""
        return time.perf_counter() - self._started - self.train_seconds - self.eval_seconds

    def train(self, until_steps: int, *, interim_seconds: float = math.inf, on_interim: Callable[[], None] | None = None) -> bool:
        """Train to the step; whether a reporter of any worker stopped it, which may have been there.

        `on_interim` is called on the way, every `interim_seconds` and where it was stopped: to save.
        """
        state = self.state
        while True:
            listener, first = _Listener(self.reporter, interim_seconds), state.step
            try:
                trained = train(state, self.plan, until_steps=until_steps, reporter=listener)
            finally:
                state.curve.write()  # of a run that fails too: its last points may say why
            self.train_seconds += trained.seconds
            self.steps += state.step - first
            if state.step >= until_steps:
                return trained.is_interrupted
            # One worker asked and the loop made all of them pause; the others have to hear what it was for.
            is_stopped = bool(state.gang.all_reduce_sum(torch.tensor([float(listener.is_stopped)], device=state.device)).item())
            if on_interim is not None:
                on_interim()
            if is_stopped:
                return True

    def score(self, split: ScoredSplit, *, is_whole: bool = False, record: Callable[[AnsweredBatch], None] | None = None) -> Scored:
        """Its evaluation on a split that it was given, see `scoring.score`."""
        scored = score(self.state, self.splits[split], self.manifest, self.reporter, is_whole=is_whole, record=record)
        self.eval_seconds += scored.seconds
        return scored

    def take_training(self) -> dict[str, float]:
        """Means over the steps since the last call, and their speed."""
        steps, seconds = self._told
        self._told = self.steps, self.train_seconds
        return self.state.metrics.take_report() | self.state.speeds(self.steps - steps, self.train_seconds - seconds)


class _Listener(Reporter):
    """Asks the loop to pause when a checkpoint is due, and remembers whether somebody asked it to stop."""

    def __init__(self, reporter: Reporter, interval_seconds: float) -> None:
        self._reporter, self._due = reporter, time.perf_counter() + interval_seconds
        self.is_stopped = False

    def on_step(self, progress: Progress) -> bool:
        self.is_stopped = self._reporter.on_step(progress) or self.is_stopped
        return self.is_stopped or time.perf_counter() >= self._due


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
    started_at, begins = time.time(), task.begins[0] if task.begins else None
    trainer = Trainer(
        task.config,
        splits,
        manifest,
        begins,
        max_steps=task.max_steps,
        curve=task.curve,
        gang=gang,
        reporter=reporter,
        device=device,
    )
    state = trainer.state
    if task.folder is not None and gang.is_leader:
        write_start(Path(task.folder), state.start_lines)
    if begins is not None and state.step > task.until_steps:
        raise CheckpointError(
            f"a leg only goes forward: {begins.checkpoint} is at step {state.step}, the leg ends at {task.until_steps}",
            remedy="continue from an earlier checkpoint",
        )
    files = leg_files(task)
    saved = _train_saving(trainer, task, files)
    scored = trainer.score("validation")
    training = trainer.take_training()

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
            train_seconds=trainer.train_seconds,
            eval_seconds=trainer.eval_seconds,
            overhead_seconds=trainer.other_seconds,
            checkpoint=None if task.checkpoint is None else in_sweep(task.checkpoint),
            peak_memory_bytes=state.peak_memory_bytes,
        ).ended_here(started_at, torn)

    if task.puzzles_to is not None and gang.is_leader:
        write_puzzles(task.puzzles_to, scored.evaluation.puzzles)
    if task.checkpoint is not None:
        if gang.is_leader:
            write_outcome(task.checkpoint, result())
        state.save(task.checkpoint)
        if gang.is_leader:
            files.publish(task.checkpoint)
            if saved is not None:
                files.remove(saved)
    return result()


def _train_saving(trainer: Trainer, task: LegTask, files: LegFiles) -> Path | None:
    """Train to the leg's end with checkpoints on the way; the newest of those, which is left."""
    state, saved = trainer.state, list[Path]()

    def save() -> None:
        saved.append(task.checkpoint_at(state.step))
        state.save(saved[-1])
        if state.gang.is_leader:
            files.publish(saved[-1])
            if len(saved) > 1:
                files.remove(saved.pop(0))

    if task.folder is None or task.interim_seconds is None:
        trainer.train(task.until_steps)
    else:
        trainer.train(task.until_steps, interim_seconds=task.interim_seconds, on_interim=save)
    if state.step < task.until_steps:
        raise InterruptedRun(f"stopped at step {state.step} of {task.until_steps}")
    return saved[0] if saved else None


def begun_whole(task: LegTask, gang: Gang, device: torch.device | str) -> tuple[LegTask, list[str]]:
    """The task with the first of its beginnings that is whole, the same on all of a gang's workers; its leader hears of damage."""
    files = leg_files(task)
    chosen, torn = _first_whole(task.begins, files) if gang.is_leader else (0, [])
    chosen = int(gang.all_reduce_sum(torch.tensor(chosen, device=device)).item())
    begins = task.begins[chosen : chosen + 1]
    if gang.is_leader:
        files.bring_curve()
    elif begins:
        files.bring(Path(begins[0].checkpoint))
    return replace(task, begins=begins), torn


def _first_whole(begins: Sequence[Beginning], files: LegFiles) -> tuple[int, list[str]]:
    """The place of the first that is not damaged, their number when all are; and what is damaged, in words."""
    torn: list[str] = []
    for number, begin in enumerate(begins):
        files.bring(Path(begin.checkpoint))
        try:
            found, problems = newest_whole([begin.checkpoint])
        except CheckpointError:  # whole, and not to be used: loading it says why
            return number, torn
        torn += problems
        if found is not None:
            return number, torn
    return len(begins), torn

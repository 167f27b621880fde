"""What runs in a trial's process: one leg in place. What a leg does is the same in a gang's worker (`leg_in_gang.py`).

A leg's result travels as one JSON object and lies beside its checkpoint too, written just before it, so that a leg that was
done before is done at once: whoever asks again, after a crash or through Tune's own restore, gets the same answer.
"""

import gc
import json
import math
import os
import time
from dataclasses import asdict, replace
from typing import Any

import ray.tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from trm.cluster.processes import WorkerProcess, titled
from trm.cluster.progress_board import BoardReporter, answered
from trm.cluster.shared_data import DataFeed, SweepFeed
from trm.cluster.stream import held_actor, leg_stream
from trm.cluster.tune_legs import LEG, OUTCOME, WARM_UP
from trm.config.step_costs import SPEED
from trm.console.redaction import reason_of
from trm.errors import EXIT_FAILED, CheckpointError, InterruptedRun, TrialError
from trm.files.disk import is_disk_full
from trm.sweeps.legs_done import found
from trm.training.leg import LegProgress, LegResult, LegTask, task_from
from trm.training.leg_files import at_work
from trm.training.reporting import Progress, Reporter

PEER_SIGN = "gloo/transport"
"""In what gloo raises in a worker whose neighbour is gone or silent; NCCL raises an error class of its own."""


NOT_HERE = LegResult(status="interrupted", error="its node takes no legs")
"""A leg that was given to a process which is to take no more: it goes on elsewhere, as if it had never been begun."""


def leg_in_place(config: dict[str, Any], *, feed: SweepFeed, board: ActorHandle) -> None:
    """Tune function: do one leg in this process, which the next leg reuses."""
    if config[LEG] == WARM_UP:
        prepare(feed.first)
        if feed.first.is_streamed:
            held_actor(feed.first.folder, 1)
        board.warm.remote(WorkerProcess.current())
        ray.tune.report({OUTCOME: "{}"})
        return
    (task, result), process = found(task_from(config[LEG])), WorkerProcess.current()
    if result is None and not answered(board.begin.remote(task.leg, process)):
        result = NOT_HERE
    if result is None:
        own = feed.of(task.config.data)
        with leg_stream(task.config.data, own.folder, workers=1) as stream:
            result = do_leg(task, own, board, stream=stream)
    board.ended.remote(task.leg)
    is_kept = result.status != "interrupted" or answered(board.keeps.remote(process))
    if is_last := result.status in ("out_of_memory", "failed") or not is_kept:
        board.gone.remote(process)
    ray.tune.report({OUTCOME: json.dumps(asdict(result))})
    if is_last:
        # The report was taken. The next leg gets a fresh process: this one's allocator or device may be past use, or its node goes.
        os._exit(EXIT_FAILED)
    forget()


def do_leg(task: LegTask, feed: DataFeed, board: ActorHandle, *, gang: Any = None, stream: ActorHandle | None = None) -> LegResult:
    """Train, score and save one leg here; whatever goes wrong becomes a status, and the process stays usable.

    `stream` reads the training rows for all of the leg's workers, when they stream.
    """
    import torch

    from trm.distributed import SOLO
    from trm.training.process import keep_freed_memory, limit_gpu_memory, training_device
    from trm.training.start import RunData
    from trm.training.trainer import begun_whole, run_leg

    started_at, task = time.time(), at_work(task)
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    limit_gpu_memory(task.gpus)
    gang, device = gang or SOLO, training_device()
    torn: list[str] = []
    reporter = LegReporter(board, task)
    try:
        with titled(task, gang.rank):
            task, torn = begun_whole(task, gang, device)
            rows = feed.training_rows(task.config.data, stream, gang.rank)
            splits = RunData(train=rows, validation=feed.split("validation"))
            return run_leg(task, splits, feed.manifest, gang=gang, reporter=reporter, device=device, torn=torn)
    except Exception as error:  # the trial's edge: one bad configuration must not end the sweep
        failed = LegResult(status=_status_of(error), error=reason_of(error))
        if (last := reporter.last) is not None:  # what it took counts, whatever became of it
            failed = replace(failed, steps=last.step, train_flops=last.train_flops)
        failed = failed.ended_here(started_at, torn)
        return replace(failed, **reporter.figures(failed.ended_at - started_at)) if failed.status == "interrupted" else failed


class LegReporter(Reporter):
    """Posts the leg's progress to the board and hears whether to stop."""

    def __init__(self, board: ActorHandle, task: LegTask) -> None:
        self._line, self._task = BoardReporter(board), task
        self.last: Progress | None = None
        """Of the newest step; None before the first."""
        self._first: Progress | None = None
        self._seconds = 0.0
        """Of training, in calls of the loop that are over."""

    def figures(self, seconds: float) -> dict[str, Any]:
        """What a leg that stopped on its way after so many seconds says of its time and speed."""
        if self.last is None or self._first is None:
            return {"overhead_seconds": seconds}
        trained, flops = self._seconds + self.last.seconds, self.last.train_flops - self._first.train_flops
        since = trained - self._first.seconds
        speed = {SPEED: flops / since} if flops > 0 and since > 0 else {}
        return {"train_seconds": trained, "overhead_seconds": max(0.0, seconds - trained), "metrics": speed}

    def on_step(self, progress: Progress) -> bool:
        """Asks to stop when the board does."""
        self._first = self._first or progress
        if self.last is not None and progress.seconds < self.last.seconds:  # a checkpoint on the way: another call
            self._seconds += self.last.seconds
        self.last = progress
        return self._line.post(lambda: self._progress(0))

    def on_evaluation(self, done: int, total: int) -> bool:
        """Likewise."""
        return self._line.post(lambda: self._progress(done))

    def _progress(self, evaluated: int) -> LegProgress:
        task = self._task
        last = self.last or Progress(task.until_steps, task.until_steps, 0.0, 0.0, 0.0, math.nan, math.nan)
        name = {"trial": task.trial, "rung": task.rung, "attempt": task.attempt}
        return LegProgress(**asdict(last), **name, at=time.time(), evaluated=evaluated)


def _status_of(error: Exception) -> Any:
    """The status of a leg that raised `error`: what a node, a disk or another worker did is not its configuration's fault."""
    from torch.distributed import DistError

    if isinstance(error, InterruptedRun):
        return "interrupted"
    if is_disk_full(error):
        return "disk_full"
    if isinstance(error, CheckpointError):  # another leg of the trial goes on from what is whole
        return "lost"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, RayError) and not isinstance(inner, RayTaskError):
            return "lost"
        inner = inner.__cause__
    if isinstance(error, DistError) or (isinstance(error, RuntimeError) and PEER_SIGN in str(error)):
        return "lost"
    return error.status if isinstance(error, TrialError) else "failed"


def prepare(feed: DataFeed) -> None:
    """Have this process import and map everything that a leg needs."""
    import trm.training.trainer
    from trm.kernels.build import why_missing
    from trm.training.process import keep_freed_memory, training_device

    keep_freed_memory()
    assert trm.training.trainer.run_leg is not None
    if training_device() == "cpu":
        why_missing()  # compiles what the machine never compiled
    feed.warm_up()
    forget()


def forget() -> None:
    """Give back what the leg's network and optimizer held, before the next one makes its own."""
    import torch

    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # what was imported stays: looking through all of it took 0.2 s a leg
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

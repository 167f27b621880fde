"""What runs in a trial's process: one leg in place. What a leg does is the same in a gang's worker (`gang_legs.py`).

A leg's outcome travels as one JSON object and lies beside its checkpoint too, written just before it, so that a leg that was
done before is done at once: whoever asks again, after a crash or through Tune's own restore, gets the same answer.
"""

import gc
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray.tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from trm.cluster.beginnings import begun_whole
from trm.cluster.leg import LegReturn, LegTask
from trm.cluster.processes import WorkerProcess
from trm.cluster.progress_board import BoardReporter, LegProgress, meet
from trm.cluster.shared_data import DataFeed
from trm.cluster.stream import held_actor, leg_stream
from trm.cluster.tune_legs import LEG, OUTCOME, WARM_UP
from trm.config.data import DataConfig
from trm.config.run import RunConfig
from trm.console.redaction import reason_of
from trm.errors import EXIT_FAILED, CheckpointError, InterruptedRun, SweepError, TrialError
from trm.files.atomic import make_folders, write_text_atomic
from trm.files.contained import relative_path
from trm.files.disk import is_disk_full
from trm.files.json_files import read_json
from trm.sweeps.checkpoints import CHECKPOINT_MARK, outcome_beside

if TYPE_CHECKING:
    from trm.training.leg import LegOutcome

PEER_SIGN = "gloo/transport"
"""In what gloo raises in a worker whose neighbour is gone or silent; NCCL raises an error class of its own."""


def leg_in_place(config: dict[str, Any], *, feed: DataFeed, board: ActorHandle, slots: int) -> None:
    """Tune function: do one leg in this process, which the next leg reuses."""
    if config[LEG] == WARM_UP:
        prepare(feed)
        if feed.is_streamed:
            held_actor(feed.folder, 1)
        meet(board, slots)
        ray.tune.report({OUTCOME: "{}"})
        return
    task = LegTask(**json.loads(config[LEG]))
    returned = recorded(task)
    if returned is None:
        board.begin.remote(task.leg, WorkerProcess.current())
        with leg_stream(data_of(task), feed.folder, workers=1) as stream:
            returned = do_leg(task, feed, board, stream=stream)
    board.ended.remote(task.leg)
    ray.tune.report({OUTCOME: json.dumps(asdict(returned))})
    if returned.status in ("out_of_memory", "failed"):
        # The report was taken. The next leg gets a fresh process: this one's allocator or device may be past use.
        os._exit(EXIT_FAILED)
    forget()


def recorded(task: LegTask) -> LegReturn | None:
    """What the leg returned if it was completed before, by any attempt."""
    for mark in sorted(Path(task.trial_folder).glob(f"step-{task.until_steps:08d}-attempt-*/{CHECKPOINT_MARK}")):
        try:
            returned = LegReturn(**read_json(outcome_beside(mark.parent), dict, error=SweepError, remedy="run the leg again"))
            relative_path(returned.checkpoint or "")
            return returned
        except (OSError, ValueError, TypeError):
            continue
    return None


def do_leg(task: LegTask, feed: DataFeed, board: ActorHandle, *, gang: Any = None, stream: ActorHandle | None = None) -> LegReturn:
    """Train, score and save one leg here; whatever goes wrong becomes a status, and the process stays usable.

    `stream` reads the training rows for all of the leg's workers, when they stream.
    """
    import torch

    from trm.distributed import SOLO
    from trm.training.process import keep_freed_memory, limit_gpu_memory, training_device

    started = time.time()
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    limit_gpu_memory(task.gpus)
    gang = gang or SOLO
    where = f"{os.uname().nodename}:{os.getpid()}"

    torn: list[str] = []

    def told(returned: LegReturn) -> LegReturn:
        return replace(returned, started_at=started, ended_at=time.time(), process=where, torn=torn)

    def announce(outcome: "LegOutcome") -> None:
        if gang.is_leader:
            make_folders(task.outcome_file.parent)
            write_text_atomic(task.outcome_file, json.dumps(asdict(told(_returned(task, outcome)))))

    reporter = _reporter(board, task)
    try:
        task, torn = begun_whole(task, gang, training_device())
        return told(_returned(task, _train_leg(task, feed, reporter, gang, stream, announce=announce)))
    except Exception as error:  # the trial's edge: one bad configuration must not end the sweep
        failed = LegReturn(status=_status_of(error), error=reason_of(error))
        if (last := reporter.last) is not None:  # what it took counts, whatever became of it
            failed = replace(failed, steps=last.step, train_flops=last.train_flops)
        return told(failed)


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


def _returned(task: LegTask, outcome: "LegOutcome") -> LegReturn:
    latency = {} if outcome.latency_seconds is None else {"latency_seconds": outcome.latency_seconds}
    return LegReturn(
        status="completed",
        metrics={**outcome.metrics, **latency, **{f"train/{name}": value for name, value in outcome.training.items()}},
        standard_errors=outcome.standard_errors,
        steps=outcome.steps,
        train_flops=outcome.train_flops,
        train_seconds=outcome.train_seconds,
        eval_seconds=outcome.eval_seconds,
        overhead_seconds=outcome.overhead_seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        checkpoint=str(task.checkpoint_at(task.until_steps).relative_to(Path(task.trial_folder).parent.parent)),
    )


def data_of(task: LegTask) -> DataConfig:
    """Where the leg's data lies, and how it is read."""
    return DataConfig.model_validate(task.config["data"])


def _train_leg(
    task: LegTask,
    feed: DataFeed,
    reporter: Any,
    gang: Any,
    stream: ActorHandle | None,
    *,
    announce: Callable[["LegOutcome"], None],
) -> "LegOutcome":
    from trm.training.curve import CurveFile
    from trm.training.leg import LegWork, run_leg
    from trm.training.process import training_device
    from trm.training.start import RunData

    work = LegWork(
        config=RunConfig.model_validate(task.config),
        max_steps=task.max_steps,
        until_steps=task.until_steps,
        from_checkpoint=task.from_checkpoint,
        curve=None if task.curve is None else CurveFile(task.curve, task.trial),
        puzzles_to=task.puzzles_to,
        is_adopted=task.is_adopted,
        checkpoint_to=str(task.checkpoint_at(task.until_steps)),
        interim=str(Path(task.trial_folder) / f"step-{{step:08d}}-attempt-{task.attempt}"),
    )
    splits = RunData(train=feed.training_rows(work.config.data, stream, gang.rank), validation=feed.split("validation"))
    return run_leg(work, splits, feed.manifest, gang=gang, reporter=reporter, device=training_device(), announce=announce)


def _reporter(board: ActorHandle, task: LegTask) -> Any:
    from trm.training.reporting import Progress, Reporter

    line = BoardReporter(board)

    class LegReporter(Reporter):
        """Posts the leg's progress and hears whether to stop."""

        last: Progress | None = None

        def on_step(self, progress: Progress) -> bool:
            self.last = progress
            return line.post(lambda: self.progress(0))

        def on_evaluation(self, done: int, total: int) -> bool:
            return line.post(lambda: self.progress(done))

        def progress(self, evaluated: int) -> LegProgress:
            last = self.last
            return LegProgress(
                trial=task.trial,
                rung=task.rung,
                attempt=task.attempt,
                step=task.until_steps if last is None else last.step,
                until_steps=task.until_steps,
                loss=math.nan if last is None else last.loss,
                steps_per_second=0.0 if last is None else last.steps_per_second,
                train_flops=0.0 if last is None else last.train_flops,
                at=time.time(),
                evaluated=evaluated,
            )

    return LegReporter()


def prepare(feed: DataFeed) -> None:
    """Have this process import and map everything that a leg needs."""
    import trm.training.leg
    from trm.kernels.build import why_missing
    from trm.training.process import keep_freed_memory, training_device

    keep_freed_memory()
    assert trm.training.leg.run_leg is not None
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

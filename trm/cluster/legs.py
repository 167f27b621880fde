"""What runs in a trial's process: one leg in place, or the driver of a gang of workers for it.

A leg's outcome travels as one JSON object and lies beside its checkpoint too, written just before it, so that a leg that was
done before is done at once: whoever asks again, after a crash or through Tune's own restore, gets the same answer.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ray
import ray.tune
from ray.actor import ActorHandle

from trm.atomic import write_text_atomic
from trm.cluster.board import BoardReporter, LegProgress
from trm.cluster.connection import Demand
from trm.cluster.feed import DataFeed
from trm.cluster.keep import trial_folder
from trm.cluster.stream import gang_stream, leg_stream
from trm.cluster.tune_legs import LEG, OUTCOME, WARM_UP
from trm.config import DataConfig, RunConfig
from trm.errors import CheckpointError, InterruptedRun, TrialError
from trm.search.events import LegStarted

if TYPE_CHECKING:
    from trm.training.leg import LegOutcome

CHECKPOINT_MARK = "meta.json"
"""A folder with this file is a whole checkpoint."""
WARM_UP_SECONDS = 60.0
"""How long a warm process waits for its neighbours at most."""


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
    """Absolute: the trial's newest whole checkpoint when the leg was issued."""
    trial_folder: str
    """Absolute; the leg's checkpoints go below it."""
    workers: int
    cpus: float
    gpus: float
    threads: int

    @property
    def is_adopted(self) -> bool:
        """Whether it goes on from another trial's checkpoint."""
        return self.from_checkpoint is not None and Path(self.from_checkpoint).parent != Path(self.trial_folder)

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

    status: Literal["completed", "diverged", "out_of_memory", "failed", "lost", "interrupted"]
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
    started_at: float = 0.0
    ended_at: float = 0.0
    process: str = ""
    """host:pid of the process that trained (the gang's leader)."""


def leg_in_place(config: dict[str, Any], *, feed: DataFeed, board: ActorHandle, slots: int) -> None:
    """Tune function: do one leg in this process, which the next leg reuses."""
    if config[LEG] == WARM_UP:
        _warm_up(feed, board, slots)
        ray.tune.report({OUTCOME: "{}"})
        return
    task = LegTask(**json.loads(config[LEG]))
    returned = recorded(task)
    if returned is None:
        with leg_stream(_data_of(task), feed.folder) as stream:
            returned = do_leg(task, feed, board, stream=stream)
    board.ended.remote(task.trial)
    ray.tune.report({OUTCOME: json.dumps(asdict(returned))})


def leg_as_gang(config: dict[str, Any], *, feed: DataFeed, board: ActorHandle, scratch: str) -> None:
    """Tune function: have a gang of Ray Train workers do one leg; this process only waits."""
    from trm.cluster.gang import run_gang

    task = LegTask(**json.loads(config[LEG]))
    returned = recorded(task)
    if returned is None:
        answer = Path(scratch) / f"trial-{task.trial:04d}-rung-{task.rung}-attempt-{task.attempt}"
        shutil.rmtree(answer, ignore_errors=True)
        answer.mkdir(parents=True)
        with gang_stream(_data_of(task), feed.folder, workers=task.workers) as stream:
            failure = run_gang(
                _gang_worker,
                {"task": asdict(task), "feed": feed, "board": board, "stream": stream, "answer": str(answer)},
                Demand(task.workers, task.cpus, task.gpus),
                str(answer / "train"),
            )
        returned = _gang_answer(answer, failure)
        shutil.rmtree(answer, ignore_errors=True)
    board.ended.remote(task.trial)
    ray.tune.report({OUTCOME: json.dumps(asdict(returned))})


def _gang_worker(config: dict[str, Any]) -> None:
    from trm.training.gang import TorchGang

    gang = TorchGang.current()
    task = LegTask(**config["task"])
    returned = do_leg(task, config["feed"], config["board"], gang=gang, stream=config["stream"])
    if gang.is_leader or returned.status != "completed":
        write_text_atomic(Path(config["answer"]) / f"rank-{gang.rank}.json", json.dumps(asdict(returned)))
    if returned.status not in ("completed", "interrupted"):
        # The other workers wait in a collective; Train ends them when one fails.
        raise TrialError(returned.error or returned.status)


def _gang_answer(answer: Path, failure: str | None) -> LegReturn:
    answers = [LegReturn(**json.loads(path.read_text())) for path in sorted(answer.glob("rank-*.json"))]
    worst = [returned for returned in answers if returned.status != "completed"]
    if worst:
        return worst[0]
    if failure is None and answers:
        return answers[0]
    # What a leg raises becomes an answer, so a worker without one died with its process or its node.
    return LegReturn(status="lost", error=failure or "the gang ended without an answer", ended_at=time.time())


def newest_checkpoint(sweep_folder: Path, leg: LegStarted) -> str | None:
    """Where `leg` goes on from, absolute: what an earlier attempt at it left on the way, else the checkpoint it was given.

    Of the trial's own whole checkpoints only those beyond the given one count: a member of a population may have been given
    another's. Without the given one, which `keep` may have deleted, the trial's own newest; null: the trial's start.
    """
    given = sweep_folder / leg.from_checkpoint if leg.from_checkpoint is not None else None
    own = trial_folder(sweep_folder, leg.trial)
    is_given = given is not None and (given.parent != own or (given / CHECKPOINT_MARK).is_file())
    first = _step_of(given) + 1 if given is not None and is_given else 0
    whole = [path.parent for path in own.glob(f"step-*-attempt-*/{CHECKPOINT_MARK}")]
    left = [(_step_of(path), path.name, path) for path in whole if first <= _step_of(path) <= leg.until_steps]
    if left:
        return str(max(left)[2])
    return str(given) if is_given else None


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def outcome_beside(checkpoint: Path) -> Path:
    """The file with the outcome of the leg that ended with `checkpoint`."""
    return checkpoint.with_name(f"{checkpoint.name}.json")


def recorded(task: LegTask) -> LegReturn | None:
    """What the leg returned if it was completed before, by any attempt."""
    for mark in sorted(Path(task.trial_folder).glob(f"step-{task.until_steps:08d}-attempt-*/{CHECKPOINT_MARK}")):
        try:
            return LegReturn(**json.loads(outcome_beside(mark.parent).read_text()))
        except (OSError, ValueError, TypeError):
            continue
    return None


def do_leg(task: LegTask, feed: DataFeed, board: ActorHandle, *, gang: Any = None, stream: ActorHandle | None = None) -> LegReturn:
    """Train, score and save one leg here; whatever goes wrong becomes a status, and the process stays usable.

    `stream` reads the training rows for all of the leg's workers, when they stream.
    """
    import torch

    from trm.models.devices import keep_freed_memory
    from trm.training.gang import SOLO

    started = time.time()
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    gang = gang or SOLO
    where = f"{os.uname().nodename}:{os.getpid()}"

    def told(returned: LegReturn) -> LegReturn:
        return replace(returned, started_at=started, ended_at=time.time(), process=where)

    def announce(outcome: "LegOutcome") -> None:
        if gang.is_leader:
            task.outcome_file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(task.outcome_file, json.dumps(asdict(told(_returned(task, outcome)))))

    try:
        return told(_returned(task, _train_leg(task, feed, board, gang, stream, announce=announce)))
    except TrialError as error:
        return told(LegReturn(status=error.status, error=_line(error)))  # type: ignore[arg-type]
    except InterruptedRun as error:
        return told(LegReturn(status="interrupted", error=_line(error)))
    except CheckpointError as error:  # no fault of the configuration: another leg of the trial goes on from what is whole
        return told(LegReturn(status="lost", error=_line(error)))
    except Exception as error:  # the trial's edge: one bad configuration must not end the sweep
        return told(LegReturn(status="failed", error=_line(error)))


def _returned(task: LegTask, outcome: "LegOutcome") -> LegReturn:
    return LegReturn(
        status="completed",
        metrics={**outcome.metrics, **{f"train/{name}": value for name, value in outcome.training.items()}},
        standard_errors=outcome.standard_errors,
        steps=outcome.steps,
        train_flops=outcome.train_flops,
        train_seconds=outcome.train_seconds,
        eval_seconds=outcome.eval_seconds,
        overhead_seconds=outcome.overhead_seconds,
        checkpoint=str(task.checkpoint_at(task.until_steps).relative_to(Path(task.trial_folder).parent.parent)),
    )


def _data_of(task: LegTask) -> DataConfig:
    return DataConfig.model_validate(task.config["data"])


def _train_leg(
    task: LegTask,
    feed: DataFeed,
    board: ActorHandle,
    gang: Any,
    stream: ActorHandle | None,
    *,
    announce: Callable[["LegOutcome"], None],
) -> "LegOutcome":
    from trm.models.devices import training_device
    from trm.training.leg import LegWork, run_leg
    from trm.training.start import RunData

    work = LegWork(
        config=RunConfig.model_validate(task.config),
        max_steps=task.max_steps,
        until_steps=task.until_steps,
        from_checkpoint=task.from_checkpoint,
        is_adopted=task.is_adopted,
        checkpoint_to=str(task.checkpoint_at(task.until_steps)),
        interim=str(Path(task.trial_folder) / f"step-{{step:08d}}-attempt-{task.attempt}"),
    )
    splits = RunData(train=feed.training_rows(work.config.data, stream, gang.rank), validation=feed.split("validation"))
    reporter = _reporter(board, task)
    return run_leg(work, splits, feed.manifest, gang=gang, reporter=reporter, device=training_device(), announce=announce)


def _reporter(board: ActorHandle, task: LegTask) -> Any:
    from trm.training.reporting import Progress, Reporter

    line = BoardReporter(board)

    class LegReporter(Reporter):
        """Posts the leg's progress and hears whether to stop."""

        def on_step(self, progress: Progress) -> bool:
            return line.post(
                lambda: LegProgress(
                    trial=task.trial,
                    rung=task.rung,
                    step=progress.step,
                    until_steps=task.until_steps,
                    loss=progress.loss,
                    steps_per_second=progress.steps_per_second,
                    train_flops=progress.train_flops,
                    at=time.time(),
                )
            )

        def on_evaluation(self, done: int, total: int) -> bool:
            return line.is_stopped

    return LegReporter()


def _warm_up(feed: DataFeed, board: ActorHandle, slots: int) -> None:
    import trm.training.leg
    from trm.models.devices import keep_freed_memory

    keep_freed_memory()
    assert trm.training.leg.run_leg is not None
    feed.warm_up()
    process = f"{os.uname().nodename}:{os.getpid()}"
    deadline = time.monotonic() + WARM_UP_SECONDS
    while ray.get(board.warm.remote(process)) < slots and time.monotonic() < deadline:
        time.sleep(0.05)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:500]

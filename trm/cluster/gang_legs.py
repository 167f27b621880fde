"""What a gang's legs run: the Tune trial that waits for it, and each of its Ray Train workers."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.tune
from ray.actor import ActorHandle

from trm.atomic import write_text_atomic
from trm.cluster.connection import Demand
from trm.cluster.feed import DataFeed
from trm.cluster.legs import LegReturn, LegTask, data_of, do_leg, recorded
from trm.cluster.processes import WorkerProcess
from trm.cluster.stream import gang_stream
from trm.cluster.tune_legs import LEG, OUTCOME
from trm.errors import TrialError


def leg_as_gang(config: dict[str, Any], *, feed: DataFeed, board: ActorHandle, scratch: str) -> None:
    """Tune function: have a gang of Ray Train workers do one leg; this process only waits."""
    from trm.cluster.gang import run_gang

    task = LegTask(**json.loads(config[LEG]))
    returned = recorded(task)
    if returned is None:
        answer = Path(scratch) / f"trial-{task.trial:04d}-rung-{task.rung}-attempt-{task.attempt}"
        shutil.rmtree(answer, ignore_errors=True)
        answer.mkdir(parents=True)
        board.begin_gang.remote(task.leg, WorkerProcess.current())
        with gang_stream(data_of(task), feed.folder, workers=task.workers) as stream:
            failure = run_gang(
                _gang_worker,
                {"task": asdict(task), "feed": feed, "board": board, "stream": stream, "answer": str(answer)},
                Demand(task.workers, task.cpus, task.gpus),
                str(answer / "train"),
            )
        returned = gang_answer(answer, failure)
        shutil.rmtree(answer, ignore_errors=True)
    board.ended.remote(task.leg)
    ray.tune.report({OUTCOME: json.dumps(asdict(returned))})


def _gang_worker(config: dict[str, Any]) -> None:
    from trm.training.gang import TorchGang

    gang = TorchGang.current()
    task = LegTask(**config["task"])
    config["board"].begin.remote(task.leg, WorkerProcess.current())
    returned = do_leg(task, config["feed"], config["board"], gang=gang, stream=config["stream"])
    if gang.is_leader or returned.status != "completed":
        write_text_atomic(Path(config["answer"]) / f"rank-{gang.rank}.json", json.dumps(asdict(returned)))
    if returned.status not in ("completed", "interrupted"):
        # The other workers wait in a collective; Train ends them when one fails.
        raise TrialError(returned.error or returned.status)


def gang_answer(answer: Path, failure: str | None) -> LegReturn:
    """What the gang's leg came to: a worker's own trouble stands before what its neighbours met when it was gone."""
    answers = [LegReturn(**json.loads(path.read_text())) for path in sorted(answer.glob("rank-*.json"))]
    troubled = [returned for returned in answers if returned.status != "completed"]
    own = [returned for returned in troubled if returned.status != "lost"]
    if own:
        return own[0]
    if failure is None and answers and not troubled:
        return answers[0]
    # What a leg raises becomes an answer, so a worker without one died with its process or its node.
    met = troubled[0].error if troubled else None
    return LegReturn(status="lost", error=failure or met or "the gang ended without an answer", ended_at=time.time())

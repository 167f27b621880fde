"""What a gang's legs run: the Tune trial, which keeps a group of workers from leg to leg, and each of the workers."""

import contextlib
import json
import os
import time
from dataclasses import asdict
from typing import Any

import ray
import ray.tune
from ray.actor import ActorHandle
from ray.exceptions import RayError

from trm.cluster.connection import Demand
from trm.cluster.leg_in_place import NOT_HERE, do_leg, forget, leg_in_place, prepare
from trm.cluster.places import place_of
from trm.cluster.processes import WorkerProcess
from trm.cluster.progress_board import answered
from trm.cluster.shared_data import DataFeed, SweepFeed
from trm.cluster.stream import held_actor, leg_stream
from trm.cluster.tune_legs import LEG, OUTCOME, WARM_UP
from trm.cluster.worker_group import Seat, Told, WorkerGroup, seats_in
from trm.console.redaction import reason_of
from trm.errors import EXIT_FAILED
from trm.sweeps.legs_done import found
from trm.training.leg import LegResult, LegTask, task_from

WARM_UP_SECONDS = 60.0
"""A gang's workers may take so long to meet before the first leg."""
ALIKE = ("completed", "diverged", "interrupted")
"""What all workers of a gang come to at the same step, so that they can go on together with another leg."""


class _KeptGang:
    """The group of workers of this process, if there is one."""

    group: WorkerGroup | None = None


def leg_as_gang(config: dict[str, Any], *, feed: SweepFeed, board: ActorHandle, demand: Demand) -> None:
    """Tune function: have this process's gang do one leg. The workers' bundles follow the process's own in its placement group."""
    if config[LEG] == WARM_UP:
        _warm_up(feed.first, demand)
        ray.tune.report({OUTCOME: "{}"})
        return
    place = ray.util.get_current_placement_group()
    _by_workers(config, feed, board, demand, seats_in(place, demand, first_bundle=1))


def leg_on_slots(config: dict[str, Any], *, feed: SweepFeed, board: ActorHandle, demand: Demand) -> None:
    """Tune function: one leg in place, or where it has further places by workers there and one in this process's own.

    That one takes up none of the place, all of which this process has.
    """
    if config[LEG] == WARM_UP or not task_from(config[LEG]).places:
        leg_in_place(config, feed=feed, board=board)
        return
    gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
    _by_workers(config, feed, board, demand, [Seat(ray.util.get_current_placement_group(), 0, 0, 0, gpus)])


def _by_workers(config: dict[str, Any], feed: SweepFeed, board: ActorHandle, demand: Demand, seats: list[Seat]) -> None:
    """One leg on these seats, and on those of the task's further places."""
    (task, result), holder, is_kept = found(task_from(config[LEG])), WorkerProcess.current(), True
    if result is None and not answered(board.begin_gang.remote(task.leg, holder, _crew())):
        result, is_kept = NOT_HERE, False
    if result is None:
        own = feed.of(task.config.data)
        first = 0 if demand.workers == 1 else 1
        seats = [*seats, *(seat for one in task.places for seat in seats_in(place_of(one), demand, first_bundle=first))]
        with leg_stream(task.config.data, own.folder, workers=len(seats)) as stream:
            result = _do_together(task, own, board, seats, stream)
    board.ended.remote(task.leg)
    if result.status == "interrupted" and is_kept:
        is_kept = all(answered(board.keeps.remote(process)) for process in (holder, *_crew()))
    if not is_kept:
        board.gone.remote(holder)
    ray.tune.report({OUTCOME: json.dumps(asdict(result))})
    if not is_kept:  # the report was taken; the workers end with this process
        os._exit(EXIT_FAILED)


def _do_together(task: LegTask, feed: DataFeed, board: ActorHandle, seats: list[Seat], stream: ActorHandle | None) -> LegResult:
    if task.places:
        end_kept_gang()  # the places of some of these are not this process's for long, and its own are wanted for others
    try:
        group = _kept_gang(feed, seats)
    except RayError as error:
        return gang_answer(Told([], f"its workers did not start: {error}"), len(seats))
    board.begin_gang.remote(task.leg, WorkerProcess.current(), _crew())
    told = group.do(_work, task, feed, board, stream, is_trouble=lambda returned: returned.status != "completed")
    if task.places or not is_usable(told, len(seats)):
        end_kept_gang()
    return gang_answer(told, len(seats))


def end_kept_gang() -> None:
    """The workers that the last leg left, if any, are ended; the next leg starts others."""
    group, _KeptGang.group = _KeptGang.group, None
    if group is not None:
        group.end()


def _work(task: LegTask, feed: DataFeed, board: ActorHandle, stream: ActorHandle | None) -> LegResult:
    """A worker's part of the leg."""
    from trm.distributed import TorchGang

    board.begin.remote(task.leg, WorkerProcess.current())
    returned = do_leg(task, feed, board, gang=TorchGang.current(), stream=stream)
    forget()
    return returned


def is_usable(told: Told, workers: int) -> bool:
    """Whether all workers of the gang came to the same end, at the same place, so that their next leg finds no half collective."""
    statuses = {returned.status for returned in told.answers}
    return told.failure is None and len(told.answers) == workers and len(statuses) == 1 and statuses <= set(ALIKE)


def gang_answer(told: Told, workers: int) -> LegResult:
    """What the gang's leg came to: a worker's own trouble stands before what its neighbours met when it was gone."""
    answers: list[LegResult] = told.answers
    troubled = [returned for returned in answers if returned.status != "completed"]
    own = [returned for returned in troubled if returned.status != "lost"]
    if own:
        return own[0]
    if told.failure is None and len(answers) == workers and not troubled:
        return answers[0]  # the leader's
    # What a leg raises becomes an answer, so a worker without one died with its process or its node.
    met = troubled[0].error if troubled else None
    error, who = told.failure or met or "the gang ended without an answer", str(told.failed or "")
    return LegResult(status="lost", error=error, process=who, ended_at=time.time())


def _kept_gang(feed: DataFeed, seats: list[Seat], limit_seconds: float | None = None) -> WorkerGroup:
    """The group that the last leg left, or another one."""
    if _KeptGang.group is None:
        group = WorkerGroup(seats, limit_seconds=limit_seconds)
        told = group.do(prepare, feed)
        if told.failure is not None:
            group.end()
            raise RayError(reason_of(told.failure))
        _KeptGang.group = group
    return _KeptGang.group


def _crew() -> list[WorkerProcess]:
    return _KeptGang.group.processes if _KeptGang.group is not None else []


def _warm_up(feed: DataFeed, demand: Demand) -> None:
    if feed.is_streamed:
        held_actor(feed.folder, demand.workers)
    with contextlib.suppress(RayError):  # the first leg tries again, and is watched
        _kept_gang(feed, seats_in(ray.util.get_current_placement_group(), demand, first_bundle=1), WARM_UP_SECONDS)

"""The workers of a gang that stay from leg to leg: Ray actors that share a torch process group.

Ray Train's workers live for one function: ten seconds of start for every leg, and two from its answer to whoever waits for it.
Its ways are kept: a rank an actor, gloo or NCCL, the GPUs of a node visible to all of its workers.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trm.cluster.connection import Demand
from trm.cluster.interfaces import LOOPBACK, meet_at, meet_at_node
from trm.cluster.processes import WorkerProcess

COLLECTIVE_SECONDS = 600
"""A worker that waits so long for another gives up; torch itself would wait for half an hour."""
GRACE_SECONDS = 5.0
"""When one worker has trouble, its neighbours have so long to tell theirs: they may wait in a collective for ever."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Told:
    """What the workers of a group answered."""

    answers: list[Any]
    """By rank; shorter than the group where a worker died, raised or was not waited for."""
    failure: str | None
    """What Ray says of the first that died or raised; null: none did."""
    failed: WorkerProcess | None = None
    """The process of that one."""


@dataclass(frozen=True)
class Seat:
    """Where a worker of a group is, and what of it is the worker's."""

    place: PlacementGroup
    bundle: int
    cpus: float
    gpus: float
    given: list[str] | None = None
    """GPUs that whoever makes the group was given for this seat, whose place is its own; null: the worker is given its own."""


def seats_in(place: PlacementGroup, demand: Demand, *, first_bundle: int = 0) -> list[Seat]:
    """The seats of a trial's workers in a placement group."""
    return [Seat(place, first_bundle + rank, demand.cpus, demand.gpus) for rank in range(demand.workers)]


class GroupWorker:
    """One worker, an actor: all that it does runs in its main thread, whose CUDA device is the worker's own."""

    def introduce(self) -> tuple[WorkerProcess, list[str]]:
        """This process, and the GPUs that Ray gave it."""
        return WorkerProcess.current(), [str(gpu) for gpu in ray.get_gpu_ids()]

    def open_store(self, workers: int, is_one_node: bool) -> tuple[str, int]:
        """Be the one at whom the others meet: address and port. Torch itself would listen to all networks of the node.

        Workers of one node meet on loopback: nobody else has to reach them.
        """
        import torch.distributed as dist

        door = socket.create_server((LOOPBACK if is_one_node else ray.util.get_node_ip_address(), 0))
        host, port = door.getsockname()
        limit = timedelta(seconds=COLLECTIVE_SECONDS)
        self._store = dist.TCPStore(  # type: ignore[attr-defined]
            host, port, workers, is_master=True, wait_for_workers=False, timeout=limit, master_listen_fd=door.detach()
        )
        return host, port

    def join(self, rank: int, workers: int, store: tuple[str, int], own: list[str], gpus: list[str]) -> None:
        """Become `rank` of the process group, with its `own` GPUs; `gpus`: those of all its node's workers."""
        if store[0] == LOOPBACK:
            meet_at(LOOPBACK)
        else:
            meet_at_node()
        if own:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        import torch
        import torch.distributed as dist

        if own:
            torch.cuda.set_device(gpus.index(own[0]))
        limit = timedelta(seconds=COLLECTIVE_SECONDS)
        if rank:
            self._store = dist.TCPStore(*store, workers, is_master=False, timeout=limit)  # type: ignore[attr-defined]
        backend = "nccl" if own else "gloo"
        dist.init_process_group(backend, store=self._store, rank=rank, world_size=workers, timeout=limit)

    def do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """What `work` returns here."""
        return work(*arguments)


class WorkerGroup:
    """Workers of a gang, each in its bundle of a placement group; they end with the process that made them."""

    def __init__(self, seats: list[Seat], *, limit_seconds: float | None = None) -> None:
        """Starts them and waits until they have met. RayError when they cannot be started, or not in `limit_seconds`."""
        self._seats = seats
        self._workers: list[ActorHandle] = [
            ray.remote(GroupWorker)
            .options(
                num_cpus=seat.cpus,
                num_gpus=seat.gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(seat.place, seat.bundle),
            )
            .remote()
            for seat in seats
        ]
        self.processes: list[WorkerProcess] = []
        """By rank."""
        try:
            self._meet(limit_seconds)
        except BaseException:
            self.end()
            raise

    def _meet(self, limit: float | None) -> None:
        told = ray.get([worker.introduce.remote() for worker in self._workers], timeout=limit)
        introduced = [(process, seat.given or gpus) for (process, gpus), seat in zip(told, self._seats, strict=True)]
        self.processes = [process for process, _ in introduced]
        is_one_node = len({process.node_id for process, _ in introduced}) == 1
        store = ray.get(self._workers[0].open_store.remote(len(self._workers), is_one_node), timeout=limit)
        joining = []
        for rank, (process, own) in enumerate(introduced):
            here = visible_gpus([gpus for other, gpus in introduced if other.node_id == process.node_id])
            joining.append(self._workers[rank].join.remote(rank, len(self._workers), store, own, here))
        ray.get(joining, timeout=limit)

    def do(self, work: Callable[..., Any], *arguments: Any, is_trouble: Callable[[Any], bool] = lambda answer: False) -> Told:
        """Have every worker do `work(*arguments)`; returns when all have answered.

        After the first that dies, raises, or answers what `is_trouble`, the others have `GRACE_SECONDS`.
        """
        waiting = {worker.do.remote(work, *arguments): rank for rank, worker in enumerate(self._workers)}
        answers: dict[int, Any] = {}
        failure, failed, deadline = None, None, float("inf")
        while waiting and time.monotonic() < deadline:
            for reference in ray.wait(list(waiting), timeout=POLL_SECONDS)[0]:
                rank, is_troubled = waiting.pop(reference), False
                try:
                    answers[rank] = ray.get(reference)
                    is_troubled = is_trouble(answers[rank])
                except RayError as error:
                    is_troubled = True
                    if failure is None:
                        failure, failed = str(error), self.processes[rank]
                if is_troubled:
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        return Told([answers[rank] for rank in sorted(answers)], failure, failed)

    def end(self) -> None:
        """End the workers at once, whatever they do."""
        for worker in self._workers:
            ray.kill(worker)


def visible_gpus(given: list[list[str]]) -> list[str]:
    """The GPUs that a node's workers were given, each once and in one order for all: NCCL wants to see its neighbours'."""
    return sorted({gpu for gpus in given for gpu in gpus}, key=lambda gpu: (len(gpu), gpu))


@contextlib.contextmanager
def worker_group(demand: Demand) -> Iterator[WorkerGroup]:
    """A group for the block, in a placement group of its own."""
    place = placement_group([demand.bundle] * demand.workers)
    try:
        ray.get(place.ready())
        yield WorkerGroup(seats_in(place, demand))
    finally:
        remove_placement_group(place)  # and the workers in it

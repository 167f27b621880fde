"""Where running legs say how far they are, and hear that they should stop: one small actor a sweep."""

import time
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trm.cluster.processes import WorkerProcess
from trm.training.leg import Leg, LegProgress

ANSWER_SECONDS = 20.0
"""So long may the board take to answer; a leg goes on without."""


class GangProcesses(NamedTuple):
    """Who is to do a gang's leg."""

    holder: WorkerProcess
    """Keeps the workers from leg to leg, and waits for them."""
    crew: list[WorkerProcess]
    """The workers, by rank; empty while they are being started."""


class RunningLegs(NamedTuple):
    """What the board knows of legs that have not ended."""

    progress: dict[Leg, LegProgress]
    """The newest, of those that have made a step."""
    processes: dict[Leg, list[WorkerProcess]]
    """Who has begun them: one process in place, each worker of a gang."""
    gangs: dict[Leg, GangProcesses]
    """The gang of each leg that has one."""
    idle: list[WorkerProcess]
    """Who has done a leg in place or waited for a gang, or is warm, and waits for the next one."""

    @property
    def heard(self) -> dict[Leg, LegProgress | None]:
        """All of them, with what is known of their progress."""
        return {leg: self.progress.get(leg) for leg in (*self.gangs, *self.processes, *self.progress)}

    def among(self, legs: Container[Leg]) -> "RunningLegs":
        """What the running legs among `legs` say."""
        return RunningLegs(
            {leg: value for leg, value in self.progress.items() if leg in legs},
            {leg: value for leg, value in self.processes.items() if leg in legs},
            {leg: value for leg, value in self.gangs.items() if leg in legs},
            self.idle,
        )


class ProgressBoard:
    """Holds the newest progress of every running leg, the stop flag, and who is idle; `start_board` starts one."""

    def __init__(self) -> None:
        self._progress: dict[Leg, LegProgress] = {}
        self._processes: dict[Leg, list[WorkerProcess]] = {}
        self._gangs: dict[Leg, GangProcesses] = {}
        self._is_stopping = False
        self._yielding: set[Leg] = set()
        self._idle: dict[WorkerProcess, None] = {}
        self._off: set[str] = set()
        self._leaving: set[str] = set()

    def begin(self, leg: Leg, process: WorkerProcess) -> bool:
        """A process starts to work on the leg; False: not there, its node takes no legs."""
        self.gone(process)
        self._processes.setdefault(leg, []).append(process)
        return self.keeps(process)

    def begin_gang(self, leg: Leg, holder: WorkerProcess, crew: list[WorkerProcess]) -> bool:
        """The leg is for the crew of this holder, an empty one is being started; False: one of their nodes takes no legs."""
        self.gone(holder)
        self._gangs[leg] = GangProcesses(holder, crew)
        return all(self.keeps(process) for process in (holder, *crew))

    def keeps(self, process: WorkerProcess) -> bool:
        """Whether the process may take another leg."""
        return process.node_id not in self._off

    def keep_off(self, off: Iterable[str], leaving: Iterable[str]) -> None:
        """Processes on the nodes `off` take no further leg; those on nodes that are `leaving` save and stop the one they do."""
        self._off, self._leaving = set(off), set(leaving)

    def put(self, progress: LegProgress) -> bool:
        """Keep the leg's newest progress; True asks the leg to stop."""
        self._progress[progress.leg] = progress
        if self._is_stopping or progress.leg in self._yielding:
            return True
        return any(process.node_id in self._leaving for process in self._at_work(progress.leg))

    def _at_work(self, leg: Leg) -> list[WorkerProcess]:
        gang = self._gangs.get(leg)
        return [*self._processes.get(leg, []), *([gang.holder] if gang is not None else [])]

    def running(self) -> RunningLegs:
        """What is known of every leg that has not ended."""
        return RunningLegs(self._progress, self._processes, self._gangs, list(self._idle))

    def ended(self, leg: Leg) -> None:
        """Forget a leg that returned, or whose process is gone."""
        self._progress.pop(leg, None)
        self._yielding.discard(leg)
        processes = self._processes.pop(leg, [])
        gang = self._gangs.pop(leg, None)
        self._idle |= dict.fromkeys(processes if gang is None else [gang.holder])

    def ask_to_yield(self, legs: Iterable[Leg]) -> None:
        """Ask these legs alone to stop at their next report."""
        self._yielding = set(legs)

    def stop_all(self) -> None:
        """Ask every leg to stop at its next report."""
        self._is_stopping = True

    def warm(self, process: WorkerProcess) -> None:
        """A process has everything imported, and waits for its first leg."""
        self._idle[process] = None

    def gone(self, process: WorkerProcess) -> None:
        """The process was ended."""
        self._idle.pop(process, None)


def answered(reference: ray.ObjectRef) -> bool:
    """What the board says to a question; a board that does not answer has no objection."""
    try:
        return bool(ray.get(reference, timeout=ANSWER_SECONDS))
    except RayError:
        return True


def start_board() -> ActorHandle:
    """A board in a process of its own on the driver's node, so that it is lost with no other; killed, it starts again, empty."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3, scheduling_strategy=here)(ProgressBoard).remote()


class BoardReporter:
    """A leg's line to the board: at most one post an interval, and never a wait for the answer."""

    interval_seconds = 0.5

    def __init__(self, board: ActorHandle) -> None:
        self._board = board
        self._last = 0.0
        self._answer: ray.ObjectRef | None = None
        self.is_stopped = False
        """Whether the board has asked to stop."""

    def post(self, progress: Callable[[], LegProgress]) -> bool:
        """Post what `progress` makes, if the interval has passed; True when the leg should stop."""
        now = time.monotonic()
        if now - self._last < self.interval_seconds:
            return self.is_stopped
        self._last = now
        if self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            self.is_stopped = self.is_stopped or bool(ray.get(self._answer))
            self._answer = None
        if self._answer is None:
            self._answer = self._board.put.remote(progress())
        return self.is_stopped

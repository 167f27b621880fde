"""The process that does a leg, as others see it: where it is, how it is ended, and what its death tells."""

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ray
from ray._raylet import getproctitle, setproctitle  # type: ignore[attr-defined]  # compiled
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trm.console.redaction import reason_of
from trm.training.leg import LegTask

ANSWER_SECONDS = 8.0
"""So long may nodes take to carry out a small task; a worker process may have to be started for it, and the driver waits."""
MEMORY_SIGNS = ("OutOfMemoryError", "low on memory", "ran out of memory")
"""What Ray says of a process that its memory monitor ended."""
NODE_SIGNS = ("node has died", "NodeDiedError", "preempt", "placement group")
DIED_SIGN, RAISED_SIGN = "died unexpectedly", "ray::"
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/proc/vmstat")
"""Where the kernel counts the processes that it killed for lack of memory: those of this container, else those of the machine."""


@dataclass(frozen=True)
class WorkerProcess:
    """A process on a node of the cluster, told apart from a later one with its number."""

    node_id: str
    host: str
    pid: int
    started: str
    """Its start by the kernel's clock; empty where that is unknown."""
    oom_kills: int = field(compare=False)
    """Processes that its node had killed for lack of memory when it told of itself."""

    @classmethod
    def current(cls) -> "WorkerProcess":
        """This process."""
        pid = os.getpid()
        return cls(ray.get_runtime_context().get_node_id(), os.uname().nodename, pid, _started(pid), oom_kills())

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True)
class Death:
    """What became of a leg whose process ended without an answer."""

    status: Literal["lost", "out_of_memory", "failed"]
    error: str
    is_nodes: bool = False
    """Whether its whole node was lost."""


@contextlib.contextmanager
def titled(task: LegTask, rank: int) -> Iterator[None]:
    """While entered, `ps`, `top` and Ray's dashboard show what this process works on: sweep, trial, rung and rank."""
    before = getproctitle()
    setproctitle(f"{before} {_sweep_of(task)} trial {task.trial} rung {task.rung} rank {rank}")
    try:
        yield
    finally:
        setproctitle(before)


def _sweep_of(task: LegTask) -> str:
    if task.objects is not None:
        return task.objects.rstrip("/").rpartition("/")[2]
    return Path(task.folder).parents[1].name if task.folder is not None else "leg"


def end_process(process: WorkerProcess) -> None:
    """Have its node SIGKILL the process; nobody waits for that."""
    _task_on(process.node_id, _kill).remote(process)


def death_of(text: str, processes: list[WorkerProcess], silent: set[str]) -> Death:
    """What the end of `processes` was, from what Ray said of it and from what their nodes counted.

    `silent`: ids of nodes that did not answer a moment ago and are not asked again; those that do not answer now are added.
    """
    if any(sign in text for sign in MEMORY_SIGNS):
        used = re.search(r"actual memory used=([\d.]+GB)", text)
        held = f" (it held {used[1]})" if used else ""
        return Death("out_of_memory", f"Ray ended the leg's process, because its node ran out of memory{held}")
    if any(sign in text for sign in NODE_SIGNS):
        return Death("lost", f"the node of the leg's process was lost: {reason_of(text)}", is_nodes=True)
    if raised := _raised(text):
        return Death("failed", raised)
    asked = [process for process in processes if process.node_id not in silent]
    counted = list(zip(asked, oom_kills_at(asked), strict=True))
    for process, now in counted:
        if now is not None and now > process.oom_kills:
            return Death("out_of_memory", f"the kernel killed {process} or a neighbour, because {process.host} ran out of memory")
    silent |= {process.node_id for process, now in counted if now is None}
    if hosts := [process.host for process in processes if process.node_id in silent]:  # Ray takes 10 s and more to count it as lost
        return Death("lost", f"the node of the leg's process does not answer: {', '.join(hosts)}", is_nodes=True)
    died = "the leg's process ended without a word (killed, or its node was lost)"
    return Death("lost", died if not text or DIED_SIGN in text else reason_of(text))


def _task_on(node_id: str, function: Callable[..., Any]) -> Any:
    strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=strategy)


def oom_kills_at(processes: list[WorkerProcess]) -> list[int | None]:
    """What `oom_kills` says on the node of each; None where that is gone or does not answer."""
    asked = [_task_on(process.node_id, oom_kills).remote() for process in processes]
    told = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS)[0] if asked else []
    found: list[int | None] = []
    for answer in asked:
        try:
            found.append(int(ray.get(answer)) if answer in told else None)
        except RayError:
            found.append(None)
    return found


def oom_kills() -> int:
    """Processes that the kernel of this node has killed for lack of memory; 0 where it does not say."""
    for path in OOM_COUNTERS:
        try:
            counts = dict(line.split() for line in Path(path).read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def _kill(process: WorkerProcess) -> bool:
    if _started(process.pid) == process.started:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
    return True


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _raised(text: str) -> str | None:
    """The error of a traceback that a leg's function left; None when the process died instead."""
    return reason_of(text) if RAISED_SIGN in text else None

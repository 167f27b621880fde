"""The processes of running legs as the driver sees them: how far they are, which stand still, what their end means."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from trm.cluster.processes import Death, WorkerProcess, death_of, end_process
from trm.cluster.progress_board import RunningLegs
from trm.search.journal.events import LegStarted
from trm.search.search import Search
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.watchdog import Watchdog, pace_of
from trm.training.leg import Leg, LegProgress, LegResult

LEGS_SECONDS = 0.5
"""The board is asked for the running legs so often."""
SILENT_SECONDS = 60.0
"""A node that did not answer is not asked again for so long: each of its legs would hold the driver up."""


class Meant(NamedTuple):
    """What a leg came to."""

    result: LegResult
    nodes: list[str]
    """Ids of the nodes of its processes, as far as they had begun it; of a gang that lost one, the node of that one."""
    is_nodes: bool = False
    """Whether it was lost together with a node."""


def nodes_of(processes: Iterable[WorkerProcess]) -> list[str]:
    """Ids of their nodes, each once."""
    return sorted({process.node_id for process in processes})


class LegWatch:
    """Knows what runs where; ends the processes of legs that stand still, and of those that do not come back."""

    def __init__(
        self,
        search: Search,
        board: ActorHandle,
        message: Callable[[str], None],
        is_gone: Callable[[str], bool] = lambda node: False,
    ) -> None:
        """`message` tells a person whose process was ended; `is_gone`: whether a node of that id was lost."""
        self._search, self._board, self._message, self._is_gone = search, board, message, is_gone
        self.running: dict[Leg, LegStarted] = {}
        self._says = RunningLegs({}, {}, {}, [])
        self._asked: ray.ObjectRef | None = None
        self._watchdog = Watchdog(search.state.space.resources.stall_seconds)
        self._stalled: dict[Leg, LegResult] = {}
        self._silent: set[str] = set()
        self._silent_since = 0.0
        self._holders: dict[Leg, WorkerProcess | str] = {}
        """Whose coming back frees the slot of a leg that has answered: a gang's process, or the name of one in place."""

    @property
    def progress(self) -> list[LegProgress]:
        """How far the running legs are, by what was last heard."""
        return list(self._says.progress.values())

    def begin(self, leg: LegStarted) -> None:
        """A leg was handed out."""
        name = leg.trial, leg.rung, leg.attempt
        self.running[name] = leg
        self._watchdog.add(name, pace_of(self._search, leg))

    def end(self, leg: Leg, result: LegResult | None) -> LegStarted | None:
        """A leg ended, with its own word or without; what was handed out under its name."""
        started = self.running.pop(leg, None)
        self._watchdog.remove(leg)
        if result is not None:
            self._watchdog.answered(leg)
            gang = self._says.gangs.get(leg)
            self._holders[leg] = gang.holder if gang is not None else result.process
        return started

    def came_back(self, leg: Leg) -> None:
        """The process of a leg that ended has come back."""
        self._watchdog.came_back(leg)
        self._holders.pop(leg, None)

    def meant(self, leg: Leg, result: LegResult | None, error: str | None, *, is_told_to_stop: bool) -> Meant:
        """What a leg came to: its own word, or what its end without one means."""
        stalled, processes = self._stalled.pop(leg, None), self._says.processes.get(leg, [])
        if result is not None and result.status != "lost":
            return Meant(result, nodes_of(processes))
        processes = self._processes_of(leg)
        if result is None:
            self._board.ended.remote(leg)
            result = LegResult(status="lost", error=error, process=", ".join(map(str, processes)), ended_at=steady_now())
        if not result.steps and (heard := self._says.progress.get(leg)) is not None:  # what it took counts, though it is lost
            result = replace(result, steps=heard.step, train_flops=heard.train_flops)
        if stalled is not None:
            return Meant(replace(result, status=stalled.status, error=stalled.error), nodes_of(processes))
        if is_told_to_stop:  # it was ended with the sweep
            return Meant(replace(result, status="interrupted"), nodes_of(processes))
        living = [process for process in processes if not self._is_gone(process.node_id)]
        death = self._death_of(result.error or "", living)
        told = replace(result, status=death.status, error=death.error)
        died = [process for process in processes if str(process) == result.process]
        return Meant(told, nodes_of(died or processes), is_nodes=death.is_nodes or len(living) < len(processes))

    def _death_of(self, text: str, processes: list[WorkerProcess]) -> Death:
        now = time.monotonic()
        if now - self._silent_since > SILENT_SECONDS:
            self._silent, self._silent_since = set(), now
        return death_of(text, processes, self._silent)

    def look(self) -> None:
        """Hear what the board knew when it was last asked, end what stands still, ask again; call it every `LEGS_SECONDS`."""
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            said: RunningLegs = ray.get(self._asked)
            living = [process for process in said.idle if not self._is_gone(process.node_id)]
            self._says, self._asked = said._replace(idle=living).among(self.running), None
            self._end_stalled()
        if self._asked is None:
            self._asked = self._board.running.remote()

    def stop_all(self) -> None:
        """Ask every leg to save and stop."""
        self._board.stop_all.remote()

    def _processes_of(self, leg: Leg) -> list[WorkerProcess]:
        """Who did a leg that ended a moment ago, perhaps before the board was last asked."""
        known = self._says.processes.get(leg)
        if known is None:
            with contextlib.suppress(RayError):
                known = ray.get(self._board.running.remote(), timeout=LEGS_SECONDS).processes.get(leg)
        return known or []

    def _end_stalled(self) -> None:
        """End the processes of legs that stand still; Tune then says that they died, and their slots are free."""
        says = self._says
        for leg, why in self._watchdog.stalled(time.monotonic(), says.heard, is_process_idle=bool(says.idle)).items():
            processes, is_begun, why = whom_to_end(leg, says, why)
            where = ", ".join(map(str, processes)) or "an unknown process"
            self._stalled[leg] = LegResult(status="stalled" if is_begun else "lost", error=f"{why}; {where} was ended")
            self._watchdog.remove(leg)
            self._message(f"trial {leg[0]} stands still: {self._stalled[leg].error}")
            self._end(processes)
        for leg in self._watchdog.lingering(time.monotonic()):
            holder = self._holders[leg]
            self._watchdog.came_back(leg)
            self._message(f"{holder} did not come back from trial {leg[0]} and was ended")
            self._end([holder] if isinstance(holder, WorkerProcess) else [one for one in says.idle if str(one) == holder])

    def _end(self, processes: list[WorkerProcess]) -> None:
        for process in processes:
            end_process(process)
            self._board.gone.remote(process)


def whom_to_end(leg: Leg, says: RunningLegs, why: str) -> tuple[list[WorkerProcess], bool, str]:
    """The processes that hold up a leg, whether all of them have begun it (else it is not its configuration's fault), and why."""
    begun, gang = says.processes.get(leg, []), says.gangs.get(leg)
    if gang is None:  # one of the idle ones was given it, when none has begun
        return begun or says.idle, bool(begun), why
    absent = [process for process in gang.crew if process not in begun]
    if not gang.crew:
        why = f"its gang did not start: {why}"
    elif absent:
        why = f"{', '.join(map(str, absent))} did not begin: {why}"
    # Its holder too: it may be the one that stands still, and its end frees their places.
    return [*gang.crew, gang.holder], bool(begun) and not absent, why

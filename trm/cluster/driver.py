"""The sweep's driver: it turns what legs return into journal events, and what the search says into legs.

It is the leg source of `tune_legs.run_legs`. Order, always: checkpoint durable (in the leg), result journaled, decision
journaled, acted upon.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from trm.cluster.connection import Demand
from trm.cluster.processes import WorkerProcess, death_of, end_process
from trm.cluster.progress_board import RunningLegs
from trm.errors import TRMError
from trm.files.disk import free_bytes, full_text, in_units, is_disk_full
from trm.search.journal.events import Decided, Event, LegEnded, LegStarted
from trm.search.log import NoRoom, SweepLog
from trm.sweeps.checkpoints import Keeper
from trm.sweeps.extras import Extras
from trm.sweeps.legs import leg_ended, leg_task
from trm.sweeps.signals import StopSignals
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.watchdog import Watchdog, pace_of
from trm.terminal.command_line import say
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.tracking.handle import MlflowWriter
from trm.training.leg import Leg, LegResult, LegTask

TABLES_SECONDS = 3.0
"""`trials.parquet` is rewritten at most so often."""
TABLES_SHARE = 0.03
"""And at most this share of the driver's time goes into that, however many trials there are."""
LEGS_SECONDS = 0.5
"""The board is asked for the running legs so often."""
NODES_SECONDS = 5.0
"""The cluster is asked for its nodes so often."""
IDLE_SECONDS = 120.0
"""So long without a running leg or a next one, and without an end, is a fault of ours."""


@dataclass(frozen=True)
class Placement:
    """Where a sweep's legs run."""

    demand: Demand
    threads: int
    slots: int


class SweepDriver:
    """Drives one sweep between `start` and its end; `outcome` says how that came."""

    def __init__(
        self,
        log: SweepLog,
        folder: Path,
        placement: Placement,
        board: ActorHandle,
        *,
        display: SweepDisplay,
        progress: SweepProgress,
        writer: MlflowWriter | None,
        signals: StopSignals,
        write_tables: Callable[[], None],
        count_slots: Callable[[], int],
    ) -> None:
        self._log, self._search, self._folder, self._placement = log, log.search, folder, placement
        self._board, self._display, self._progress, self._writer = board, display, progress, writer
        self._signals, self._write_tables = signals, write_tables
        self._extras = Extras(say)
        self._count_slots, self._nodes_at = count_slots, time.monotonic()
        self.slots = placement.slots
        """Legs that may run side by side now."""
        log.on_event = self._tell
        self._running: dict[Leg, LegStarted] = {}
        self._again: list[LegStarted] = []
        """Legs that a full disk ended, to be run once more as if they had never been begun."""
        self._board_says = RunningLegs({}, {}, {}, [])
        self._watchdog = Watchdog(self._search.space.resources.stall_seconds)
        self._stalled: dict[Leg, LegResult] = {}
        self._holders: dict[Leg, WorkerProcess | str] = {}
        """Whose coming back frees the slot of a leg that has answered: a gang's process, or the name of one in place."""
        self._keeper = Keeper(self._search, folder)
        self._pending_legs: ray.ObjectRef | None = None
        self._legs_at = self._tables_due = 0.0
        self._are_tables_old = True
        self._busy_at = time.monotonic()
        self._is_told_to_stop = False
        self._stop_told_at = 0.0
        self._has_left = False
        self.reason: str | None = None
        """Why the sweep is over; None when it was interrupted."""
        self.disk_full: str | None = None
        """How full the disk is, when that ended this driver."""

    # What Tune's searcher asks ------------------------------------------------------------------------------------

    def next_leg(self) -> LegTask | None:
        """The next leg, journaled as started; None while none can start."""
        if self._is_told_to_stop or len(self._running) >= self.slots:
            return None
        try:
            legs = [self._again.pop()] if self._again else self._durably(lambda: self._log.advance(steady_now(), 1))
        except NoRoom as error:
            self._pause(str(error))
            return None
        if not legs or not self._has_room(legs[0]):
            return None
        leg: LegStarted = legs[0]
        self._running[_key(leg)] = leg
        self._watchdog.add(_key(leg), pace_of(self._search, leg))
        demand, threads = self._placement.demand, self._placement.threads
        return leg_task(self._search, self._folder, leg, threads=threads, gpus=demand.gpus)

    def leg_returned(self, task: LegTask, result: LegResult | None, error: str | None) -> None:
        """Journal the end of a leg and what follows from it."""
        if self._has_left:
            return  # the leg is open in the journal; what it did lies beside its checkpoint
        started = self._running.pop(task.leg, None)
        self._watchdog.remove(task.leg)
        if result is not None:
            self._watchdog.answered(task.leg)
            gang = self._board_says.gangs.get(task.leg)
            self._holders[task.leg] = gang.holder if gang is not None else result.process
        self._busy_at = time.monotonic()
        returned = self._returned(task.leg, result, error)
        for problem in returned.torn:
            self._display.message(f"trial {task.trial} did not go on from a checkpoint: {problem}")
        if returned.status == "interrupted":
            return
        if returned.status == "disk_full":
            self._on_disk_full(started, returned.error or "")
            return
        ended = leg_ended(task, returned, self._search.space.objective)
        if self._durably(lambda: self._log.record(ended)):
            # Decisions only: a leg starts when a slot asks for it.
            self._durably(lambda: self._log.advance(steady_now(), 0))

    def leg_over(self, task: LegTask) -> None:
        """The leg's process has come back."""
        self._watchdog.came_back(task.leg)
        self._holders.pop(task.leg, None)

    def _returned(self, leg: Leg, returned: LegResult | None, error: str | None) -> LegResult:
        """What a leg came to: its own word, or what its end without one means."""
        stalled = self._stalled.pop(leg, None)
        if returned is not None and returned.status != "lost":
            return returned
        processes = self._processes_of(leg)
        if returned is None:
            self._board.ended.remote(leg)
            heard = self._board_says.progress.get(leg)  # what it took counts, though it is lost
            returned = LegResult(
                status="lost",
                error=error,
                steps=heard.step if heard is not None else 0,
                train_flops=heard.train_flops if heard is not None else 0.0,
                process=", ".join(map(str, processes)),
                ended_at=steady_now(),
            )
        if stalled is not None:
            return replace(returned, status=stalled.status, error=stalled.error)
        if self._is_told_to_stop:  # it was ended with the sweep
            return replace(returned, status="interrupted")
        death = death_of(returned.error or "", processes)
        return replace(returned, status=death.status, error=death.error)

    def _processes_of(self, leg: Leg) -> list[WorkerProcess]:
        """Who did a leg that ended a moment ago, perhaps before the board was last asked."""
        known = self._board_says.processes.get(leg)
        if known is None:
            with contextlib.suppress(RayError):
                known = ray.get(self._board.running.remote(), timeout=LEGS_SECONDS).processes.get(leg)
        return known or []

    def tick(self) -> None:
        """Look at the clock and the signals, show progress, keep the tables fresh."""
        now = time.monotonic()
        self._watch()
        if self.reason is None and self._signals.is_requested and self.is_stopping:
            self.leave()  # before Tune ends its processes: that can take longer than a signal leaves us
        if now - self._legs_at >= LEGS_SECONDS:
            self._legs_at = now
            self._log.check()
            self._fetch_legs()
        if now - self._nodes_at >= NODES_SECONDS:
            self._nodes_at = now
            self._look_at_nodes()
        self._extras.make("progress", self._show_progress)
        if self._are_tables_old and now >= self._tables_due:
            self._are_tables_old = False
            self._log.check()
            self._durably(lambda: self._extras.make("trials.parquet", self._write_tables))
            self._extras.make("room by `keep`", self._keeper.prune)
            done = time.monotonic()
            self._tables_due = done + max(TABLES_SECONDS, (done - now) / TABLES_SHARE)

    @property
    def is_over(self) -> bool:
        """Whether the search has nothing left to do."""
        if self.reason is None and not self._running:
            self.reason = self._search.is_done(steady_now())
        return self.reason is not None

    @property
    def is_stopping(self) -> bool:
        """Whether Tune should end what runs: everybody was asked to stop, and has returned or had the time to."""
        if not self._is_told_to_stop:
            return False
        return not self._running or self._signals.is_grace_over or self._is_clock_grace_over()

    def leave(self) -> None:
        """Journal once that this driver leaves before the sweep's end, and why; nothing is journaled afterwards."""
        if not self._has_left:
            self._has_left = True
            with contextlib.suppress(OSError) if self.disk_full else contextlib.nullcontext():
                self._log.stop(steady_now(), self.disk_full or self._signals.name)

    # Parts --------------------------------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        if self._display.is_due:
            at, legs = steady_now(), list(self._board_says.progress.values())
            self._display.show(self._progress.snapshot(at, legs, self._search.spent(at)))
        if self._writer is not None and not self._signals.is_requested:
            for message in self._writer.messages():
                self._display.message(message)

    def _message(self, text: str) -> None:
        self._extras.make("progress", lambda: self._display.message(text))

    def _tell(self, event: Event) -> None:
        self._extras.make("progress", lambda: self._progress.apply(event))
        self._extras.make("progress", lambda: self._display.event(event))
        self._are_tables_old = True
        if isinstance(event, LegEnded | Decided):
            self._keeper.note(event.trial)

    def _watch(self) -> None:
        """Notice a signal or a spent clock once, and tell the legs."""
        if self._is_told_to_stop:
            return
        reason = None if self._signals.is_requested else self._search.is_done(steady_now())
        if self._signals.is_requested:
            self._stop_legs(f"{self._signals.name}: running legs save and stop{self._signals.remedy}")
        elif reason is not None and self._running:
            self.reason = reason
            self._stop_legs(f"{reason}: running legs stop")
        elif self._running or reason is not None:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at > IDLE_SECONDS:
            raise TRMError(f"no leg runs and none follows for {IDLE_SECONDS:.0f} s, but the sweep has no end; please report this")

    def _look_at_nodes(self) -> None:
        slots = self._count_slots()
        if slots != self.slots and not self._is_told_to_stop:
            self.slots = slots
            self._durably(lambda: self._log.change_slots(steady_now(), slots))
            self._message(f"nodes joined or left: {slots} legs at a time from here on")

    def _stop_legs(self, message: str) -> None:
        self._message(message)
        self._is_told_to_stop = True
        self._stop_told_at = time.monotonic()
        self._board.stop_all.remote()

    def _is_clock_grace_over(self) -> bool:
        return not self._signals.is_requested and time.monotonic() - self._stop_told_at > 30.0

    def _fetch_legs(self) -> None:
        if self._pending_legs is not None and ray.wait([self._pending_legs], timeout=0)[0]:
            said: RunningLegs = ray.get(self._pending_legs)
            self._board_says, self._pending_legs = said.among(self._running), None
            self._end_stalled()
        if self._pending_legs is None:
            self._pending_legs = self._board.running.remote()

    def _end_stalled(self) -> None:
        """End the processes of legs that stand still; Tune then says that they died, and their slots are free."""
        says = self._board_says
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

    # A full disk --------------------------------------------------------------------------------------------------

    def _durably(self, write: Callable[[], Any]) -> Any:
        """What `write` returns; None after a disk was found full, and pruning did not help: then the sweep is told to pause."""
        for is_last in (False, True):
            try:
                return write()
            except OSError as error:
                if not is_disk_full(error):
                    raise
                if is_last or not self._keeper.prune():
                    self._pause(str(error))
                    return None
        return None

    def _has_room(self, leg: LegStarted) -> bool:
        """Whether the checkpoints of the legs that run and of this one find room, its own twice; pauses the sweep when not."""
        needed = self._needed_bytes(leg)
        if free_bytes(self._folder) >= needed or (self._keeper.prune() and free_bytes(self._folder) >= needed):
            return True
        self._pause(f"the next checkpoints need {in_units(needed)}")
        return False

    def _needed_bytes(self, leg: LegStarted) -> int:
        trials = [leg.trial, *(trial for trial, _, _ in self._running), leg.trial]
        return sum(self._search.trials[trial].asked.checkpoint_bytes for trial in trials)

    def _on_disk_full(self, leg: LegStarted | None, error: str) -> None:
        if leg is None or self._is_told_to_stop:
            return
        if self._keeper.prune() and free_bytes(self._folder) >= self._needed_bytes(leg):
            self._again.append(leg)
        else:
            self._pause(f"the next checkpoints need {in_units(self._needed_bytes(leg))} ({error})")

    def _pause(self, why: str) -> None:
        if self.disk_full is None:
            self.disk_full = full_text(self._folder, why)
            if not self._is_told_to_stop:
                self._stop_legs(f"{self.disk_full}. Running legs stop")


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


def _key(leg: LegStarted) -> Leg:
    return leg.trial, leg.rung, leg.attempt

"""The sweep's driver: it turns what legs return into journal events, and what the search says into legs.

It is the leg source of `tune_legs.run_legs`. Order, always: checkpoint durable (in the leg), result journaled, decision
journaled, acted upon.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ray.actor import ActorHandle

from trm.cluster.connection import Demand
from trm.cluster.gauges import SweepGauges
from trm.cluster.ground import LegGround
from trm.cluster.leg_watch import LEGS_SECONDS, LegWatch, Meant
from trm.cluster.widening import Widening
from trm.console.streams import say
from trm.errors import InterruptedRun, TRMError
from trm.search.journal.events import Decided, Event, LegEnded, LegStarted
from trm.search.log import NoRoom, SweepLog
from trm.sweeps.checkpoints import CheckpointRetention
from trm.sweeps.extras import Extras
from trm.sweeps.legs import leg_ended, leg_task
from trm.sweeps.room import Room
from trm.sweeps.signals import StopSignals
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.wait import Wait
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.tracking.handle import MlflowWriter
from trm.training.leg import LegResult, LegTask

TABLES_SECONDS = 3.0
"""`trials.parquet` is rewritten at most so often."""
TABLES_SHARE = 0.01
"""And at most this share of the driver's time goes into that, however many trials there are."""
NODES_SECONDS = 1.0
"""The cluster is asked for its nodes so often."""
WAIT_SECONDS = 5.0
"""A sweep that has had no place for any leg for so long says that it waits."""
IDLE_SECONDS = 120.0
"""So long without a running leg or a next one, though there is a place for it, and without an end, is a fault of ours."""


@dataclass(frozen=True)
class Placement:
    """Where a sweep's legs run."""

    demand: Demand
    threads: int
    slots: int
    found: Mapping[str, str | None] = field(default_factory=dict)
    """What is wrong with each node that was looked at, by its id; null: it takes legs."""


@dataclass(frozen=True)
class Audience:
    """Who hears of a sweep while its legs run."""

    display: SweepDisplay
    progress: SweepProgress
    writer: MlflowWriter | None
    gauges: SweepGauges


class SweepDriver:
    """Drives one sweep between `start` and its end; `reason` says how that came."""

    def __init__(
        self,
        log: SweepLog,
        folder: Path,
        placement: Placement,
        board: ActorHandle,
        *,
        audience: Audience,
        signals: StopSignals,
        write_tables: Callable[[], None],
        ground: LegGround,
        widening: Widening | None = None,
    ) -> None:
        """`widening`: what is done with slots that idle; null: nothing."""
        self._extras = Extras(say)
        self._log, self._search, self._folder, self._placement = log, log.search, folder, placement
        self._legs, self._signals = LegWatch(log.search, board, self._message, ground.is_gone), signals
        self._display, self._progress, self._writer = audience.display, audience.progress, audience.writer
        self._gauges = audience.gauges
        self._write_tables, self._ground, self._widening = write_tables, ground, widening
        self._wait = Wait(WAIT_SECONDS)
        self._keeper = CheckpointRetention(log.search.state, folder)
        self._room = Room(log.search.state, folder, self._keeper, self._on_full)
        self.slots = placement.slots
        """Legs that may run side by side now."""
        log.on_event = self._tell
        self._again: list[LegStarted] = []
        """Legs that a full disk or a leaving node ended, to be run once more as if they had never been begun."""
        self._nodes_at = time.monotonic()
        self._busy_at: float | None = None
        """When a leg ran last, or none could; None: none was asked for yet."""
        self._legs_at = self._tables_due = 0.0
        self._are_tables_old = True
        self._stop_told_at: float | None = None
        """When the legs were told to stop; None: they were not."""
        self._has_left = False
        self.reason: str | None = None
        """Why the sweep is over; None when it was interrupted."""

    @property
    def disk_full(self) -> str | None:
        """How full the disk is, when that ended this driver."""
        return self._room.full

    # What Tune's searcher asks ------------------------------------------------------------------------------------

    def next_leg(self) -> LegTask | None:
        """The next leg, journaled as started; None while none can start."""
        self._busy_at = self._busy_at or time.monotonic()
        lent = self._widening.lent if self._widening is not None else 0
        if self._is_told_to_stop or len(self._legs.running) + lent >= self.slots:
            return None
        try:
            legs = [self._again.pop()] if self._again else self._room.durably(lambda: self._log.advance(steady_now(), 1))
        except NoRoom as error:
            self._room.give_up(str(error))
            return None
        if self._is_told_to_stop:  # while a store was waited for: what was journaled is void then
            return None
        if not legs or not self._room.has_room(legs[0].trial, self._running_trials()):
            return None
        leg: LegStarted = legs[0]
        self._legs.begin(leg)
        demand, threads = self._placement.demand, self._placement.threads
        places = self._widening.places_of(leg.trial) if self._widening is not None else ()
        return leg_task(self._search, self._folder, leg, threads=threads, gpus=demand.gpus, places=places)

    def leg_returned(self, task: LegTask, result: LegResult | None, error: str | None) -> None:
        """Journal the end of a leg and what follows from it."""
        if self._has_left:
            return  # the leg is open in the journal; what it did lies beside its checkpoint
        started = self._legs.end(task.leg, result)
        self._busy_at = time.monotonic()
        meant = self._legs.meant(task.leg, result, error, is_told_to_stop=self._is_told_to_stop)
        for problem in meant.result.torn:
            self._display.message(f"trial {task.trial} did not go on from a checkpoint: {problem}")
        if meant.result.status == "interrupted":
            self._on_interrupted(started, task, meant)
            return
        if meant.result.status == "disk_full":
            self._on_disk_full(started, meant)
            return
        self._record(task, meant)

    def _record(self, task: LegTask, meant: Meant) -> None:
        ended = self._with_node(leg_ended(task, meant.result, self._search.state.space.objective), meant)
        if self._room.durably(lambda: self._log.record(ended)):
            # Decisions only: a leg starts when a slot asks for it.
            self._room.durably(lambda: self._log.advance(steady_now(), 0))
        if self._widening is not None:
            self._widening.settle()

    def leg_over(self, task: LegTask) -> None:
        """The leg's process has come back."""
        self._legs.came_back(task.leg)

    def tick(self) -> None:
        """Look at the clock and the signals, show progress, keep the tables fresh."""
        now = time.monotonic()
        self._look_at_the_end()
        if self.reason is None and self._signals.is_requested and self.is_stopping:
            self.leave()  # before Tune ends its processes: that can take longer than a signal leaves us
        if now - self._legs_at >= LEGS_SECONDS:
            self._legs_at = now
            self._log.check()
            self._legs.look()
            if (widening := self._widening) is not None and not self._is_told_to_stop:
                self._room.durably(widening.look)
        if now - self._nodes_at >= NODES_SECONDS:
            self._nodes_at = now
            self._look_at_nodes()
        self._extras.make("progress", self._show_progress)
        if self._are_tables_old and now >= self._tables_due:
            self._are_tables_old = False
            self._log.check()
            self._room.durably(lambda: self._extras.make("trials.parquet", self._write_tables))
            self._extras.make("room by `keep`", self._keeper.prune)
            done = time.monotonic()
            self._tables_due = done + max(TABLES_SECONDS, (done - now) / TABLES_SHARE)

    def wait_for_store(self) -> None:
        """What a tick does that journals nothing, while an event is on its way to the store; InterruptedRun when it is to leave."""
        if self._signals.is_requested:
            self._look_at_the_end()
            if self.is_stopping:
                self._has_left = True
                raise InterruptedRun("the store did not answer before the driver was to leave")
        self._extras.make("progress", self._show_progress)

    @property
    def wants(self) -> int:
        """Legs that it would run side by side."""
        return self._ground.wants

    @property
    def is_over(self) -> bool:
        """Whether the search has nothing left to do."""
        if self.reason is None and not self._legs.running:
            self.reason = self._search.is_done(steady_now())
        return self.reason is not None

    @property
    def is_stopping(self) -> bool:
        """Whether Tune should end what runs: everybody was asked to stop, and has returned or had the time to."""
        if not self._is_told_to_stop:
            return False
        return not self._legs.running or self._signals.is_grace_over or self._is_clock_grace_over()

    def leave(self) -> None:
        """Journal once that this driver leaves before the sweep's end, and why; nothing is journaled afterwards."""
        if not self._has_left:
            self._has_left = True
            with contextlib.suppress(OSError) if self.disk_full else contextlib.nullcontext():
                self._log.stop(steady_now(), self.disk_full or self._signals.name)

    # Parts --------------------------------------------------------------------------------------------------------

    @property
    def _is_told_to_stop(self) -> bool:
        return self._stop_told_at is not None

    def _running_trials(self) -> list[int]:
        return [trial for trial, _, _ in self._legs.running]

    def _show_progress(self) -> None:
        if self._display.is_due:
            self._display.show(self._progress.snapshot(steady_now(), self._legs.progress, self._wait.text))
        if self._gauges.is_due:
            self._gauges.show(self._progress.snapshot(steady_now(), self._legs.progress, foresees=False), self.slots)
        if self._writer is not None and not self._signals.is_requested:
            for message in self._writer.messages():
                self._display.message(message)

    def _message(self, text: str) -> None:
        self._extras.make("progress", lambda: self._display.message(text))

    def _tell(self, event: Event) -> None:
        self._extras.make("progress", lambda: self._display.event(event))
        self._gauges.note(event)
        self._are_tables_old = True
        if isinstance(event, LegEnded | Decided):
            self._keeper.note(event.trial)

    def _look_at_the_end(self) -> None:
        """Notice a signal or a spent clock once, and tell the legs."""
        if self._is_told_to_stop:
            return
        reason = None if self._signals.is_requested else self._search.is_done(steady_now())
        if self._signals.is_requested:
            self._stop_legs(f"{self._signals.name}: running legs save and stop{self._signals.remedy}")
        elif reason is not None and self._legs.running:
            self.reason = reason
            self._stop_legs(f"{reason}: running legs stop")
        elif self._legs.running or reason is not None or self._wait.since is not None:
            self._busy_at = self._busy_at and time.monotonic()
        elif self._busy_at is not None and time.monotonic() - self._busy_at > IDLE_SECONDS:
            raise TRMError(f"no leg runs and none follows for {IDLE_SECONDS:.0f} s, but the sweep has no end; please report this")

    def _look_at_nodes(self) -> None:
        self._ground.look()
        slots = self._ground.slots
        if slots != self.slots and not self._is_told_to_stop:
            self.slots = slots
            self._room.durably(lambda: self._log.change_slots(steady_now(), slots))
            self._message(f"nodes joined or left: {slots} legs at a time from here on")
        is_waiting = not self._legs.running and not self._is_told_to_stop
        told = self._wait.look(self._ground.missing() if is_waiting else None, time.monotonic())
        if told is not None:
            self._room.durably(lambda: self._log.await_place(steady_now(), told.what))

    def _with_node(self, ended: LegEnded, meant: Meant) -> LegEnded:
        """The event, with what it says of nodes; they are blamed before the trial is."""
        if ended.status not in ("lost", "stalled"):
            for node in meant.nodes:
                self._ground.ended(node)
            return ended
        if len(meant.nodes) == 1:
            self._ground.lost(meant.nodes[0], ended.trial)
        names = ", ".join(map(self._ground.name, meant.nodes)) or None
        return ended.model_copy(update={"node": names, "with_node": meant.is_nodes and ended.status == "lost"})

    def _on_interrupted(self, leg: LegStarted | None, task: LegTask, meant: Meant) -> None:
        """A leg that stopped because its node is to leave goes on elsewhere; one that has or is to have more slots, on others."""
        if leg is None or self._is_told_to_stop:
            return
        if self._search.state.trials[leg.trial].held_slots > 1:
            self._record(task, meant)
        else:
            self._again.append(leg)

    def _stop_legs(self, text: str) -> None:
        self._message(text)
        self._stop_told_at = time.monotonic()
        self._legs.stop_all()

    def _is_clock_grace_over(self) -> bool:
        told_at = self._stop_told_at
        return not self._signals.is_requested and told_at is not None and time.monotonic() - told_at > 30.0

    def _on_disk_full(self, leg: LegStarted | None, meant: Meant) -> None:
        if leg is None or self._is_told_to_stop:
            return
        where = ", ".join(map(self._ground.name, meant.nodes))
        if self._room.makes_room(leg.trial, self._running_trials(), meant.result.error or "", where):
            self._again.append(leg)

    def _on_full(self, full: str) -> None:
        if not self._is_told_to_stop:
            self._stop_legs(f"{full}. Running legs stop")

"""The sweep's driver: it turns what legs return into journal events, and what the search says into legs.

It is the leg source of `tune_legs.run_legs`. Order, always: checkpoint durable (in the leg), result journaled, decision
journaled, acted upon.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from trm.cluster.board import LegProgress
from trm.cluster.connection import Demand
from trm.cluster.keep import prune_checkpoints, trial_folder
from trm.cluster.legs import LegReturn, LegTask, newest_checkpoint
from trm.cluster.signals import StopSignals
from trm.display import SweepDisplay
from trm.errors import TRMError
from trm.progress import SweepProgress
from trm.search.events import Event, LegEnded, LegStarted
from trm.search.sweep_log import SweepLog
from trm.tracking import MlflowWriter

TABLES_SECONDS = 3.0
"""`trials.parquet` is rewritten at most so often."""
LEGS_SECONDS = 0.5
"""The board is asked for the running legs so often."""
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
    ) -> None:
        self._log, self._search, self._folder, self._placement = log, log.search, folder, placement
        self._board, self._display, self._progress, self._writer = board, display, progress, writer
        self._signals, self._write_tables = signals, write_tables
        log.on_event = self._tell
        self._running: dict[tuple[int, int, int], LegStarted] = {}
        self._legs: list[LegProgress] = []
        self._pending_legs: ray.ObjectRef | None = None
        self._legs_at = self._tables_at = 0.0
        self._are_tables_old = True
        self._busy_at = time.monotonic()
        self._is_told_to_stop = False
        self._stop_told_at = 0.0
        self.reason: str | None = None
        """Why the sweep is over; None when it was interrupted."""

    # What Tune's searcher asks ------------------------------------------------------------------------------------

    def next_leg(self) -> str | None:
        """The next leg as JSON, journaled as started; None while none can start."""
        legs = [] if self._is_told_to_stop else self._log.advance(time.time(), 1)
        if not legs:
            return None
        leg = legs[0]
        self._running[_key(leg)] = leg
        return json.dumps(asdict(self._task(leg)))

    def leg_returned(self, leg: str, outcome: dict[str, Any] | None, error: str | None) -> None:
        """Journal the end of a leg and what follows from it."""
        task = LegTask(**json.loads(leg))
        self._running.pop((task.trial, task.rung, task.attempt), None)
        self._busy_at = time.monotonic()
        returned = LegReturn(**outcome) if outcome else None
        if returned is not None and returned.status == "interrupted":
            return
        if self._log.record(self._leg_ended(task, returned, error)):
            # Decisions only: a leg starts when a slot asks for it.
            self._log.advance(time.time(), 0)

    def tick(self) -> None:
        """Look at the clock and the signals, show progress, keep the tables fresh."""
        now = time.monotonic()
        self._watch()
        if now - self._legs_at >= LEGS_SECONDS:
            self._legs_at = now
            self._fetch_legs()
        if self._display.is_due:
            self._display.show(self._progress.snapshot(time.time(), self._legs, self._wall_clock_left()))
        if self._writer is not None and not self._signals.is_requested:
            for message in self._writer.messages():
                self._display.message(message)
        if self._are_tables_old and now - self._tables_at >= TABLES_SECONDS:
            self._tables_at, self._are_tables_old = now, False
            self._write_tables()
            prune_checkpoints(self._search, self._folder)

    @property
    def is_over(self) -> bool:
        """Whether the search has nothing left to do."""
        if self.reason is None and not self._running:
            self.reason = self._search.is_done(time.time())
        return self.reason is not None

    @property
    def is_stopping(self) -> bool:
        """Whether Tune should end what runs: everybody was asked to stop, and has returned or had the time to."""
        if not self._is_told_to_stop:
            return False
        return not self._running or self._signals.is_grace_over or self._is_clock_grace_over()

    # Parts --------------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self._progress.apply(event)
        self._display.event(event)
        self._are_tables_old = True

    def _watch(self) -> None:
        """Notice a signal or a spent clock once, and tell the legs."""
        if self._is_told_to_stop:
            return
        reason = None if self._signals.is_requested else self._search.is_done(time.time())
        if self._signals.is_requested or (reason is not None and self._running):
            if self._signals.is_requested:
                self._display.message(f"{self._signals.name}: running legs save and stop; once more ends them at once")
            else:
                self._display.message(f"{reason}: running legs stop")
            self.reason = reason
            self._is_told_to_stop = True
            self._stop_told_at = time.monotonic()
            self._board.stop_all.remote()
        elif self._running or reason is not None:
            self._busy_at = time.monotonic()
        elif time.monotonic() - self._busy_at > IDLE_SECONDS:
            raise TRMError(f"no leg runs and none follows for {IDLE_SECONDS:.0f} s, but the sweep has no end; please report this")

    def _is_clock_grace_over(self) -> bool:
        return not self._signals.is_requested and time.monotonic() - self._stop_told_at > 30.0

    def _fetch_legs(self) -> None:
        if self._pending_legs is not None and ray.wait([self._pending_legs], timeout=0)[0]:
            running = {(trial, rung) for trial, rung, _ in self._running}
            self._legs = [leg for leg in ray.get(self._pending_legs) if (leg.trial, leg.rung) in running]
            self._pending_legs = None
        if self._pending_legs is None:
            self._pending_legs = self._board.running.remote()

    def _wall_clock_left(self) -> float | None:
        limit = self._search.budget.wall_clock_seconds
        return None if limit is None else max(0.0, limit - self._search.spent(time.time()).wall_clock_seconds)

    def _task(self, leg: LegStarted) -> LegTask:
        order = self._search.order(leg)
        checkpoints = trial_folder(self._folder, leg.trial)
        demand = self._placement.demand
        return LegTask(
            trial=leg.trial,
            rung=leg.rung,
            attempt=leg.attempt,
            config=order.config.model_dump(mode="json"),
            max_steps=self._search.trials[leg.trial].asked.max_steps,
            until_steps=leg.until_steps,
            from_checkpoint=newest_checkpoint(self._folder, leg),
            trial_folder=str(checkpoints),
            workers=demand.workers,
            cpus=demand.cpus,
            gpus=demand.gpus,
            threads=self._placement.threads,
        )

    def _leg_ended(self, task: LegTask, returned: LegReturn | None, error: str | None) -> LegEnded:
        at = time.time()
        if returned is None:
            return LegEnded(trial=task.trial, rung=task.rung, attempt=task.attempt, status="lost", error=error, at=at)
        metric = self._search.space.objective.metric
        value = returned.metrics.get(metric)
        status, problem = returned.status, returned.error
        assert status != "interrupted"
        if status == "completed" and value is None:
            known = ", ".join(sorted(name for name in returned.metrics if not name.startswith("train/")))
            status, problem = "failed", f"objective.metric {metric!r} is not reported; the evaluation reports {known}"
        return LegEnded(
            trial=task.trial,
            rung=task.rung,
            attempt=task.attempt,
            status=status,
            objective=value,
            standard_error=returned.standard_errors.get(metric),
            loss=returned.metrics.get("loss"),
            metrics=returned.metrics,
            steps=returned.steps,
            train_flops=returned.train_flops,
            train_seconds=returned.train_seconds,
            eval_seconds=returned.eval_seconds,
            overhead_seconds=returned.overhead_seconds,
            started_at=returned.started_at,
            ended_at=returned.ended_at,
            process=returned.process,
            checkpoint=returned.checkpoint,
            error=problem,
            at=at,
        )


def _key(leg: LegStarted) -> tuple[int, int, int]:
    return leg.trial, leg.rung, leg.attempt

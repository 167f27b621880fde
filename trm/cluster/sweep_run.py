"""A sweep that is connected to Ray: from its first journal line over its legs to the winner."""

import contextlib
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ray import tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from trm.cluster.calibrate import measure_speeds
from trm.cluster.connection import HOLDER_MEMORY_BYTES, Demand, concurrent_trials, living_nodes
from trm.cluster.driver import Placement, SweepDriver
from trm.cluster.leg_in_gang import leg_as_gang
from trm.cluster.leg_in_place import leg_in_place
from trm.cluster.progress_board import start_board
from trm.cluster.ray_watch import what_was_lost
from trm.cluster.shared_data import DataFeed, fed_splits, read_feed, store_room
from trm.cluster.tune_legs import LegRunner, run_legs
from trm.cluster.winners import report_winner
from trm.cluster.worker_check import check_workers
from trm.config.data import DataConfig
from trm.console.long_work import Report, shown
from trm.data.batches.row_storage import resident_bytes, resolved
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError, DatasetError, InterruptedRun, ResourceError, TerminatedRun, TRMError
from trm.files.contained import inside
from trm.files.disk import is_disk_full
from trm.search.decisions import set_aside
from trm.search.findings.status import larger_budget
from trm.search.findings.tables import LEADERBOARD, write_leaderboard
from trm.search.journal.events import SpeedMeasured
from trm.search.journal.journal import read_events
from trm.search.journal.lease import Lease
from trm.search.journal.priors import Prior
from trm.search.log import FILE as JOURNAL
from trm.search.log import SweepLog
from trm.search.planning.preflight import Preflight, preflight
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.search import Search
from trm.search.space.candidates import Facts
from trm.search.space.space import SearchSpace
from trm.sweeps.checkpoints import clear_unfinished
from trm.sweeps.commands import Invocation
from trm.sweeps.extras import Extras
from trm.sweeps.folder import begun_mode, recorded_digests, write_sweep_file
from trm.sweeps.results import standings, write_results, write_tables
from trm.sweeps.search import costs_on, sweep_search
from trm.sweeps.signals import StopSignals
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.versions import changed_versions, sweep_versions
from trm.terminal.command_line import say
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.tracking.handle import MlflowWriter
from trm.tracking.outbox import cause_of
from trm.tracking.places import Target


@dataclass(frozen=True)
class SweepRun:
    """A sweep whose input was found right and whose folder is ours, connected to Ray."""

    space: SearchSpace
    invocation: Invocation
    demand: Demand
    manifest: Manifest
    dataset: str
    lease: Lease
    uri: str | None
    """MLflow's tracking store; null: none."""
    priors: Sequence[Prior] = ()
    """Earlier sweeps that it starts from, where it begins now."""

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return self.invocation.folder

    def run(self, costs: Preflight | None) -> None:
        """Legs to the end, the winner's report, the summary; `costs`: what the preflight found, where it could be made before."""
        placement = self._placement()
        data = self.space.data
        if (mode := begun_mode(self.folder)) is not None:
            data = data.model_copy(update={"mode": mode})
        data = resolved(data, self.manifest, store_room(), say)
        log = self._begun(placement, data, costs)
        search = log.search
        display = SweepDisplay(self.folder.name, self.space.objective.metric, trials=self.space.budget.trials)
        with self._left_in_order(log), self._tracked(display) as writer, display:
            with _told("reading the data", display):
                feed = read_feed(self.dataset, fed_splits(data, "validation", "test"))
            with StopSignals(self._abandon, what_was_lost) as signals:
                self._run_legs(log, placement, feed, display, writer, signals)
            log.close(steady_now())
            write_leaderboard(search, self.folder)
            with _told("the winner's last score", display) as report:
                unreported = self._report_winner(log, placement, feed, report)
            log.check()
            with _told("tables and pictures", display):
                findings = write_results(search, self.folder)
        self._summarize(display, search, findings)
        if search.is_hopeless:
            raise TRMError(f"no trial of {self.folder} came to a score: {search.first_failure}")
        if not search.trials:
            raise TRMError(f"no trial of {self.folder} could be tried: {search.ended.reason if search.ended else 'it has no end'}")
        problems = [unreported] if unreported is not None else []
        if aside := set_aside(search.trials):
            problems.append(f"{'; '.join(aside)}; `{self.invocation.resume}` tries again")
        if problems:
            raise TRMError("; ".join(problems))

    def _report_winner(self, log: SweepLog, placement: Placement, feed: DataFeed, report: Report) -> str | None:
        """Score and export the winner; why that failed, when it did: everything else that the sweep found is kept all the same."""
        try:
            report_winner(log, self.folder, placement, feed, self.dataset, report)
        except (RayError, CheckpointError, DatasetError, OSError) as error:
            if is_disk_full(error):
                raise
            cause = cause_of(error.cause if isinstance(error, RayTaskError) else error)
            return f"the winner could not be scored and exported ({cause}); `{self.invocation.resume}` tries it again"
        return None

    def _summarize(self, display: SweepDisplay, search: Search, findings: list[str]) -> None:
        extras = Extras(say)
        extras.make("summary", lambda: display.summary(standings(search), findings, self._next_steps(search)))
        if extras.lines:
            say(f"the leaderboard is {self.folder / LEADERBOARD}")

    def _next_steps(self, search: Search) -> list[tuple[str, str]]:
        is_confirmed = bool(search.confirmations) or not search.candidates_of(1)
        return self.invocation.next_steps(larger_budget(search), self.uri, is_confirmed=is_confirmed)

    def _begun(self, placement: Placement, data: DataConfig, costs: Preflight | None) -> SweepLog:
        """The journal with this driver's first lines, after the last checks that need a cluster."""
        held, insists = resident_bytes(data, self.manifest), self.space.base.get("training", {}).get("kernels") == "fused"
        with shown("checking the workers", say):
            workers = check_workers(living_nodes(), self.demand, self.folder, held, needs_kernels=insists)
        built = data.built(self.dataset)
        search = sweep_search(self.space.model_copy(update={"data": data}), self.manifest, self.dataset)
        with shown(f"reading {self.folder / JOURNAL}", say):
            log = SweepLog(self.folder, search, guard=self.lease.check, say=say)
        priors, command = search.priors or self.priors, self.invocation.resume
        for change in changed_versions(search.started.versions if search.started is not None else {}, sweep_versions()):
            say(f"the sweep began with {change}: numbers may differ from there on")
        write = partial(
            write_sweep_file, self.folder, self.space, self.manifest, built, sweep_versions(), command=command, priors=priors
        )
        if log.is_new:  # a resume's says what its driver's line vouches for
            write()
        measured = self._measured_speeds(search, placement)
        facts = Facts(epoch_rows=search.facts.epoch_rows) if measured else search.facts
        for speed in measured:
            facts.speeds.observe(speed.step_flops, speed.steps, speed.seconds)
        costs = costs or preflight(Survey(self.space, costs_on(self.manifest, self.space.resources), facts))
        for note in costs.notes:
            say(note)
        clear_unfinished(self.folder)
        log.start(
            steady_now(),
            driver=f"{socket.gethostname()}:{os.getpid()}",
            fence=self.lease.fence,
            slots=placement.slots,
            versions=sweep_versions(),
            name=self.folder.name,
            gpus=self.demand.workers * self.demand.gpus,
            device_bytes=workers.device_bytes,
            disk_bytes=workers.disk_bytes,
            priors=priors,
            digests=recorded_digests(self.space, self.manifest, built),
        )
        write()
        log.append(*measured)
        low, high = costs.cheapest.step_flops / 1e9, costs.dearest.step_flops / 1e9
        amounts = ", ".join(f"{amount:.3g}" for amount in search.rungs.amounts)
        say(f"sweep {self.folder}: a step costs {low:.3g} to {high:.3g} GFLOP, rungs at {amounts} {self.space.fidelity}")
        return log

    def _measured_speeds(self, search: Search, placement: Placement) -> list[SpeedMeasured]:
        """Trials that are so many seconds long need to know how long a step takes, before the first is asked."""
        facts, before = search.facts, search.driver
        is_known = before is not None and before.driver.rpartition(":")[0] == socket.gethostname()
        if self.space.fidelity != "seconds" or (is_known and facts.speeds.step_seconds(1.0) is not None):
            return []
        ends = Survey(self.space, costs_on(self.manifest, self.space.resources), replace(facts, speeds=Speeds())).ends
        with shown("measuring how long a step takes", say):
            measured = measure_speeds([end.config for end in ends], self.manifest.shape, self.demand, threads=placement.threads)
        at = steady_now()
        return [SpeedMeasured(step_flops=one.step_flops, steps=one.steps, seconds=one.seconds, at=at) for one in measured]

    def _placement(self) -> Placement:
        resources = self.space.resources
        return Placement(self.demand, resources.threads or max(1, math.floor(resources.cpus)), self._slots())

    def _slots(self) -> int:
        limits = (self.space.resources.slots, self.space.budget.trials)
        wanted = min((limit for limit in limits if limit is not None), default=None)
        return concurrent_trials(living_nodes(), self.demand, wanted)

    def _slots_left(self) -> int:
        """As `_slots`, once legs run: 0 when no node is left that could run one."""
        try:
            return self._slots()
        except ResourceError:
            return 0

    @contextlib.contextmanager
    def _left_in_order(self, log: SweepLog) -> Iterator[None]:
        """Ctrl-C, SIGTERM and SIGHUP before the first leg and after the last one are journaled too, and say how to go on."""
        try:
            yield
        except (KeyboardInterrupt, TerminatedRun) as error:
            if log.search.ended is None:
                log.stop(steady_now(), what_was_lost() or (str(error) if isinstance(error, TerminatedRun) else "SIGINT"))
            raise InterruptedRun(self.whole) from error

    @property
    def whole(self) -> str:
        """What a person who finds the sweep interrupted is told."""
        return f"{self.folder} is whole; go on with `{self.invocation.resume}`"

    def _abandon(self) -> None:
        say(f"interrupted: {self.whole}")
        self.lease.release()

    @contextlib.contextmanager
    def _tracked(self, display: SweepDisplay) -> Iterator[MlflowWriter | None]:
        if self.uri is None:
            yield None
            return
        experiment = self.space.tracking.experiment or self.space.name
        place = self.space.tracking.artifact_location
        target = Target(
            self.uri,
            str(self.folder),
            str(self.invocation.storage),
            experiment,
            self.space.objective.mode,
            artifact_location=place,
        )
        extras = Extras(say)
        writer = extras.make("MLflow's writer", lambda: MlflowWriter(target))
        if writer is None:
            yield None
            return
        try:
            yield writer
        except BaseException:
            writer.close(timeout_seconds=1.0)
            raise
        if (left := writer.close(tell=display.message)) is not None:
            extras.make("progress", lambda: display.message(left))

    def _run_legs(
        self,
        log: SweepLog,
        placement: Placement,
        feed: DataFeed,
        display: SweepDisplay,
        writer: MlflowWriter | None,
        signals: StopSignals,
    ) -> None:
        if log.search.is_done(steady_now()) is not None:
            return
        board = start_board()
        scratch = inside(self.folder, "tune", f"driver-{self.lease.fence}")
        driver = SweepDriver(
            log,
            self.folder,
            placement,
            board,
            display=display,
            progress=self._progress(log.search),
            writer=writer,
            signals=signals,
            write_tables=lambda: write_tables(log.search, self.folder),
            count_slots=self._slots_left,
        )
        run_legs(driver, self._runner(placement, feed, board), scratch)
        if driver.disk_full is not None:
            driver.leave()
            raise self.paused(driver.disk_full)
        if driver.reason is None:
            driver.leave()
            raise InterruptedRun(self.whole)

    def _runner(self, placement: Placement, feed: DataFeed, board: ActorHandle) -> LegRunner:
        demand = placement.demand
        if demand.workers == 1:
            function = tune.with_parameters(leg_in_place, feed=feed, board=board, slots=placement.slots)
            return LegRunner(function, [demand.bundle], placement.slots)
        function = tune.with_parameters(leg_as_gang, feed=feed, board=board, demand=demand, slots=placement.slots)
        return LegRunner(function, [{"memory": float(HOLDER_MEMORY_BYTES)}] + [demand.bundle] * demand.workers, placement.slots)

    def _progress(self, search: Search) -> SweepProgress:
        progress = SweepProgress(search.space)
        for entry in read_events(self.folder / JOURNAL):
            progress.apply(entry.event)
        return progress

    def paused(self, full: str) -> InterruptedRun:
        """What a full disk means, in a leg or outside of them."""
        return InterruptedRun(f"{full}. Nothing is lost; make room, then go on with `{self.invocation.resume}`")


def _told(title: str, display: SweepDisplay) -> AbstractContextManager[Report]:
    """As lines above the sweep's own picture, which leaves no room for another."""
    return shown(title, display.message, is_live=False)

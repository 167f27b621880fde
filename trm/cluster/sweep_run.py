"""A sweep that is connected to Ray: from its first journal line over its legs to the winner."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from ray import tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from trm.cluster.calibrate import measure_speeds
from trm.cluster.connection import HOLDER_MEMORY_BYTES, Demand, concurrent_trials, living_nodes
from trm.cluster.driver import Audience, Placement, SweepDriver
from trm.cluster.full_scores import score_fully
from trm.cluster.hearing import heard
from trm.cluster.leg_in_gang import leg_as_gang
from trm.cluster.leg_in_place import leg_in_place
from trm.cluster.progress_board import start_board
from trm.cluster.ray_watch import what_was_lost
from trm.cluster.shared_data import SweepFeed, fed_splits, read_feeds, store_room
from trm.cluster.tune_legs import LegRunner, run_legs
from trm.cluster.worker_check import check_workers
from trm.config.data import DataConfig
from trm.console.long_work import Report, shown
from trm.console.streams import say
from trm.data.batches.row_storage import resident_bytes, resolved
from trm.errors import CheckpointError, DatasetError, InterruptedRun, ResourceError
from trm.files.atomic import remove_folder
from trm.files.contained import inside
from trm.files.disk import is_disk_full
from trm.search.findings.tables import write_leaderboard
from trm.search.journal.events import SpeedMeasured
from trm.search.log import SweepLog
from trm.search.planning.preflight import Preflight
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.state import SweepState
from trm.sweeps.beginning import Machines, begin, knows_speeds
from trm.sweeps.folder import begun_mode
from trm.sweeps.results import write_results, write_tables
from trm.sweeps.search import costs_on
from trm.sweeps.signals import StopSignals
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.sweep import Sweep
from trm.sweeps.winner import FullScores, WinnerWork, report_winner
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.tracking.outbox import cause_of

SCRATCH = "tune"
"""Ray Tune's folder of a sweep."""


@dataclass(frozen=True)
class SweepRun:
    """A sweep connected to Ray."""

    sweep: Sweep
    demand: Demand

    def run(self, costs: Preflight | None) -> None:
        """Legs to the end, the winner's report, the summary; `costs`: what the preflight found, where it could be made before."""
        sweep, placement = self.sweep, self._placement()
        data = sweep.space.data
        if (mode := begun_mode(sweep.folder)) is not None:
            data = data.model_copy(update={"mode": mode})
        data = resolved(data, sweep.sets.manifests, store_room(), say, may_weigh=sweep.space.weighs_puzzles)
        log = self._begun(placement, data, costs)
        search = log.search
        display = SweepDisplay(sweep.folder.name, sweep.space.objective.metric, trials=sweep.space.budget.trials)
        with sweep.left_in_order(log, what_was_lost), sweep.tracked(display) as writer, display:
            with _told("reading the data", display):
                feed = read_feeds([one.folder for one in sweep.sets.sets], fed_splits(data, "validation", "test"))
            with StopSignals(sweep.abandon, what_was_lost) as signals:
                if search.is_done(steady_now()) is None:
                    self._run_legs(log, placement, feed, Audience(display, SweepProgress(search.state), writer), signals)
            log.close(steady_now())
            remove_folder(sweep.folder / SCRATCH)  # no driver will want it; one that was interrupted leaves its own
            write_leaderboard(search.state, sweep.folder)
            with _told("the winner's last score", display) as report:
                unreported = self._report_winner(log, placement, feed, report)
            log.check()
            with _told("tables and pictures", display):
                findings = write_results(search.state, sweep.folder)
        sweep.summarize(display, search.state, findings)
        sweep.check_end(search.state, unreported)

    def _begun(self, placement: Placement, data: DataConfig, costs: Preflight | None) -> SweepLog:
        """The journal with this driver's first lines, after the last checks that need a cluster."""
        space, demand = self.sweep.space, self.demand
        held, insists = (
            sum(resident_bytes(data, one) for one in self.sweep.sets.manifests),
            space.base.get("training", {}).get("kernels") == "fused",
        )
        with shown("checking the workers", say):
            workers = check_workers(living_nodes(), demand, self.sweep.folder, held, needs_kernels=insists, starts=space.starts)
        machines = Machines(placement.slots, demand.workers * demand.gpus, workers.device_bytes, workers.disk_bytes)
        return begin(self.sweep, data, machines, lambda search: self._measured_speeds(search, placement), costs)

    def _measured_speeds(self, state: SweepState, placement: Placement) -> list[SpeedMeasured]:
        """Trials that are so many seconds long need to know how long a step takes, before the first is asked."""
        if knows_speeds(state):
            return []
        space, sets = self.sweep.space, self.sweep.sets
        ends = Survey(space, costs_on(sets, space.resources), replace(state.facts, speeds=Speeds())).ends
        with shown("measuring how long a step takes", say):
            measured = measure_speeds([end.config for end in ends], sets.largest_shape, self.demand, threads=placement.threads)
        at = steady_now()
        return [SpeedMeasured(step_flops=one.step_flops, steps=one.steps, seconds=one.seconds, at=at) for one in measured]

    def _placement(self) -> Placement:
        resources = self.sweep.space.resources
        return Placement(self.demand, resources.threads or max(1, math.floor(resources.cpus)), self._slots())

    def _slots(self) -> int:
        limits = (self.sweep.space.resources.slots, self.sweep.space.budget.trials)
        wanted = min((limit for limit in limits if limit is not None), default=None)
        return concurrent_trials(living_nodes(), self.demand, wanted)

    def _slots_left(self) -> int:
        """As `_slots`, once legs run: 0 when no node is left that could run one."""
        try:
            return self._slots()
        except ResourceError:
            return 0

    def _run_legs(self, log: SweepLog, placement: Placement, feed: SweepFeed, audience: Audience, signals: StopSignals) -> None:
        sweep, board = self.sweep, start_board()
        driver = SweepDriver(
            log,
            sweep.folder,
            placement,
            board,
            audience=audience,
            signals=signals,
            write_tables=lambda: write_tables(log.search.state, sweep.folder),
            count_slots=self._slots_left,
        )
        run_legs(driver, self._runner(placement, feed, board), inside(sweep.folder, SCRATCH, f"driver-{sweep.lease.fence}"))
        if driver.disk_full is not None:
            driver.leave()
            raise sweep.paused(driver.disk_full)
        if driver.reason is None:
            driver.leave()
            raise InterruptedRun(sweep.whole)

    def _runner(self, placement: Placement, feed: SweepFeed, board: ActorHandle) -> LegRunner:
        demand = placement.demand
        if demand.workers == 1:
            function = tune.with_parameters(leg_in_place, feed=feed, board=board, slots=placement.slots)
            return LegRunner(function, [demand.bundle], placement.slots)
        function = tune.with_parameters(leg_as_gang, feed=feed, board=board, demand=demand, slots=placement.slots)
        return LegRunner(function, [{"memory": float(HOLDER_MEMORY_BYTES)}] + [demand.bundle] * demand.workers, placement.slots)

    def _report_winner(self, log: SweepLog, placement: Placement, feed: SweepFeed, report: Report) -> str | None:
        """Score and export the winner; why that failed, when it did: everything else that the sweep found is kept all the same."""
        sweep, demand = self.sweep, placement.demand

        def score(checkpoint: Path) -> FullScores:
            with heard(lambda line: None, report) as mouth:
                return score_fully(checkpoint, feed, mouth, cpus=demand.cpus, gpus=demand.gpus, threads=placement.threads)

        try:
            report_winner(log, sweep.folder, sweep.sets, WinnerWork(score, _export))
        except (RayError, CheckpointError, DatasetError, OSError) as error:
            if is_disk_full(error):
                raise
            cause = cause_of(error.cause if isinstance(error, RayTaskError) else error)
            return f"the winner could not be scored and exported ({cause}); `{sweep.invocation.resume}` tries it again"
        return None


def _export(checkpoint: Path, folder: Path) -> None:
    from trm.training.weights import export_weights  # brings torch

    export_weights(checkpoint, folder)


def _told(title: str, display: SweepDisplay) -> AbstractContextManager[Report]:
    """As lines above the sweep's own picture, which leaves no room for another."""
    return shown(title, display.message, is_live=False)

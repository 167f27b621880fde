"""A sweep that is connected to Ray: from its first journal line over its legs to the winner."""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ray import tune
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from trm.cluster.calibrate import measure_speeds
from trm.cluster.connection import Demand, concurrent_trials, living_nodes
from trm.cluster.driver import Audience, Placement, SweepDriver
from trm.cluster.full_scores import score_fully
from trm.cluster.gauges import SweepGauges
from trm.cluster.ground import Ground
from trm.cluster.growth import await_first_place
from trm.cluster.hearing import heard
from trm.cluster.leg_in_gang import leg_as_gang, leg_on_slots
from trm.cluster.leg_in_place import leg_in_place
from trm.cluster.places import Groups, Places
from trm.cluster.progress_board import start_board
from trm.cluster.ray_watch import what_was_lost
from trm.cluster.roster import Roster
from trm.cluster.shared_data import SweepFeed, fed_splits, read_feeds, store_room
from trm.cluster.test_time import passes_at_test_time
from trm.cluster.tune_legs import LegRunner, run_legs
from trm.cluster.widening import Widening
from trm.cluster.worker_check import Needs, Workers, check_workers, problem_of
from trm.config.data import DataConfig
from trm.console.long_work import Report, shown
from trm.console.streams import say
from trm.data.batches.row_storage import resident_bytes, resolved
from trm.errors import CheckpointError, DatasetError, InterruptedRun
from trm.files.atomic import remove_folder
from trm.files.contained import inside
from trm.files.disk import is_disk_full
from trm.pages.sweep import REPORT
from trm.search.findings.tables import write_leaderboard
from trm.search.journal.events import SpeedMeasured
from trm.search.log import SweepLog
from trm.search.planning.preflight import Preflight
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.state import SweepState
from trm.search.test_time import PassOrder
from trm.sweeps.beginning import Machines, begin, knows_speeds
from trm.sweeps.checkpoint_stores import checkpoint_store, objects_url
from trm.sweeps.extras import Extras
from trm.sweeps.folder import begun_mode
from trm.sweeps.report_writer import reported
from trm.sweeps.results import write_results, write_tables
from trm.sweeps.search import costs_on
from trm.sweeps.signals import StopSignals
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.sweep import Sweep
from trm.sweeps.winner import FullScores, PassResult, WinnerWork, report_winner, search_test_time
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.tracking.handle import MlflowWriter
from trm.tracking.outbox import cause_of

SCRATCH = "tune"
"""Ray Tune's folder of a sweep."""


@dataclass(frozen=True)
class SweepRun:
    """A sweep connected to Ray."""

    sweep: Sweep
    demand: Demand
    writer: MlflowWriter | None = None
    """Of MLflow; None: the sweep is not tracked."""

    def run(self, costs: Preflight | None) -> None:
        """Legs to the end, the winner's report, the summary; `costs`: what the preflight found, where it could be made before."""
        sweep, data = self.sweep, self.sweep.space.data
        await_first_place(self.demand, say)
        if (mode := begun_mode(sweep.folder)) is not None:
            data = data.model_copy(update={"mode": mode})
        data = resolved(data, sweep.sets.manifests, store_room(), say, may_weigh=sweep.space.weighs_puzzles)
        needs = self._needs(data)
        with shown("checking the workers", say):
            workers = check_workers(living_nodes(), needs)
        placement = self._placement(workers)
        log = self._begun(placement, data, workers, costs)
        search = log.search
        display = SweepDisplay(sweep.folder.name, sweep.space.objective.metric, trials=sweep.space.budget.trials)
        with sweep.left_in_order(log, what_was_lost), sweep.tracked(self.writer, display), display:
            with _told("reading the data", display):
                feed = read_feeds([one.folder for one in sweep.sets.sets], fed_splits(data, "validation", "test"))
            log.on_event = display.event  # a driver tells more
            with StopSignals(sweep.abandon, what_was_lost) as signals:
                if search.is_done(steady_now()) is None:
                    gauges = SweepGauges(sweep.folder.name, sweep.space.objective.metric)
                    audience = Audience(display, SweepProgress(search.state), self.writer, gauges)
                    with reported(sweep.folder, placement.slots):
                        self._run_legs(log, placement, feed, audience, signals)
            log.close(steady_now())
            Extras(say).make("curves", checkpoint_store(sweep.space, sweep.folder, search.state.name).collect)
            remove_folder(sweep.folder / SCRATCH)  # no driver will want it; one that was interrupted leaves its own
            write_leaderboard(search.state, sweep.folder)
            unreported = self._report_winner(log, placement, feed, display)
            log.check()
            with _told("tables and pictures", display):
                findings = write_results(search.state, sweep.folder)
        sweep.summarize(display, search.state, findings)
        sweep.check_end(search.state, unreported)

    def _needs(self, data: DataConfig) -> Needs:
        """What every node must have that takes legs."""
        space = self.sweep.space
        held = sum(resident_bytes(data, one) for one in self.sweep.sets.manifests)
        insists = space.base.get("training", {}).get("kernels") == "fused"
        return Needs(
            self.demand, self.sweep.folder, held, needs_kernels=insists, starts=space.starts, objects=space.storage.checkpoints
        )

    def _begun(self, placement: Placement, data: DataConfig, workers: Workers, costs: Preflight | None) -> SweepLog:
        """The journal with this driver's first lines, after the last checks that need a cluster."""
        gpus = self.demand.workers * self.demand.gpus
        machines = Machines(placement.slots, gpus, workers.device_bytes, workers.disk_bytes)
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

    def _placement(self, workers: Workers) -> Placement:
        resources = self.sweep.space.resources
        for node in (nodes := living_nodes()):
            if (problem := workers.found.get(node.node_id)) is not None:
                say(f"node {node} takes no legs: {problem}")
        fit = [node for node in nodes if workers.found.get(node.node_id) is None]
        threads = resources.threads or max(1, math.floor(resources.cpus))
        return Placement(self.demand, threads, concurrent_trials(fit, self.demand, self._wanted), workers.found)

    @property
    def _wanted(self) -> int | None:
        """Legs side by side; None: as many as fit the nodes."""
        limits = (self.sweep.space.resources.slots, self.sweep.space.budget.trials)
        return min((limit for limit in limits if limit is not None), default=None)

    def _run_legs(self, log: SweepLog, placement: Placement, feed: SweepFeed, audience: Audience, signals: StopSignals) -> None:
        sweep, board = self.sweep, start_board()
        places = Places(Groups(placement.demand.bundles, f"{sweep.folder.name} leg"))
        needs = self._needs(log.search.state.space.data)
        roster = Roster(placement.found, lambda node: problem_of(node, needs), audience.display.message)
        widens = sweep.space.resources.most_slots > 1
        runner = LegRunner(self._leg_function(placement, feed, board, widens=widens), places, placement.slots)
        with Ground(placement.demand, self._wanted, roster, places, board) as ground:
            driver = SweepDriver(
                log,
                sweep.folder,
                placement,
                board,
                audience=audience,
                signals=signals,
                write_tables=lambda: write_tables(log.search.state, sweep.folder),
                ground=ground,
                widening=Widening(log, places, board) if widens else None,
            )
            if sweep.mirror is not None:
                sweep.mirror.on_wait = driver.wait_for_store
            run_legs(driver, runner, inside(sweep.folder, SCRATCH, f"driver-{sweep.lease.fence}"))
        if driver.disk_full is not None:
            driver.leave()
            raise sweep.paused(driver.disk_full)
        if driver.reason is None:
            driver.leave()
            raise InterruptedRun(f"{sweep.whole}; {sweep.folder / REPORT} shows it in a moment")

    @staticmethod
    def _leg_function(
        placement: Placement, feed: SweepFeed, board: ActorHandle, *, widens: bool
    ) -> Callable[[dict[str, Any]], None]:
        if placement.demand.workers == 1 and not widens:
            return cast("Callable[[dict[str, Any]], None]", tune.with_parameters(leg_in_place, feed=feed, board=board))
        function = leg_on_slots if placement.demand.workers == 1 else leg_as_gang
        gang = tune.with_parameters(function, feed=feed, board=board, demand=placement.demand)
        return cast("Callable[[dict[str, Any]], None]", gang)

    def _report_winner(self, log: SweepLog, placement: Placement, feed: SweepFeed, display: SweepDisplay) -> str | None:
        """Search at test time, score and export the winner; why that failed, when it did: all else that was found is kept."""
        sweep, last = self.sweep, _LastWork(self.sweep, log, placement, feed, display)
        parts: list[tuple[str, Callable[[], None]]] = [
            ("settings at test time could not be tried", lambda: search_test_time(log, last.make_passes, display.message)),
            (
                "the winner could not be scored and exported",
                lambda: report_winner(log, sweep.folder, sweep.sets, WinnerWork(last.score, last.export)),
            ),
        ]
        problems = []
        for what, part in parts:
            try:
                part()
            except (RayError, CheckpointError, DatasetError, OSError) as error:
                if is_disk_full(error):
                    raise
                cause = cause_of(error.cause if isinstance(error, RayTaskError) else error)
                problems.append(f"{what} ({cause}); `{sweep.invocation.resume}` tries it again")
        return problems[0] if problems else None


@dataclass(frozen=True)
class _LastWork:
    """What is done with the best weights when the legs are over, each in a worker with a trial's resources."""

    sweep: Sweep
    log: SweepLog
    placement: Placement
    feed: SweepFeed
    display: SweepDisplay

    def score(self, checkpoint: str, setting: dict[str, Any] | None, metric: str) -> FullScores:
        """On whole splits, and again with a setting at test time, if there is one."""
        place = self._place(checkpoint)
        with _told("the winner's last score", self.display) as report, heard(lambda line: None, report) as mouth:
            return score_fully(place, self.feed, mouth, setting=setting, metric=metric, **self._how)

    def make_passes(self, orders: Sequence[PassOrder]) -> Generator[tuple[PassOrder, PassResult | CheckpointError]]:
        """Settings at test time on validation, on every place that trials had."""
        if not orders:
            return
        slots = self.placement.slots * self.placement.demand.workers
        title = f"settings at test time, {len(orders)} pass{'es' if len(orders) > 1 else ''}"
        with _told(title, self.display) as report, heard(lambda line: None, report) as mouth:
            yield from passes_at_test_time(
                orders, lambda order: self._place(order.checkpoint), self.feed, mouth, slots=slots, **self._how
            )

    def export(self, checkpoint: Path, folder: Path, setting: dict[str, Any] | None) -> None:
        """The weights and their configuration, with that setting."""
        with _told("the winner's weights", self.display):
            _export(checkpoint, folder, setting)

    def _place(self, checkpoint: str) -> str:
        """Where a worker finds it."""
        await_first_place(replace(self.placement.demand, workers=1), say)  # the nodes that legs ran on may be gone
        return checkpoint if self._objects is not None else str(self.sweep.folder / checkpoint)

    @property
    def _objects(self) -> str | None:
        return objects_url(self.sweep.space, self.log.search.state.name)

    @property
    def _how(self) -> dict[str, Any]:
        demand = self.placement.demand
        return {"cpus": demand.cpus, "gpus": demand.gpus, "threads": self.placement.threads, "objects": self._objects}


def _export(checkpoint: Path, folder: Path, setting: dict[str, Any] | None) -> None:
    from trm.training.weights import export_weights  # brings torch

    export_weights(checkpoint, folder, evaluation=setting)


def _told(title: str, display: SweepDisplay) -> AbstractContextManager[Report]:
    """As lines above the sweep's own picture, which leaves no room for another."""
    return shown(title, display.message, is_live=False)

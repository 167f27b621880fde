"""A sweep from a search space file to its leaderboard: everything is checked before a worker starts, and can be resumed."""

import contextlib
import math
import os
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ray import tune
from ray.actor import ActorHandle

from trm.cluster.board import start_board
from trm.cluster.calibrate import measure_speeds
from trm.cluster.connection import (
    LEG_MEMORY_BYTES,
    Demand,
    check_fits_here,
    concurrent_trials,
    connected,
    living_nodes,
    ray_address,
)
from trm.cluster.disk import full_text, is_disk_full
from trm.cluster.driver import Placement, SweepDriver
from trm.cluster.feed import DataFeed, fed_splits, read_feed, store_room
from trm.cluster.folders import DEFAULT_STORAGE, is_ray_job, writable_folder
from trm.cluster.gang_legs import leg_as_gang
from trm.cluster.keep import Keeper, clear_unfinished
from trm.cluster.legs import leg_in_place
from trm.cluster.signals import StopSignals
from trm.cluster.sweep_folder import begun_mode, check_same_data, claimed_folder, sweep_folder, write_sweep_file
from trm.cluster.sweep_search import costs_on, sweep_search
from trm.cluster.tune_legs import LegRunner, run_legs
from trm.cluster.winners import export_best, score_winner
from trm.cluster.worker_check import check_workers
from trm.command_line import say
from trm.config import RunConfig
from trm.data.ensure import ensure_dataset, task_of
from trm.data.manifest import Manifest, read_manifest
from trm.data.residence import check_streamable, resident_bytes, resolved
from trm.display import Standing, SweepDisplay
from trm.errors import EXIT_DONE, InterruptedRun, ResourceError, TRMError
from trm.pictures import draw_curves
from trm.progress import SweepProgress
from trm.search.candidates import Facts
from trm.search.events import Reported, SpeedMeasured
from trm.search.journal import read_events
from trm.search.lease import Lease
from trm.search.preflight import Preflight, check_objective, check_space, cost_ends, preflight
from trm.search.results import leaderboard_rows, write_leaderboard, write_trials
from trm.search.search import Search
from trm.search.space import SearchSpace, load_space
from trm.search.study_export import write_study
from trm.search.sweep_log import FILE as JOURNAL
from trm.search.sweep_log import SweepLog
from trm.tracking import MlflowWriter, Target, mlflow_command, program, tracking_uri
from trm.training.cost import RunCost

SHOWN_STANDINGS = 10
PACKAGES = ("trm-search", "torch", "ray", "optuna", "mlflow", "numpy", "pyarrow", "pydantic")


@dataclass(frozen=True)
class SweepOptions:
    """What the command line says."""

    space: str
    overrides: tuple[str, ...] = ()
    name: str | None = None
    storage: str | None = None
    is_resume: bool = False
    address: str | None = None


def run_sweep(options: SweepOptions) -> int:
    """Run or resume a sweep to its end; the exit code. Raises InputError before a worker starts, InterruptedRun when stopped."""
    space = load_space(options.space, options.overrides)
    config = check_space(space).config
    check_objective(space, config, task_of(space.data, "train", "validation", "test"))
    storage = writable_folder(options.storage, "--storage", default=DEFAULT_STORAGE)
    address = ray_address(options.address)
    demand = Demand(space.resources.workers, space.resources.cpus, space.resources.gpus)
    if address == "local":
        check_fits_here(demand)
    uri = tracking_uri(space.tracking.uri, storage) if space.tracking.enabled else None
    folder = sweep_folder(storage, space, options.name, is_resume=options.is_resume)
    with claimed_folder(folder, space, is_resume=options.is_resume) as lease:
        dataset = ensure_dataset(space.data, str(storage / "data"), say)
        manifest = read_manifest(dataset)
        check_streamable(space.data, manifest)
        if options.is_resume:
            check_same_data(folder, manifest, dataset)
        cost_of = costs_on(manifest, space.resources)
        epoch_rows = manifest.splits["train"].epoch_rows(is_streamed=space.data.is_streamed)
        # Trials that are so many seconds long wait for speeds to be measured.
        found = None if space.fidelity == "seconds" else preflight(space, cost_of, Facts(epoch_rows=epoch_rows))
        sweep = _Sweep(space, options.space, options.overrides, demand, folder, storage, manifest, dataset, lease, uri)
        with connected(needs_dashboard=space.resources.workers > 1, address=address):
            try:
                sweep.run(cost_of, found)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                raise sweep.pauses(error) from error
    return EXIT_DONE


def _versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


@dataclass(frozen=True)
class _Sweep:
    """A sweep whose input was found right and whose folder is ours, connected to Ray."""

    space: SearchSpace
    space_path: str
    overrides: tuple[str, ...]
    demand: Demand
    folder: Path
    storage: Path
    manifest: Manifest
    dataset: str
    lease: Lease
    uri: str | None

    def run(self, cost_of: Callable[[RunConfig], RunCost], found: Preflight | None) -> None:
        """Legs to the end, the winner's report, the summary; `found`: what the preflight found, where it could be made before."""
        placement = self._placement()
        data = self.space.data
        if (mode := begun_mode(self.folder)) is not None:
            data = data.model_copy(update={"mode": mode})
        data = resolved(data, self.manifest, store_room(), say)
        workers = check_workers(living_nodes(), self.demand, self.folder, resident_bytes(data, self.manifest))
        command = self._command_to_resume()
        write_sweep_file(self.folder, self.space, self.manifest, data.built(self.dataset), _versions(), command=command)
        search = sweep_search(self.space.model_copy(update={"data": data}), self.manifest, self.dataset)
        log = SweepLog(self.folder, search, guard=self.lease.check)
        measured = self._measured_speeds(search, placement, cost_of)
        facts = Facts(epoch_rows=search.facts.epoch_rows) if measured else search.facts
        for speed in measured:
            facts.speeds.observe(speed.step_flops, speed.steps, speed.seconds)
        costs = found or preflight(self.space, cost_of, facts)
        driver = f"{socket.gethostname()}:{os.getpid()}"
        clear_unfinished(self.folder)
        log.start(
            time.time(),
            driver=driver,
            fence=self.lease.fence,
            slots=placement.slots,
            versions=_versions(),
            name=self.folder.name,
            gpus=self.demand.workers * self.demand.gpus,
            device_bytes=workers.device_bytes,
            disk_bytes=workers.disk_bytes,
        )
        log.append(*measured)
        low, high = costs.cheapest.step_flops / 1e9, costs.dearest.step_flops / 1e9
        amounts = ", ".join(f"{amount:.3g}" for amount in search.rungs.amounts)
        say(f"sweep {self.folder}: a step costs {low:.3g} to {high:.3g} GFLOP, rungs at {amounts} {self.space.fidelity}")
        display = SweepDisplay(self.folder.name, self.space.objective.metric, trials=self.space.budget.trials)
        with self._tracked(display) as writer, display, StopSignals(at_exit=self.lease.release) as signals:
            feed = read_feed(self.dataset, fed_splits(data, "validation", "test"))
            self._run_legs(log, placement, feed, display, writer, signals)
            log.close(time.time())
            self._report_winner(log, placement, feed)
            log.check()
            self._write_results(search)
        display.summary(_standings(search), self._commands())
        if search.is_hopeless:
            raise TRMError(f"no trial of {self.folder} came to a score: {search.first_failure}")

    def _measured_speeds(
        self, search: Search, placement: Placement, cost_of: Callable[[RunConfig], RunCost]
    ) -> list[SpeedMeasured]:
        """Trials that are so many seconds long need to know how long a step takes, before the first is asked."""
        facts, before = search.facts, search.driver
        is_known = before is not None and before.driver.rpartition(":")[0] == socket.gethostname()
        if self.space.fidelity != "seconds" or (is_known and facts.speeds.step_seconds(1.0) is not None):
            return []
        ends = cost_ends(self.space, cost_of, facts)
        configs, scratch = [end.config for end in ends], self.folder / "tune" / "speeds"
        measured = measure_speeds(configs, self.manifest.shape, self.demand, threads=placement.threads, scratch=scratch)
        now = time.time()
        return [SpeedMeasured(step_flops=one.step_flops, steps=one.steps, seconds=one.seconds, at=now) for one in measured]

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
    def _tracked(self, display: SweepDisplay) -> Iterator[MlflowWriter | None]:
        if self.uri is None:
            yield None
            return
        experiment = self.space.tracking.experiment or self.space.name
        place = self.space.tracking.artifact_location
        writer = MlflowWriter(
            Target(self.uri, str(self.folder), str(self.storage), experiment, self.space.objective.mode, artifact_location=place)
        )
        try:
            yield writer
        except BaseException:
            writer.close(timeout_seconds=1.0)
            raise
        if (left := writer.close()) is not None:
            display.message(left)

    def _run_legs(
        self,
        log: SweepLog,
        placement: Placement,
        feed: DataFeed,
        display: SweepDisplay,
        writer: MlflowWriter | None,
        signals: StopSignals,
    ) -> None:
        if log.search.is_done(time.time()) is not None:
            return
        board = start_board()
        scratch = self.folder / "tune" / f"driver-{self.lease.fence}"
        driver = SweepDriver(
            log,
            self.folder,
            placement,
            board,
            display=display,
            progress=self._progress(log.search),
            writer=writer,
            signals=signals,
            write_tables=lambda: write_trials(log.search, self.folder),
            count_slots=self._slots_left,
        )
        run_legs(driver, self._runner(placement, feed, board, scratch), scratch)
        if driver.disk_full is not None:
            with contextlib.suppress(OSError):
                log.stop(time.time(), driver.disk_full)
            raise self._paused(driver.disk_full)
        if driver.reason is None:
            log.stop(time.time(), signals.name)
            raise InterruptedRun(f"{self.folder} is whole; go on with `{self._command_to_resume()}`")

    def _runner(self, placement: Placement, feed: DataFeed, board: ActorHandle, scratch: Path) -> LegRunner:
        demand = placement.demand
        if demand.workers == 1:
            function = tune.with_parameters(leg_in_place, feed=feed, board=board, slots=placement.slots)
            bundle = {"CPU": demand.cpus} | ({"GPU": demand.gpus} if demand.gpus else {})
            return LegRunner(function, bundle, placement.slots, is_warmed_up=True)
        function = tune.with_parameters(leg_as_gang, feed=feed, board=board, scratch=str(scratch / "gangs"))
        return LegRunner(function, {"memory": LEG_MEMORY_BYTES}, placement.slots, is_warmed_up=False)

    def _progress(self, search: Search) -> SweepProgress:
        progress = SweepProgress(search.space)
        for entry in read_events(self.folder / JOURNAL):
            progress.apply(entry.event)
        return progress

    def _report_winner(self, log: SweepLog, placement: Placement, feed: DataFeed) -> None:
        """Score the winner on all of validation and, once, on test, and export it as `best/`."""
        search = log.search
        if not (ranked := search.leaderboard()):
            return
        winner = ranked[0]
        checkpoint = self.folder / str(winner.checkpoint)
        if winner.number not in search.reports:
            demand = placement.demand
            scores = score_winner(checkpoint, feed, cpus=demand.cpus, gpus=demand.gpus, threads=placement.threads)
            log.report(Reported(trial=winner.number, rank=1, validation=scores.validation, test=scores.test, at=time.time()))
        report = search.reports[winner.number]
        log.check()
        export_best(
            self.folder,
            checkpoint,
            {
                "trial": winner.number,
                "params": winner.params,
                "lineage": [{"rung": one.rung, "source": one.source, "params": one.params} for one in winner.adoptions],
                "steps": winner.result.steps if winner.result else 0,
                "train_flops": winner.result.train_flops if winner.result else 0.0,
                "params_count": winner.asked.params_count,
                "dataset": {"folder": self.dataset, "content_hash": self.manifest.content_hash},
                "validation": report.validation,
                "test": report.test,
            },
        )

    def _write_results(self, search: Search) -> None:
        Keeper(search, self.folder).prune()
        write_trials(search, self.folder)
        write_leaderboard(search, self.folder)
        write_study(search, self.folder)
        objective = self.space.objective
        events = [entry.event for entry in read_events(self.folder / JOURNAL)]
        draw_curves(
            events, self.folder / "curves.png", metric=objective.metric, mode=objective.mode, title=f"sweep {self.folder.name}"
        )

    def _commands(self) -> list[tuple[str, str]]:
        python, where = program("python"), shlex.quote(_shown(self.folder))
        commands = [] if self.uri is None else [("see every trial in MLflow", mlflow_command(self.uri))]
        if (self.folder / "best").is_dir():
            commands += [
                ("score the winner again", f"{python} ray_jobs/evaluate.py {where}/best --split test"),
                ("train the winner's configuration anew", f"{python} ray_jobs/train.py {where}/best/config.yaml"),
            ]
        more = 2 * (self.space.budget.trials or 16)
        return [*commands, (f"go on with the sweep, up to {more} trials", f"{self._again()} --trials {more} --resume")]

    def pauses(self, error: OSError) -> InterruptedRun:
        """What a full disk outside the legs means: the same as in them."""
        return self._paused(full_text(self.folder, str(error)))

    def _paused(self, full: str) -> InterruptedRun:
        return InterruptedRun(f"{full}. Nothing is lost; make room, then go on with `{self._command_to_resume()}`")

    def _command_to_resume(self) -> str:
        trials = [text.removeprefix("budget.trials=") for text in self.overrides if text.startswith("budget.trials=")]
        return f"{self._again()}{f' --trials {trials[-1]}' if trials else ''} --resume"

    def _again(self) -> str:
        """The command that goes on with the sweep, but for --resume: with the values that were replaced when it began."""
        submit = "ray job submit --working-dir . -- " if is_ray_job() else ""
        kept = [text for text in self.overrides if not text.startswith("budget.trials=")]
        words = [self.space_path, "--storage", _shown(self.storage), "--name", self.folder.name]
        words += [word for text in kept for word in ("--set", text)]
        return f"{submit}{program('python')} ray_jobs/sweep.py {shlex.join(words)}"


def _shown(path: Path) -> str:
    """The path as one would type it here."""
    if is_ray_job():
        return str(path)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _standings(search: Search) -> list[Standing]:
    metric = search.space.objective.metric
    return [
        Standing(
            rank=row["rank"],
            trial=row["trial"],
            status=row["status"],
            objective=row["objective"],
            low=row["interval_95"][0] if row["interval_95"] else None,
            high=row["interval_95"][1] if row["interval_95"] else None,
            test=row["test"].get(metric) if row["test"] else None,
            params=row["parameters"],
            train_flops=row["train_flops"],
            params_count=row["params"],
        )
        for row in leaderboard_rows(search, SHOWN_STANDINGS)
    ]

"""One whole run from a configuration file: in this process, or as a gang of Ray Train workers."""

import contextlib
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm.config.base import RECORDED
from trm.config.files import load_run_config, load_yaml, validated
from trm.config.imports import require_unchanged
from trm.config.optimizers import CONSTANT_COSINE
from trm.config.run import RunConfig
from trm.config.tracking import Tracking
from trm.config.training import VOTES, require_divisible
from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.batches.row_storage import check_order, memory_room, resolved, training_rows
from trm.data.batches.split import load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.distributed import TorchGang
from trm.errors import CheckpointError, ConfigError, InterruptedRun, TerminatedRun, TrialError
from trm.evaluation.metrics import imported_metrics
from trm.files.disk import full_text, is_disk_full
from trm.files.json_files import read_json
from trm.files.weight_files import digest_of_start
from trm.jobs.train_console import ConsoleReporter, run_summary
from trm.jobs.train_tracking import Tracked, tracked_run
from trm.models.cost import run_cost
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Lease
from trm.search.settings import Resources
from trm.sweeps.commands import job_command
from trm.sweeps.places import (
    DEFAULT_STORAGE,
    held_folder,
    is_taken,
    numbered_after,
    numbered_folder,
    refuse_links_in,
    refuse_unwritable,
    writable_folder,
)
from trm.sweeps.versions import changed_versions
from trm.tasks.counts import data_counts
from trm.tasks.ensure import ensure_dataset, summary_of, task_of_data
from trm.tasks.forms import require_forms
from trm.tasks.metrics import require_figures
from trm.tasks.places import data_beside, names_data, refuse_remote
from trm.terminal.command_line import show
from trm.tracking.places import tracking_uri
from trm.training.checkpoint import CheckpointMeta, installed_versions, read_meta, require_same_run
from trm.training.process import keep_freed_memory, training_device
from trm.training.protocol import Protocol, protocol_of
from trm.training.reporting import Reporter, RunReport
from trm.training.run import RunOutcome, fit, protocol_in, require_same_protocol, run_steps
from trm.training.run_folder import REPORT_FILE, RunFolder
from trm.training.run_record import read_record
from trm.training.start import RunData
from trm.training.starting import Source, read_source, require_beginning, start_of
from trm.training.weights import CONFIG_FILE


@dataclass(frozen=True)
class TrainOptions:
    """What the command line says."""

    config: str | None
    overrides: tuple[str, ...]
    workers: int
    out: str | None
    storage: str | None
    resume: str | None
    gpus: float
    address: str | None
    is_retry: bool = False
    """Whether it may be one of several tries: then a process that died a moment ago, elsewhere, is waited for."""
    tracking: Tracking | None = None
    """In place of the configuration's, which no run's own file holds; null: as there."""


def run_training(options: TrainOptions) -> int:
    """Train to the end and print where everything lies; the exit code."""
    _check_options(options)
    source = options.config or str(Path(str(options.resume)) / CONFIG_FILE)
    if options.config is None and "tracking" in load_yaml(source):
        raise ConfigError(
            f"where MLflow writes is the user's word, and {source} has tracking",
            remedy="remove it there, and say --set tracking.uri=URI",
        )
    config = _where_data_lie(_written(source, options), source, options)
    config = _with_start(config, options)
    if options.tracking is not None:
        config = config.model_copy(update={"tracking": options.tracking})
    require_divisible(config.training.global_batch_size, options.workers, config.training.micro_batches)
    imported_metrics()  # refuses what is none before anything is made
    require_forms(config.evaluation.forms, task_of_data(config.data, "train"))
    data = summary_of(config.data)
    protocol = protocol_of(config.evaluation, data.splits, data.source, to_hold_out=data.to_hold_out)
    require_figures(config, data.task, data.parts_in(protocol.split))
    storage, folder = _places(options)
    if config.tracking.enabled:
        tracking_uri(config.tracking.uri, storage)  # refuses what is no store before anything is made
    begun = None
    if folder is not None:
        refuse_links_in(folder)
    if options.resume is not None and folder is not None:
        refuse_unwritable(folder, "a run")
        for loss in RunFolder(folder).losses():
            say(loss)
        require_same_protocol(RunFolder(folder), protocol)
        begun = _resumed_from(RunFolder(folder), config)
    weights = None if begun is not None or config.start.path is None else _weights(config)
    address = "local"
    if options.workers > 1:
        from trm.cluster.connection import Demand, check_fits_here, ray_address  # brings Ray

        address = ray_address(options.address)
        if address == "local":
            check_fits_here(Demand(options.workers, 1.0, options.gpus))
    with _claimed(folder, storage, source, waits=options.is_retry) as lease:
        folder = lease.folder
        dataset = ensure_dataset(config.data, str(storage / "data"), say)
        manifest = read_manifest(dataset)
        check_order(config.data, manifest)
        config = config.model_copy(update={"data": config.data.built(dataset)})
        if begun is not None:
            mode = config.data.order()["mode"]  # a run that never said began resident
            config = config.model_copy(update={"data": config.data.model_copy(update={"mode": mode})})
            _check_resumable(folder, begun, config, manifest)
        config = _with_votes(config, dataset, begun)
        for line in () if weights is None else start_of(config, manifest, weights).lines:
            say(line)
        if begun is None and config.optim.asks_for_constant_cosine:
            say(CONSTANT_COSINE)
        say(f"run folder {folder}")
        if protocol.on_the_way != "validation":
            say(_protocol_words(protocol, data.source))
        place = storage if options.storage is not None else folder.parent
        tracked = Tracked(config.tracking, place, manifest.name, _costs(config, manifest))
        with tracked_run(folder, tracked, is_resumed=options.resume is not None), _paused_when_full(folder):
            if options.workers == 1:
                outcome = _in_place(config, manifest, dataset, folder, is_resumed=options.resume is not None)
            else:
                outcome = _as_gang(config, manifest, dataset, folder, options, address)
    is_tracked = (record := read_record(folder)) is not None and record.is_tracked
    show(run_summary(outcome, folder, tracking_uri(config.tracking.uri, place) if is_tracked else None))
    return 0


@contextlib.contextmanager
def _paused_when_full(folder: Path) -> Iterator[None]:
    """InterruptedRun, with the command that goes on, where the disk was found full: its checkpoints are whole."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        go_on = f"{job_command('train.py')} --resume {shlex.quote(str(folder))}"
        raise InterruptedRun(f"{full_text(folder, str(error))}. Make room, then go on with `{go_on}`") from error


def _costs(config: RunConfig, manifest: Manifest) -> dict[str, float]:
    """What the run takes, by the names that a sweep's trials have in MLflow."""
    cost = run_cost(config, manifest.shape)
    return {
        "max_steps": float(run_steps(config, manifest)),
        "step_flops": cost.step_flops,
        "inference_flops": cost.inference_flops,
        "params_count": float(cost.params_count),
    }


def _written(source: str, options: TrainOptions) -> RunConfig:
    is_own, is_begun = options.config is not None, options.resume is not None
    return load_run_config(source, options.overrides, is_own=is_own, is_begun=is_begun)


def _with_start(config: RunConfig, options: TrainOptions) -> RunConfig:
    """The configuration with the digest of the weights that it starts from; of a run that goes on the one that it began with."""
    if config.start.path is None or config.start.digest is not None:
        return config
    digest = None
    if options.resume is not None:
        digest = validated(RunConfig, load_yaml(Path(options.resume) / CONFIG_FILE), options.resume, RECORDED).start.digest
    digest = digest or digest_of_start(config.start.path)
    return config.model_copy(update={"start": config.start.model_copy(update={"digest": digest})})


def _weights(config: RunConfig) -> Source:
    """What a run that begins starts from, refused for what is wrong with it whatever its data set is."""
    source = read_source(config.start, config)
    require_beginning(config, source)
    return source


def _where_data_lie(config: RunConfig, source: str, options: TrainOptions) -> RunConfig:
    """The configuration with its data where they lie now; DatasetError when only a run's own files name another machine."""
    if names_data(options.overrides):
        return config
    if options.config is None:
        refuse_remote(config.data, source)
    beside = Path(source).parent
    return config.model_copy(update={"data": data_beside(config.data, beside, _content_hash(beside), say=say)})


def _content_hash(folder: Path) -> str:
    """Content hash of the data set, from what lies beside a configuration: a winner's report, a run's checkpoints; else empty."""
    try:
        report = read_json(folder / REPORT_FILE, dict, error=ConfigError, remedy="restore it from a copy")
        return str(report["dataset"]["content_hash"])
    except (OSError, ConfigError, KeyError, TypeError):
        pass
    try:
        return read_meta(RunFolder(folder).newest()).data_hash
    except CheckpointError:
        return ""


def _with_votes(config: RunConfig, dataset: str, begun: CheckpointMeta | None) -> RunConfig:
    """The configuration with the votes that it leaves open: as the run began, else a few where there are many."""
    if config.evaluation.votes is not None:
        return config
    votes = begun.config.evaluation.votes if begun is not None else None
    forms = data_counts(config.data, "", say).forms
    if begun is None and forms > VOTES:
        votes = VOTES
        say(f"an evaluation on the way takes {VOTES} votes of {forms:.0f} on average (evaluation.votes: all takes every one)")
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"votes": votes})})


def _protocol_words(protocol: Protocol, source: str) -> str:
    """What is unusual about how the run is scored, for the beginning."""
    if protocol.on_the_way is not None:
        return "evaluation.split: test: the run looks at the test split on its way, so its scores are no clean estimate"
    end = f"{protocol.at_end}, once" if protocol.at_end is not None else f"nothing, {source} has only training puzzles"
    return f"nothing is scored on the way; after the last step its weights are exported and scored on {end}"


def _check_options(options: TrainOptions) -> None:
    if options.resume is None and options.config is None:
        raise ConfigError(
            "a run needs a configuration", remedy="give one, for instance search_spaces/recipes/sudoku_mlp.yaml, or --resume DIR"
        )
    if options.resume is not None and options.out is not None:
        raise ConfigError(
            f"a run goes on in its own folder, got --resume {options.resume} and --out {options.out}", remedy="drop one"
        )
    validated(Resources, {"workers": options.workers, "gpus": options.gpus}, "command line")
    if options.workers == 1 and options.gpus:
        raise ConfigError(f"--gpus is for a gang, got {options.gpus:g} and one worker", remedy="drop it, or raise --workers")
    if options.resume is not None:
        refuse_links_in(Path(options.resume))
    if options.resume is not None and not (Path(options.resume) / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{options.resume!r} is no run: it holds no {CONFIG_FILE}", remedy="give the folder that train.py printed"
        )


def _places(options: TrainOptions) -> tuple[Path, Path | None]:
    """The storage, where data sets lie, and the run's folder; null: the first that is free."""
    if options.resume is not None or options.out is not None:
        folder = writable_folder(options.resume or options.out, "--resume" if options.resume is not None else "--out")
        storage = writable_folder(options.storage or str(Path(DEFAULT_STORAGE).absolute()), "--storage")
    else:
        return writable_folder(options.storage, "--storage", default=DEFAULT_STORAGE), None
    if options.resume is None and is_taken(folder, (LEASE,)):
        command = f"--resume {shlex.quote(str(folder))}"
        raise ConfigError(f"{folder} is taken", remedy=f"go on with it by {command}, or give another --out")
    return storage, folder


def _resumed_from(folder: RunFolder, config: RunConfig) -> CheckpointMeta | None:
    """What the run goes on from, the newest whole checkpoint; None: none is, and it begins anew. Says what is damaged."""
    found, torn = folder.newest_whole()
    for problem in torn:
        say(f"not used: {problem}")
    if torn and found is not None:
        say(f"the run goes on from {found.name}")
    if found is None:
        say(f"no checkpoint {'is whole' if torn else 'was made yet'}: the run begins anew")
        return None
    meta = read_meta(found)
    require_same_run(found, meta, config, meta.shape, meta.data_hash)
    require_unchanged(meta.versions, f"the run {folder.path}")
    for change in changed_versions(meta.versions, installed_versions()):
        say(f"the run began with {change}: numbers may differ from there on")
    return meta


def _check_resumable(folder: Path, meta: CheckpointMeta, config: RunConfig, manifest: Manifest) -> None:
    """CheckpointError when the checkpoint of `meta` is of other data, or beyond the run's end."""
    require_same_run(RunFolder(folder).checkpoint(meta.step), meta, config, manifest.shape, manifest.content_hash)
    if (steps := run_steps(config, manifest)) < meta.step:
        raise CheckpointError(f"the run has {steps} steps and is at step {meta.step} already", remedy="give it more steps")


def _claimed(folder: Path | None, storage: Path, source: str, *, waits: bool) -> AbstractContextManager[Lease]:
    """The lease on the run's folder, or on the first that is free of those numbered after the configuration."""
    if folder is not None:
        return held_folder(folder, _is_begun, say, waits=waits)
    return numbered_folder(numbered_after(storage, source, "run"), _is_begun)


def _is_begun(folder: Path) -> bool:
    return (folder / CONFIG_FILE).exists()


def _in_place(config: RunConfig, manifest: Manifest, dataset: str, folder: Path, *, is_resumed: bool) -> RunOutcome:

    keep_freed_memory()
    config = config.model_copy(update={"data": resolved(config.data, [manifest], memory_room(), say)})
    device = training_device()
    protocol = protocol_in(config, manifest)
    reporter = ConsoleReporter(protocol)
    with contextlib.ExitStack() as stack:
        with shown("reading the data", say):
            splits: RunData = {"train": stack.enter_context(training_rows(config.data, dataset, manifest))}
            if protocol.split is not None:
                splits[protocol.split] = load_split(dataset, manifest, protocol.split)
        stack.enter_context(reporter.stops_on_signals())
        return fit(config, splits, manifest, folder=folder, is_resumed=is_resumed, reporter=reporter, device=device)


def _as_gang(config: RunConfig, manifest: Manifest, dataset: str, folder: Path, options: TrainOptions, address: str) -> RunOutcome:
    from trm.cluster.connection import Demand, concurrent_trials, connected, living_nodes
    from trm.cluster.hearing import heard
    from trm.cluster.shared_data import fed_splits, read_feed, store_room
    from trm.cluster.stream import gang_stream
    from trm.cluster.train_gang import run_gang

    demand = Demand(options.workers, 1.0, options.gpus)
    goes_on = f"what is in {folder} can go on with --resume {shlex.quote(str(folder))}"
    with _left_in_order(goes_on), connected(needs_dashboard=True, address=address, goes_on=goes_on):
        concurrent_trials(living_nodes(), demand, 1)
        data = resolved(config.data, [manifest], store_room(), say)
        config = config.model_copy(update={"data": data})
        scored = protocol_in(config, manifest).split
        with shown("reading the data", say):
            feed = read_feed(dataset, fed_splits(data, *([] if scored is None else [scored])))
        with gang_stream(data, dataset, workers=options.workers) as stream, heard(say) as mouth:
            worker_config: dict[str, Any] = {
                "config": config.model_dump(mode="json"),
                "feed": feed,
                "stream": stream,
                "mouth": mouth,
                "folder": str(folder),
                "is_resumed": options.resume is not None,
            }
            failure = run_gang(_gang_worker, worker_config, demand, str(folder / "train"))
    if failure is not None:
        raise TrialError(f"{failure}; {goes_on}")
    return _read_outcome(folder)


@contextlib.contextmanager
def _left_in_order(goes_on: str) -> Iterator[None]:
    """A signal while a gang trains, or the end of Ray, says how to go on."""
    try:
        yield
    except (KeyboardInterrupt, TerminatedRun) as error:
        raise InterruptedRun(goes_on) from error


def _gang_worker(config: dict[str, Any]) -> None:

    gang = TorchGang.current()
    feed = config["feed"]
    run = RunConfig.model_validate(config["config"])
    protocol = protocol_in(run, feed.manifest)
    splits: RunData = {"train": feed.training_rows(run.data, config["stream"], gang.rank)}
    if protocol.split is not None:
        splits[protocol.split] = feed.split(protocol.split)
    fit(
        run,
        splits,
        feed.manifest,
        folder=config["folder"],
        is_resumed=config["is_resumed"],
        gang=gang,
        reporter=ConsoleReporter(protocol, config["mouth"].say) if gang.is_leader else Reporter(),
        device=training_device(),
    )


def _read_outcome(folder: Path) -> RunOutcome:
    run_folder = RunFolder(folder)
    reports = [RunReport(**row) for row in run_folder.rows()]
    return RunOutcome(reports[-1], [report for report in reports if report.is_best][-1], run_folder.newest())

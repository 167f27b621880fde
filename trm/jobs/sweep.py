"""A sweep from a search space file to its leaderboard: everything is checked before a worker starts, and can be resumed."""

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trm.cluster.connection import Demand, check_fits_here, connected, ray_address
from trm.cluster.sweep_run import SweepRun
from trm.config.data import DataConfig
from trm.console.lines import keep, recorded
from trm.console.redaction import without_secrets
from trm.console.streams import one_message, printable, say
from trm.errors import EXIT_DONE, SweepError
from trm.files.disk import full_text, is_disk_full
from trm.jobs.sweep_starts import require_sources, start_lines
from trm.search.journal.lease import Lease
from trm.search.planning.preflight import check_objective, preflight
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey, check_space
from trm.search.planning.unasked import confirmation_lines, unasked_lines
from trm.search.planning.validation_subset import with_subset
from trm.search.space.candidates import Facts
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.search.space.starts import with_starts
from trm.sweeps.checkpoint_stores import require_objects
from trm.sweeps.commands import Invocation
from trm.sweeps.data_sets import DataSets, ensured_sets
from trm.sweeps.earlier import check_same_priors, priors_from, read_earlier
from trm.sweeps.folder import (
    DRIVER_LOG,
    begun_rules,
    begun_space,
    check_same_data,
    claimed_folder,
    data_of_resume,
    rules_of,
    sweep_folder,
)
from trm.sweeps.mirror import mirrored
from trm.sweeps.places import DEFAULT_STORAGE, writable_folder
from trm.sweeps.search import costs_on
from trm.sweeps.shared_puzzles import require_shared
from trm.sweeps.sweep import Sweep
from trm.tasks.counts import data_counts
from trm.tasks.ensure import parts_to_search, task_to_search
from trm.terminal.command_line import ending
from trm.tracking.places import tracking_uri


@dataclass(frozen=True)
class SweepOptions:
    """What the command line says."""

    space: str
    overrides: tuple[str, ...] = ()
    name: str | None = None
    storage: str | None = None
    is_resume: bool = False
    is_retry: bool = False
    """Whether it may be one of several tries: then a driver that died a moment ago, elsewhere, is waited for."""
    warm_start: tuple[str, ...] = ()
    """Folders of earlier sweeps to start from."""
    address: str | None = None


def run_sweep(options: SweepOptions) -> int:
    """Run or resume a sweep to its end; the exit code. Raises InputError before a worker starts, InterruptedRun when stopped."""
    space = load_space(options.space, options.overrides, rules=_rules(options))
    config = check_space(space, is_begun=options.is_resume).config
    data = _data_now(space, options)
    for choice in (data, *(one for one in space.data_choices if one != space.data)):
        check_objective(space, config, task_to_search(choice), parts_to_search(choice))
    for note in space.start_notes:
        say(note)
    earlier = [] if options.is_resume else read_earlier(options.warm_start, space)
    storage = writable_folder(options.storage, "--storage", default=DEFAULT_STORAGE)
    address = ray_address(options.address)
    demand = Demand(space.resources.workers, space.resources.cpus, space.resources.gpus)
    if address == "local":
        check_fits_here(demand)
    uri = _store(space, storage)
    folder = sweep_folder(storage, space, options.name, is_resume=options.is_resume)
    if options.is_resume:
        space = begun_space(folder, space, begun_rules(folder))
        check_same_priors(folder, options.warm_start)
    else:
        space = with_starts(space)
        require_sources(space)
    how = {"is_resume": options.is_resume, "is_named": options.name is not None, "waits": options.is_retry}
    with contextlib.ExitStack() as held:
        lease = held.enter_context(claimed_folder(folder, space, **how))
        held.enter_context(_logged(lease))
        folder = lease.folder
        require_objects(space, folder, is_resume=options.is_resume)
        mirror = held.enter_context(mirrored(space, folder, lease.holder, is_resume=options.is_resume))
        sets = ensured_sets(space, data, str(storage / "data"), say)
        if options.is_resume:
            check_same_data(folder, sets)
        require_shared(sets)
        is_streamed = space.data.is_streamed
        facts = Facts(epoch_rows=sets.epoch_rows(is_streamed=is_streamed), sets=sets.facts(is_streamed=is_streamed))
        survey = with_rungs(Survey(space, costs_on(sets, space.resources), facts))
        if not options.is_resume:
            survey = _with_subset(survey, sets)
        for line in confirmation_lines(survey) if options.is_resume else [*unasked_lines(survey), *start_lines(survey, sets)]:
            say(line)
        space = survey.space
        # Trials that are so many seconds long wait for speeds to be measured.
        costs = None if space.fidelity == "seconds" else preflight(survey)
        priors = priors_from(earlier, space, sets, facts)
        invocation = Invocation(options.space, options.overrides, storage, folder)
        sweep = Sweep(space, invocation, sets, lease, uri, priors, mirror)
        told = {"sweep": folder.name, "folder": str(folder)}
        writer = held.enter_context(sweep.writer_started())
        with connected(needs_dashboard=False, address=address, goes_on=sweep.whole, metadata=told):
            try:
                SweepRun(sweep, demand, writer).run(costs)
            except OSError as error:
                if not is_disk_full(error):
                    raise
                raise sweep.paused(full_text(folder, str(error))) from error
    return EXIT_DONE


@contextlib.contextmanager
def _logged(lease: Lease) -> Iterator[None]:
    """While entered, what the driver says is written into its log too; at the end, how it ended."""
    with recorded(lease.folder / DRIVER_LOG):
        keep(f"driver {lease.holder.name}, number {lease.fence} of this folder")
        try:
            yield
        except BaseException as error:
            foreseen = ending(error)
            keep(printable(traceback.format_exc()) if foreseen is None else one_message(foreseen.message))
            raise
        keep("done")


def _rules(options: SweepOptions) -> int:
    return rules_of(options.space, options.overrides, storage=options.storage, name=options.name, is_resume=options.is_resume)


def _data_now(space: SearchSpace, options: SweepOptions) -> DataConfig:
    """The data of the space; at a resume where they lie now, when the storage was moved with them."""
    if not options.is_resume or space.data.folder is None:
        return space.data
    storage = Path(options.storage or DEFAULT_STORAGE).expanduser().absolute()
    try:
        return data_of_resume(sweep_folder(storage, space, options.name, is_resume=True), space.data, say)
    except SweepError:  # what follows says what is wrong with the folder
        return space.data


def _store(space: SearchSpace, storage: Path) -> str | None:
    """MLflow's tracking store, with its secrets; null: none."""
    if not space.tracking.enabled:
        return None
    place = space.tracking.artifact_location or ""
    if place != without_secrets(place):
        say(
            "MLflow keeps tracking.artifact_location in its own files: it gets the address without its secret, which has to come "
            "from the environment (AWS_ACCESS_KEY_ID and so on)"
        )
    return tracking_uri(space.tracking.uri, storage)


def _with_subset(survey: Survey, sets: DataSets) -> Survey:
    counts = [data_counts(survey.space.data.built(one.folder), "", say) for one in sets.sets]
    survey, subset = with_subset(survey, examples=counts[0].validation_rows, forms=[one.forms for one in counts])
    if subset is not None:
        say(f"a rung is scored on {subset.text}")
    return survey

"""A storage looked at and tidied up, without Ray: `--list` and `--remove`."""

import time
from pathlib import Path

from trm.console.long_work import shown
from trm.console.redaction import redacted
from trm.console.streams import one_line, say
from trm.errors import EXIT_DONE, TRMError
from trm.files.disk import in_units
from trm.jobs.retries import forget_told
from trm.search.findings.status import Leader
from trm.search.journal.events import SweepStarted
from trm.sweeps.listing import ListedSweep, listed_sweeps, remove_sweep
from trm.sweeps.places import DEFAULT_STORAGE, expanded
from trm.terminal.command_line import duration, show
from trm.tracking.outbox import cause_of
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import Target, state_by_sweep_file, storage_for, store_for

HEADS = ("name", "status", "best", "size", "last event")


def show_sweeps(storage: str) -> int:
    """Say which sweeps lie in a storage: name, status, best, size, and how long ago each went on."""
    place, now = expanded(storage, "--list"), time.time()
    with shown(f"reading the sweeps of {place}", say) as report:
        found = listed_sweeps(place, now, report)
    rows = [HEADS, *(_row(one, now) for one in found)] if found else [(f"no sweep lies in {place}",)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        show("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return EXIT_DONE


def remove(name: str, storage: str | None, *, with_runs: bool) -> int:
    """Remove a sweep of a storage, and `with_runs` its runs in MLflow: those can be taken out of MLflow's trash again."""
    place = expanded(storage or DEFAULT_STORAGE, "--storage").absolute()

    def forget_runs(folder: Path, sweep: SweepStarted) -> None:
        if with_runs:
            _trash_runs(folder, sweep)

    removed = remove_sweep(place, name, forget_runs)
    forget_told(place / name)
    show(f"{place / name} is removed: {in_units(removed.bytes)}")
    if removed.is_elsewhere:
        runs = ", and its runs" if with_runs else ""
        show(f"what lies at {removed.url} stays{runs}: the journal there is not this folder's, so it went on elsewhere, or is gone")
    elif removed.url is not None:
        show(f"with it {removed.objects} objects at {removed.url}: {in_units(removed.object_bytes)}")
    return EXIT_DONE


def _trash_runs(folder: Path, sweep: SweepStarted) -> None:
    """TRMError where the store cannot be asked: the sweep, which says where its runs are, stays then."""
    known = OutboxState.read(folder) or state_by_sweep_file(folder)
    address = store_for(folder, None, known.uri)
    from trm.tracking.store import MlflowStore

    store = MlflowStore(Target(address, str(folder), str(storage_for(folder, address)), known.experiment), lambda kind, text: None)
    try:
        count = store.trash(sweep)
    except Exception as error:  # whatever a store raises
        raise TRMError(f"the runs of {folder} could not be removed from {redacted(address)}: {cause_of(error)}") from error
    say(f"{count} runs of {folder.name} are in MLflow's trash; `mlflow gc` empties it")


def _row(one: ListedSweep, now: float) -> tuple[str, ...]:
    ago = "" if one.at is None else f"{duration(now - one.at)} ago"
    best = "no result yet" if one.best is None else _best(one.metric, one.best)
    return one.name, one_line(one.state), best if one.metric else "", in_units(one.bytes), ago


def _best(metric: str, best: Leader) -> str:
    return f"{metric} {best.objective:.4f}, trial {best.trial}"

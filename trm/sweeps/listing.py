"""The sweeps of a storage, each from its folder alone; and the end of one that nobody wants any more."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trm.errors import InputError, SweepError
from trm.files.objects import Objects
from trm.search.findings.status import Leader, sweep_status
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import Lease, is_held
from trm.search.log import FILE as JOURNAL
from trm.search.space.recorded import recorded_space
from trm.search.state import SweepState
from trm.sweeps.checkpoint_stores import objects_url, remove_objects
from trm.sweeps.folder import NAME, is_begun, sweeps_text
from trm.sweeps.mirror_objects import is_owned, require_undriven
from trm.sweeps.places import refuse_links_in, refuse_unwritable
from trm.sweeps.trial_files import folder_bytes


@dataclass(frozen=True)
class ListedSweep:
    """A sweep of a storage, in a line."""

    name: str
    """Of its folder."""
    state: str
    """In a few words, as `--status` has it; of one that cannot be read, why."""
    metric: str
    """What its best is the best by; empty where it cannot be read."""
    best: Leader | None
    """Its best trial; null while none was scored."""
    bytes: int
    """Of all that lies in its folder."""
    at: float | None
    """Unix seconds of its last event; null where it cannot be read."""


def listed_sweeps(storage: Path, now: float, report: Callable[[str, int, int], None]) -> list[ListedSweep]:
    """The sweeps in a storage, the newest event first, at unix time `now`; one that cannot be read is told as such, and last.

    SweepError when the storage is no folder. `report` hears how many are read.
    """
    if not storage.is_dir():
        raise SweepError(f"{storage} is no folder", remedy="give a storage: the folder that sweeps lie in, such as runs")
    folders = sorted(path.parent for path in storage.glob(f"*/{JOURNAL}") if is_begun(path.parent))
    found = list[ListedSweep]()
    for index, folder in enumerate(folders):
        report("sweeps", index, len(folders))
        found.append(_listed(folder, now))
    return sorted(found, key=lambda one: (one.at is None, -(one.at or 0.0), one.name))


def _listed(folder: Path, now: float) -> ListedSweep:
    size = folder_bytes(folder)
    try:
        refuse_links_in(folder)
        state, at = SweepState(recorded_space(folder)), None
        for entry in read_events(folder / JOURNAL):
            state.apply(entry.event)
            at = entry.event.at
        status = sweep_status(state, now, is_driven=is_held(folder))
    except (InputError, OSError) as error:
        return ListedSweep(folder.name, f"cannot be read: {error}", "", None, size, None)
    return ListedSweep(folder.name, status.state, state.space.objective.metric, status.best, size, at)


@dataclass(frozen=True)
class Removed:
    """What a removal took away, and what it left."""

    bytes: int
    """Of the sweep's folder."""
    url: str | None = None
    """Where its objects lay; null: it had none."""
    objects: int = 0
    """How many of them are gone."""
    object_bytes: int = 0
    is_elsewhere: bool = False
    """Whether what lies at `url` is not of this folder's sweep: that stays, and the runs too."""


def remove_sweep(storage: Path, name: str, forget_runs: Callable[[Path, SweepStarted], None]) -> Removed:
    """Remove a sweep's folder with all that is in it, and its objects. `forget_runs` is called before, with its lease held.

    The folder alone goes where the sweep went on from its objects elsewhere. SweepError when there is none of that name, a living
    driver has it, or this user may not write all of it.
    """
    folder = storage / name
    if not NAME.fullmatch(name) or not is_begun(folder):
        raise SweepError(
            f"there is no sweep {name!r} in {storage}", remedy=sweeps_text(storage, "give the name of a sweep's folder")
        )
    refuse_links_in(folder)
    refuse_unwritable(folder, "the removal of a sweep")
    with Lease(folder) as lease:
        first = next((entry.event for entry in read_events(folder / JOURNAL)), None)
        removed = Removed(0)
        if isinstance(first, SweepStarted):
            space = recorded_space(folder)
            url = objects_url(space, first.name)
            is_own = url is None or _is_own(url, folder, is_mirror=space.storage.mirror)
            removed = Removed(0, url, is_elsewhere=not is_own)
            if is_own:
                forget_runs(folder, first)
            if is_own and url is not None:
                count, size = remove_objects(url)
                removed = replace(removed, objects=count, object_bytes=size)
        removed = replace(removed, bytes=folder_bytes(folder))
        lease.discard()
    return removed


def _is_own(url: str, folder: Path, *, is_mirror: bool) -> bool:
    """Whether the objects may go with the folder; SweepError when a living driver has them."""
    if not is_owned(url, folder, is_mirror=is_mirror):
        return False
    if is_mirror:
        require_undriven(Objects(url))
    return is_owned(url, folder, is_mirror=is_mirror)  # while we looked another may have had its turn

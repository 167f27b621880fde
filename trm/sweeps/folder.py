"""The folder of a sweep: where it lies, who may use it, and the file that says what the sweep is."""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trm.config.data import DataConfig
from trm.config.files import dump_yaml, load_yaml, validated
from trm.config.imports import require_unchanged
from trm.console.long_work import shown
from trm.console.streams import say
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import SweepError
from trm.files.atomic import why_unwritable, write_text_atomic
from trm.files.yaml_values import RESOLVED
from trm.search.journal.events import DriverStarted, SweepStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Lease
from trm.search.journal.lines import holds_events
from trm.search.journal.priors import Prior, prior_summary
from trm.search.log import FILE as JOURNAL
from trm.search.planning.rung_choice import as_begun
from trm.search.planning.validation_subset import subset_as_begun
from trm.search.space.defaults import unasked_confirm
from trm.search.space.loading import load_space
from trm.search.space.recorded import SWEEP_FILE, recorded_section, recorded_space
from trm.search.space.resume import check_growth, check_resumable
from trm.search.space.rules import OLDEST, RULES
from trm.search.space.space import SearchSpace
from trm.search.space.starts import starts_as_begun
from trm.sweeps.commands import recorded_resume
from trm.sweeps.data_sets import DataSet, DataSets
from trm.sweeps.digests import check_recorded, digests_of
from trm.sweeps.places import DEFAULT_STORAGE, held_folder, is_taken, numbered_folder, refuse_links_in, refuse_unwritable
from trm.tasks.places import data_beside, refuse_remote

DATASET_FILE = "dataset.json"
"""A copy of the data set's manifest, so that costs can be told when the data set is gone."""
DATASETS_FILE = "datasets.json"
"""Likewise the manifests of all data sets, where there are several."""
REMAKE = "remove it: the data set has what it says, and --resume writes it again; or restore it from a copy"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")
NOT_SWEEPS = ("data", "mlflow.db", "mlartifacts")
"""What else lies in a storage."""
DRIVER_LOG = "driver.log"
"""What its drivers said."""
EARLY_FILES = (SWEEP_FILE, DATASET_FILE, DATASETS_FILE, JOURNAL, LEASE, DRIVER_LOG)
"""What a sweep may leave that ends before it begins."""


def sweep_folder(storage: Path, space: SearchSpace, name: str | None, *, is_resume: bool) -> Path:
    """The sweep's folder; SweepError when the name is taken, or there is nothing to resume."""
    if name is not None:
        if not NAME.fullmatch(name) or name in NOT_SWEEPS:
            raise SweepError(
                f"--name must be letters, digits, ., _ and -, and not {', '.join(NOT_SWEEPS)}, got {name!r}", remedy="give another"
            )
        folder = storage / name
        refuse_links_in(folder)
        if is_resume and not is_begun(folder):
            raise SweepError(f"there is no sweep to resume in {folder}", remedy=sweeps_text(storage, "start it without --resume"))
        if not is_resume and is_begun(folder):
            raise SweepError(f"the sweep {folder} exists", remedy="go on with it by --resume, or give another --name")
        if not is_resume and is_taken(folder, EARLY_FILES):
            raise SweepError(f"{folder} exists and is no sweep", remedy="give another --name")
        return folder
    numbered = {
        int(path.name.removeprefix(f"{space.name}-")): path
        for path in storage.glob(f"{space.name}-*")
        if path.name.removeprefix(f"{space.name}-").isdecimal() and (is_begun(path) or is_taken(path, EARLY_FILES))
    }
    if not is_resume:
        return storage / f"{space.name}-{max(numbered, default=0) + 1}"
    begun = [number for number, path in numbered.items() if is_begun(path)]
    if not begun:
        raise SweepError(
            f"there is no sweep of {space.name} to resume in {storage}", remedy=sweeps_text(storage, "start it without --resume")
        )
    return numbered[max(begun)]


def is_begun(folder: Path) -> bool:
    """Whether a sweep began in the folder: its journal has a line, or what once was one; a killed driver's torn first is none."""
    return holds_events(folder / JOURNAL)


@contextlib.contextmanager
def claimed_folder(
    folder: Path, space: SearchSpace, *, is_resume: bool, is_named: bool = True, waits: bool = False
) -> Iterator[Lease]:
    """Hold the lease on the folder; one that was made here and never became a sweep is removed again.

    Not `is_named`, it is the first one that is free of those numbered from it on. A resume that is refused has changed nothing:
    SweepError when the journal is damaged or the sweep is of another space. Who `waits` does so for a minute where the last driver,
    on another machine, may be dead.
    """
    if (reason := why_unwritable(folder)) is not None:
        raise SweepError(
            f"a sweep's folder must be writable: {folder} ({reason})", remedy="make it writable or give another --name"
        )
    refuse_links_in(folder)
    if is_resume:
        check_resume(folder, space)
    if not is_resume and not is_named:
        with numbered_folder(_numbered_from(folder), is_begun) as lease:
            yield lease
        return
    with held_folder(folder, is_begun, say, waits=waits) as lease:
        if not is_resume and is_begun(folder):  # while we waited for the lease
            raise SweepError(f"the sweep {folder} exists", remedy="go on with it by --resume, or give another --name")
        yield lease


def check_resume(folder: Path, space: SearchSpace) -> None:
    """SweepError when the sweep of a folder cannot go on as `space`: it is of another, its journal is damaged, or not ours."""
    refuse_unwritable(folder, "a sweep")
    check_resumable(recorded_space(folder), space)
    with shown(f"reading {folder / JOURNAL}", say):
        events = [entry.event for entry in read_events(folder / JOURNAL)]
    if not events:
        raise SweepError(f"{folder / JOURNAL} holds no whole event", remedy="restore it from a copy")
    for started in events:
        if isinstance(started, SweepStarted):
            require_unchanged(started.versions, f"the sweep {folder}")
    check_recorded(folder / SWEEP_FILE, recorded_section(folder, "space"), recorded_section(folder, "dataset"), events)
    budgets = [event.budget for event in events if isinstance(event, DriverStarted) and event.budget is not None]
    check_growth([budget.per_trial for budget in budgets], space)


def _numbered_from(folder: Path) -> Iterator[Path]:
    stem, _, first = folder.name.rpartition("-")
    return (folder.with_name(f"{stem}-{number}") for number in itertools.count(int(first)))


def begun_rules(folder: Path) -> int:
    """Number of the rules by which the sweep of a folder began; SweepError for a damaged journal, and for later rules."""
    started = next((entry.event for entry in read_events(folder / JOURNAL)), None)
    if not isinstance(started, SweepStarted):
        return RULES  # what follows says what is wrong with the journal
    if started.rules > RULES:
        raise SweepError(
            f"a sweep decides by the rules it began by, {folder} began by rules {started.rules}, this program knows 1 to {RULES}",
            remedy="update trm-search",
        )
    return started.rules


def rules_of(
    space: str, overrides: Sequence[str], *, storage: str | None = None, name: str | None = None, is_resume: bool = False
) -> int:
    """Number of the rules of a sweep of this file: today's, or of one that goes on those by which it began.

    SweepError for a damaged journal.
    """
    if not is_resume:
        return RULES
    place = Path(storage or DEFAULT_STORAGE).expanduser().absolute()
    try:  # its name tells the folder; the oldest rules refuse least
        folder = sweep_folder(place, load_space(space, overrides, rules=OLDEST), name, is_resume=True)
    except SweepError:  # what follows says what is wrong with the name
        return OLDEST
    return begun_rules(folder)


def begun_space(folder: Path, space: SearchSpace, rules: int = RULES) -> SearchSpace:
    """`space` for the resume of a folder's sweep, begun by `rules`: what it leaves open is as it was chosen when that began."""
    begun = recorded_space(folder)
    if begun.data.folder is not None and space.data.folder is not None:  # where it lies may change, its content hash may not
        space = space.model_copy(update={"data": space.data.model_copy(update={"folder": begun.data.folder})})
    if space.base_point is not None and begun.base_point is not None:  # the base cannot have changed, what is nearest to it may
        space = space.model_copy(update={"base_point": begun.base_point})
    space = _as_begun_where_open(space, begun, rules)
    return starts_as_begun(subset_as_begun(as_begun(space, begun), begun), begun)


def _as_begun_where_open(space: SearchSpace, begun: SearchSpace, rules: int) -> SearchSpace:
    """`space` with the sections that its file leaves open, and those that follow from them; ConfigError where that is no space."""
    said = space.model_fields_set
    taken = {name: getattr(begun, name) for name in ("sampler", "scheduler") if name not in said}
    if not {"base_point", "start_points"} & said:
        taken["base_point"] = begun.base_point
    if all(getattr(space, name) == value for name, value in taken.items()):
        return space
    space = space.model_copy(update=taken)
    if "confirm" not in said:
        space = space.model_copy(update={"confirm": unasked_confirm(space, rules)})
    validated(SearchSpace, space.model_dump(mode="json"), "the space with what it leaves open as the sweep began", {"rules": rules})
    return space


def data_of_resume(folder: Path, data: DataConfig, say: Callable[[str], None]) -> DataConfig:
    """The data of a sweep that goes on, where they lie now: as the space says, or where the folder was moved with them."""
    return data_beside(data, folder, str(recorded_section(folder, "dataset").get("content_hash")), say=say)


def check_same_data(folder: Path, sets: DataSets) -> None:
    """SweepError that names the first data set that a resume meets in place of another with which the sweep began."""
    recorded = recorded_section(folder, "dataset")
    before = [str(one.get("content_hash")) for one in recorded.get("sets", [recorded])]
    for there, here in itertools.zip_longest(before, sets.sets):
        if here is None or there != here.manifest.content_hash:
            now = "there is none now" if here is None else f"{here.folder} has {here.manifest.content_hash[:12]}"
            of = f" ({here.data.words})" if here is not None and len(sets.sets) > 1 else ""
            raise SweepError(
                f"{folder} began with the data set of content hash {str(there)[:12]}{of}, {now}",
                remedy="give the same data set, or start a sweep under another --name",
            )


def begun_mode(folder: Path) -> str | None:
    """The data.mode that the sweep began with, which decides the order of its training rows; None before its begin."""
    return recorded_section(folder, "dataset").get("mode", "resident") if is_begun(folder) else None


def write_sweep_file(
    folder: Path,
    space: SearchSpace,
    sets: DataSets,
    versions: dict[str, str],
    *,
    mode: str = "auto",
    command: str = "",
    priors: Sequence[Prior] = (),
) -> None:
    """Write sweep.yaml: the resolved sweep, on its data, which wait in `mode`, and the earlier sweeps that it knows of.

    `command` goes on with it.
    """
    values: dict[str, Any] = {
        "name": folder.name,
        "space": space.model_dump(mode="json"),
        "dataset": sets.described(mode),
        "versions": versions,
        "resume": command,
    }
    if priors:
        values["warm_start"] = [prior_summary(prior) for prior in priors]
    write_text_atomic(folder / DATASET_FILE, sets.first.manifest.model_dump_json(indent=1) + "\n")
    if len(sets.sets) > 1:
        write_text_atomic(
            folder / DATASETS_FILE, json.dumps([one.model_dump(mode="json") for one in sets.manifests], indent=1) + "\n"
        )
    dump_yaml(folder / SWEEP_FILE, values)


def recorded_digests(space: SearchSpace, sets: DataSets, mode: str) -> dict[str, str]:
    """What the journal keeps of a sweep.yaml that `write_sweep_file` writes."""
    return digests_of(space.model_dump(mode="json"), sets.described(mode))


def read_sweep(folder: Path) -> tuple[SearchSpace, DataSets, str]:
    """The sweep of a folder as its last driver had it: its space, its data, how to go on with it.

    SweepError when it cannot be read; the data set itself may be gone.
    """
    refuse_links_in(folder)
    if not is_begun(folder):
        raise SweepError(f"{folder} is no sweep: it has no journal", remedy="give the folder of a sweep, such as runs/NAME")
    space, dataset = recorded_space(folder), recorded_section(folder, "dataset")
    data = space.data.model_copy(update={"mode": dataset.get("mode", "resident")})
    command = str(load_yaml(folder / SWEEP_FILE, RESOLVED).get("resume") or "")
    space = space.model_copy(update={"data": data})
    return space, _recorded_sets(folder, space, dataset), recorded_resume(command, folder)


def _recorded_sets(folder: Path, space: SearchSpace, dataset: Mapping[str, Any]) -> DataSets:
    """The data as the folder's files tell them, where those can be read, else as they lie where sweep.yaml says."""
    recorded = dataset.get("sets")
    if recorded is None:
        return DataSets.one(_manifests(folder, DATASET_FILE, [dataset])[0], space.data)
    manifests = _manifests(folder, DATASETS_FILE, recorded)
    choices = zip(space.data_choices, recorded, manifests, strict=True)
    return DataSets(tuple(DataSet(choice, manifest, str(one.get("folder"))) for choice, one, manifest in choices))


def _manifests(folder: Path, file: str, recorded: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    try:
        told = json.loads((folder / file).read_bytes())
        manifests = [Manifest.model_validate(one) for one in (told if isinstance(told, list) else [told])]
    except FileNotFoundError:
        manifests = [_manifest_there(folder, one) for one in recorded]
    except (OSError, ValueError) as error:
        why = f"it is no manifest ({error.errors()[0]['msg']})" if isinstance(error, ValidationError) else str(error)
        raise SweepError(f"{folder / file} cannot be read: {why}", remedy=REMAKE) from error
    hashes = [str(one.get("content_hash")) for one in recorded]
    if hashes != [one.content_hash for one in manifests] or any(one.content_hash != one.digest() for one in manifests):
        raise SweepError(f"{folder / file} is not of the data set that {SWEEP_FILE} names", remedy=REMAKE)
    return manifests


def _manifest_there(folder: Path, recorded: Mapping[str, Any]) -> Manifest:
    data = DataConfig(folder=str(recorded.get("folder")))
    refuse_remote(data, folder / SWEEP_FILE)
    return read_manifest(str(data_beside(data, folder, str(recorded.get("content_hash"))).folder))


def sweeps_text(storage: Path, otherwise: str) -> str:
    """The sweeps that lie in a storage, or what to do when there is none."""
    names = sorted(path.parent.name for path in storage.glob(f"*/{JOURNAL}") if is_begun(path.parent))
    return f"the sweeps there are {', '.join(names)}" if names else otherwise

"""A sweep's winner handed on: trained anew where that is asked for, written as a folder, registered."""

import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from trm.config.tracking import Tracking
from trm.console.streams import say
from trm.errors import EXIT_DONE, ConfigError, TRMError
from trm.files.atomic import why_unwritable
from trm.jobs.evaluation.environment import commit
from trm.release.facts import Facts, Maker, release_facts
from trm.release.folder import CARD_FILE, check_out, write_release
from trm.release.source import How, ReleaseSource, read_release_source
from trm.search.journal.events import SweepStarted
from trm.sweeps.commands import job_command
from trm.sweeps.places import expanded
from trm.terminal.command_line import show
from trm.tracking.artifact_places import artifact_location
from trm.tracking.outbox_state import OutboxState
from trm.tracking.places import check_own_store, mlflow_command, model_lines, state_by_sweep_file, store_for, tracking_uri
from trm.training.run_record import read_record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")


@dataclass(frozen=True)
class ReleaseOptions:
    """What the command line says."""

    sweep: str
    out: str | None
    retrain: How | None
    overrides: tuple[str, ...]
    name: str | None
    is_champion: bool
    is_registered: bool
    uri: str | None


def run_release(options: ReleaseOptions) -> int:
    """Write the release and register it; the exit code. The folder stays where no store takes it, which is failed work."""
    _check(options)
    sweep = expanded(options.sweep, "SWEEP").absolute()
    out = sweep / "release" if options.out is None else expanded(options.out, "--out").absolute()
    source = read_release_source(sweep)
    check_out(out)
    uri = _store(source, options)
    if options.retrain is not None:
        from trm.jobs.retrain import retrain

        tracking = Tracking(enabled=source.state.space.tracking.enabled, uri=options.uri, experiment=_experiment(source))
        source = retrain(source, options.retrain, options.overrides, tracking)
    facts = release_facts(source, Maker(commit(), time.time()))
    for line in write_release(source, facts, out):
        say(line)
    show(f"released    {out}: {facts['name']}, trial {facts['scores']['trial']}")
    show(f"card        {out / CARD_FILE}")
    if uri is not None:
        _register(source, facts, out, uri, options)
    show(f"next        {job_command('serve.py')} {shlex.quote(str(out))}")
    return EXIT_DONE


def _check(options: ReleaseOptions) -> None:
    if options.overrides and options.retrain is None:
        raise ConfigError(
            f"--set is of a winner that is trained anew, got {options.overrides[0]}", remedy="add --retrain full, or leave it out"
        )
    if options.name is not None and NAME.fullmatch(options.name) is None:
        raise ConfigError(f"--name must be letters, digits, ., _ and -, got {options.name!r}", remedy="give another")
    if not options.is_registered and (given := options.name or options.uri or ("--champion" if options.is_champion else None)):
        raise ConfigError(f"--no-registry writes the folder alone, got {given} too", remedy="drop one of them")


def _experiment(source: ReleaseSource) -> str:
    return (OutboxState.read(source.sweep) or state_by_sweep_file(source.sweep)).experiment


def _store(source: ReleaseSource, options: ReleaseOptions) -> str | None:
    """The registry's address, refused for what is no store before anything is made; None where none is asked for."""
    if not options.is_registered:
        return None
    known = OutboxState.read(source.sweep) or state_by_sweep_file(source.sweep)
    uri, storage = store_for(source.sweep, options.uri, known.uri), source.sweep.parent
    if uri == tracking_uri(None, storage, {}):
        check_own_store(storage, known.experiment)
    return uri


def _register(source: ReleaseSource, facts: Facts, out: Path, uri: str, options: ReleaseOptions) -> None:
    from trm.release.registry import RegistryPlace, register

    experiment, storage = _experiment(source), source.sweep.parent
    is_server = uri.startswith(("http", "databricks"))
    beside = None if is_server or why_unwritable(storage) is not None else artifact_location(storage, experiment)
    name = options.name or facts["name"]
    place = RegistryPlace(uri, name, experiment, beside, run_tags(source))
    try:
        found = register(out, facts, place, is_champion=options.is_champion)
    except TRMError as error:
        raise TRMError(f"{error}; the folder {out} is whole, and the same command tries again") from error
    if not found.has_run:
        say("its run is not in MLflow, so the version has no source run")
    show(f"registered  {found.uri}{'' if found.is_new else ', which was there'}")
    show(f"champion    {found.champion}")
    show(f"MLflow      {mlflow_command(uri)}")
    for line in model_lines(name, found.version, uri):
        show(f"there       open {shlex.quote(line)}")


def run_tags(source: ReleaseSource) -> dict[str, str]:
    """By which the source run is found in MLflow: the winner's trial, or the run that trained it anew."""
    from trm.tracking.store import key_of

    if source.retrained is not None:
        record = read_record(source.retrained.folder)
        if record is None:
            return {}
        begun = SweepStarted(name=record.name, seed=0, space_digest=record.id, versions={}, at=record.started_at)
        return {"trm.sweep": key_of(begun)}
    started = source.state.started
    return {} if started is None else {"trm.sweep": key_of(started), "trm.trial": str(source.winner.run.number)}

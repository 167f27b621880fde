"""The winner trained anew before it is released: a run of train.py, which goes on where a killed one was."""

import json
import shlex
from pathlib import Path
from typing import Any

from trm.config.files import load_run_config
from trm.config.tracking import Tracking
from trm.console.streams import say
from trm.data.format.manifest import SplitName, read_manifest
from trm.data.format.storage import is_local
from trm.errors import CheckpointError, ConfigError, DatasetError
from trm.files.atomic import write_text_atomic
from trm.files.json_files import read_json
from trm.jobs.train import TrainOptions, run_training
from trm.release.all_data import all_data
from trm.release.source import How, ReleaseSource, Retrained
from trm.sweeps.commands import job_command
from trm.tasks.places import data_beside, names_data
from trm.training.run_folder import REPORT_FILE
from trm.training.run_record import read_record
from trm.training.weights import CONFIG_FILE

SCORES_FILE = "whole_scores.json"
"""In a run's folder: its scores on whole splits."""


def retrained_folder(source: ReleaseSource, how: How) -> Path:
    """Where the run lies: beside the sweep."""
    return source.sweep.absolute().with_name(f"{source.sweep.absolute().name}-{how}")


def retrain(source: ReleaseSource, how: How, overrides: tuple[str, ...], tracking: Tracking) -> ReleaseSource:
    """The winner's configuration trained anew, or what is left of that; then what is released is this network."""
    folder, storage = retrained_folder(source, how), source.sweep.absolute().parent
    data_folder = _data_folder(source, overrides)
    if how == "all":
        data_folder = all_data(source.data, data_folder, source.manifest, storage / "data", say)
    elif not overrides and source.winner.run.status == "finished":
        raise ConfigError(
            f"--retrain full is of a winner that was stopped early, and trial {source.winner.run.number} was trained to its end, "
            f"{source.winner.run.steps} steps: the same seed gives the same network again",
            remedy="leave it out, take --retrain all, or train longer: --set training.steps=N",
        )
    is_begun, record = (folder / CONFIG_FILE).is_file(), read_record(folder)
    if is_begun:
        _require_same(folder, overrides)
    if record is None or record.status != "finished":
        named = (*overrides, f"data.folder={json.dumps(data_folder)}")
        options = TrainOptions(
            config=None if is_begun else str(source.best / CONFIG_FILE),
            overrides=() if is_begun else (*named, *_split(source)),
            workers=1,
            out=None if is_begun else str(folder),
            storage=str(storage),
            resume=str(folder) if is_begun else None,
            gpus=0.0,
            address=None,
            tracking=tracking,
        )
        say(f"the winner is trained anew in {folder}; killed, the same command goes on with it")
        run_training(options)
    return source.with_run(Retrained(how, folder, _report(folder, data_folder)), read_manifest(data_folder), data_folder)


def _split(source: ReleaseSource) -> tuple[str, ...]:
    return () if source.config.evaluation.split == "auto" else ("evaluation.split=auto",)


def _data_folder(source: ReleaseSource, overrides: tuple[str, ...]) -> str:
    """Where the winner's data lie now; DatasetError where they do not."""
    if names_data(overrides):
        told = load_run_config(str(source.best / CONFIG_FILE), overrides)
        return str(told.data.folder)
    data = data_beside(source.config.data.built(source.data_folder), source.best, source.manifest.content_hash, say=say)
    folder = str(data.folder)
    try:
        found = read_manifest(folder).content_hash if is_local(folder) else "another machine's"
    except DatasetError:
        found = "none"
    if found != source.manifest.content_hash:
        raise DatasetError(
            f"a winner is trained anew on its sweep's data ({source.manifest.content_hash[:12]}), and {folder} holds {found[:17]}",
            remedy="bring them there, or say where they lie: --set data.folder=DIR",
        )
    return folder


def _require_same(folder: Path, overrides: tuple[str, ...]) -> None:
    """ConfigError where a run that began is asked for with other values."""
    begun = load_run_config(str(folder / CONFIG_FILE), (), is_begun=True)
    if load_run_config(str(folder / CONFIG_FILE), overrides, is_begun=True) != begun:
        raise ConfigError(
            f"{folder} was begun with other values than {', '.join(overrides)}", remedy=f"remove or rename {folder}, or drop them"
        )


def _report(folder: Path, data_folder: str) -> dict[str, Any]:
    """The run's report, with its scores on whole splits; those are made once."""
    path = folder / SCORES_FILE
    report: dict[str, Any] = read_json(folder / "best" / REPORT_FILE, dict, error=CheckpointError, remedy="train it again")
    if not path.is_file():
        from trm.release.scoring import whole_scores

        wanted: tuple[SplitName, ...] = ("validation", "test")
        splits = read_manifest(data_folder).splits
        scores = whole_scores(folder / "best", data_folder, [name for name in wanted if name in splits and splits[name].rows])
        write_text_atomic(path, json.dumps(scores, indent=1) + "\n")
    found: dict[str, Any] = read_json(path, dict, error=CheckpointError, remedy=f"remove {shlex.quote(str(path))}")
    return report | found


def go_on_command(sweep: Path, how: How) -> str:
    """The command that goes on with a retraining that was stopped."""
    return f"{job_command('release.py')} {shlex.quote(str(sweep))} --retrain {how}"

"""What is released: a sweep's winner as its journal and its `best/` tell it, or that winner trained anew."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from trm.config.data import DataConfig
from trm.config.files import load_yaml, validated
from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError, SweepError
from trm.files.json_files import read_json
from trm.search.findings.confirmed import Winner, winner
from trm.search.journal.journal import read_events
from trm.search.log import FILE as JOURNAL
from trm.search.state import SweepState
from trm.sweeps.folder import begun_rules, read_sweep
from trm.sweeps.search import sweep_search
from trm.training.run_folder import REPORT_FILE
from trm.training.weights import CONFIG_FILE

How = Literal["full", "all"]
"""Trained anew at full length, or on training and validation puzzles together."""


@dataclass(frozen=True)
class Retrained:
    """The winner's configuration, trained anew."""

    how: How
    folder: Path
    """The run's."""
    report: Mapping[str, Any]
    """Its evaluation, as the run wrote it."""


@dataclass(frozen=True)
class ReleaseSource:
    """What is released, and the sweep that it comes from."""

    sweep: Path
    """The sweep's folder."""
    command: str
    """Goes on with the sweep."""
    state: SweepState
    winner: Winner
    report: Mapping[str, Any]
    """`best/report.json`: the winner's own scores."""
    best: Path
    """Holds the configuration and the weights that are released."""
    config: RunConfig
    data: DataConfig
    """As the space names it."""
    manifest: Manifest
    """Of the puzzles that what is released was trained on."""
    data_folder: str
    """Where those lie, if they are still there."""
    retrained: Retrained | None = None

    def with_run(self, retrained: Retrained, manifest: Manifest, data_folder: str) -> "ReleaseSource":
        """The same with a network that was trained anew."""
        best = retrained.folder / "best"
        config = _config_of(best)
        return replace(self, best=best, config=config, manifest=manifest, data_folder=data_folder, retrained=retrained)


def read_release_source(folder: Path) -> ReleaseSource:
    """The winner of a sweep's folder. SweepError where there is none, or `best/` is of another trial than the journal names."""
    space, sets, command = read_sweep(folder)
    begun_rules(folder)  # refuses what this program cannot derive
    state = sweep_search(space, sets).state
    for entry in read_events(folder / JOURNAL):
        state.apply(entry.event)
    found, best = winner(state), folder / "best"
    go_on = f"go on with it: {command}" if command else "go on with it by --resume"
    if found is None or not (best / REPORT_FILE).is_file():
        raise SweepError(f"a release is of a sweep's winner, and {folder} has none yet", remedy=go_on)
    report: dict[str, Any] = read_json(best / REPORT_FILE, dict, error=SweepError, remedy="restore it from a copy")
    told = report.get("trial"), report.get("run", report.get("trial"))
    if told != (found.trial.number, found.run.number):
        raise SweepError(
            f"best/ must be of the winner that the journal names, trial {found.trial.number}: {best} is of trial {told[0]}",
            remedy=f"the sweep has gone on since; {go_on}",
        )
    data = sets.of(state.space.data_of(found.run.params))
    return ReleaseSource(
        folder, command, state, found, report, best, _config_of(best), data.data, data.manifest, _data_folder(report, data.folder)
    )


def _data_folder(report: Mapping[str, Any], known: str) -> str:
    told = report.get("dataset")
    return str(told.get("folder") or known) if isinstance(told, dict) else known


def _config_of(best: Path) -> RunConfig:
    path = best / CONFIG_FILE
    if not path.is_file():
        raise CheckpointError(
            f"weights are released with their configuration, and {path} is missing", remedy="restore it from a copy"
        )
    return validated(RunConfig, load_yaml(path), str(path))

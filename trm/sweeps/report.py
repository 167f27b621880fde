"""`report.html` of a sweep: its page as a function of its state and its folder, followed while it runs and written at its end."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trm.data.format.manifest import Manifest
from trm.errors import SweepError
from trm.pages.page import Page, Section, write_page
from trm.pages.sweep import REPORT, Around, sweep_page
from trm.pages.winner import winner_sections
from trm.pictures.training import MOST_DRAWN
from trm.search.confirmation import candidates_of
from trm.search.findings.confirmed import confirmed_statistics, fresh_runs, winner
from trm.search.findings.importance import Importance
from trm.search.findings.more_search import MoreSearch
from trm.search.findings.status import larger_budget
from trm.search.journal.journal import Entry, read_events
from trm.search.journal.lease import is_held
from trm.search.log import FILE as JOURNAL
from trm.search.space.recorded import SWEEP_FILE
from trm.search.state import SweepState
from trm.sweeps.commands import job_command, next_steps, winner_steps
from trm.sweeps.data_sets import DataSets
from trm.sweeps.folder import read_sweep
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.sampled_curves import SampledCurves
from trm.sweeps.search import sweep_search
from trm.sweeps.trial_files import puzzles_file


class FollowedSweep:
    """A sweep's page by its folder alone, as often as it is asked for: only what is new is read."""

    def __init__(self, folder: Path) -> None:
        """The sweep in `folder`, of which nothing is read yet but what it is; SweepError where it is none."""
        self.folder = folder
        self._curves = SampledCurves(folder)
        self._begin()

    def _begin(self) -> None:
        space, self._sets, self._command = read_sweep(self.folder)
        self.state = sweep_search(space, self._sets).state
        self._last: Entry | int = 0

    def read(self) -> int:
        """Take in what the journal has since; how many events there are."""
        try:
            self._take()
        except SweepError:  # a new driver gave it a file of its own and mended it meanwhile; what is damaged raises again
            self._begin()
            self._take()
        return self.state.events

    def _take(self) -> None:
        for entry in read_events(self.folder / JOURNAL, self._last):
            self.state.apply(entry.event)
            self._last = entry

    def page(self) -> Page:
        """The page as of what was read."""
        around = _around(self.state, self.folder, self._sets, self._command, self._curves, is_driven=is_held(self.folder))
        return sweep_page(self.state, around)


def write_report(state: SweepState, folder: Path, mattered: Importance | None, more: MoreSearch | None) -> None:
    """Write the page of a sweep that its driver has ended, or is about to leave; whole or not at all."""
    _, sets, command = read_sweep(folder) if (folder / SWEEP_FILE).is_file() else (None, None, "")
    around = _around(state, folder, sets, command, SampledCurves(folder), is_driven=False, mattered=mattered, more=more)
    write_page(sweep_page(state, around), folder / REPORT)


def _around(
    state: SweepState,
    folder: Path,
    sets: DataSets | None,
    command: str,
    curves: SampledCurves,
    *,
    is_driven: bool,
    mattered: Importance | None = None,
    more: MoreSearch | None = None,
) -> Around:
    return Around(
        now=time.time(),
        is_driven=is_driven,
        commands=_commands(state, folder, command),
        curves=curves.of(_with_curves(state)),
        data=[_told(manifest) for manifest in sets.manifests] if sets is not None else [],
        comparisons=[one.sentence for one in puzzle_comparisons(state, folder)],
        importance=mattered,
        more=more,
        puzzles=_puzzles(state, folder),
    )


def _puzzles(state: SweepState, folder: Path) -> list[Section]:
    """The winner's puzzles, with what the fresh seeds of each confirmed trial did on them."""
    rows, metric = confirmed_statistics(state).rows, state.space.objective.metric
    runs = {row.trial: [puzzles_file(folder, run.number) for run in fresh_runs(state, row.trial)] for row in rows}
    return winner_sections(folder, runs, metric, job_command)


def _commands(state: SweepState, folder: Path, resume: str) -> list[tuple[str, str]]:
    if not resume:
        return []
    going_on = [] if state.ended is not None else [("go on with it, when nobody drives it", resume)]
    is_confirmed = bool(state.confirmations) or not candidates_of(state, 1)
    steps = next_steps(folder, resume, larger_budget(state), is_confirmed=is_confirmed)
    return going_on + steps + winner_steps(folder)


def _with_curves(state: SweepState) -> Sequence[int]:
    """The latest trials, and the winner."""
    numbers = [trial.number for trial in state.trials[-MOST_DRAWN:]]
    found = winner(state)
    return numbers if found is None or found.trial.number in numbers else [found.trial.number, *numbers]


def _told(manifest: Manifest) -> dict[str, Any]:
    """What a reader wants to know of a data set."""
    splits: dict[str, Any] = {str(name): f"{split.rows} rows of {split.groups} puzzles" for name, split in manifest.splits.items()}
    height, width = manifest.grid
    return {
        "name": manifest.name,
        "task": manifest.task,
        "grid": f"{height} x {width}",
        **splits,
        "augmentation": manifest.augmentation.model_dump(mode="json"),
        "recipe": manifest.recipe,
        "digest": manifest.content_hash,
    }

"""The end of a sweep: the winner is scored on all of validation and, once, on test, and exported as `best/`.

The winner is the confirmed trial with the best mean over its seeds; what is exported is the best of its runs, so the
validation score of just that run is a selected one: what another seed will give is told by the mean and its interval.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm.console.redaction import stored
from trm.files.atomic import replacing_folder, write_text_atomic
from trm.search.findings.confirmed import Winner, confirmation_notes, confirmed_statistics, confirmed_values, winner
from trm.search.journal.events import Reported
from trm.search.log import SweepLog
from trm.search.state import SweepState
from trm.sweeps.checkpoint_stores import checkpoint_store
from trm.sweeps.data_sets import DataSets
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.steady_clock import steady_now


@dataclass(frozen=True)
class FullScores:
    """A trial's evaluation on whole splits."""

    validation: dict[str, float]
    test: dict[str, float]


@dataclass(frozen=True)
class WinnerWork:
    """What is done with the winner's checkpoint where there is torch."""

    score: Callable[[str], FullScores]
    """Scores its evaluated weights on all of validation and test, by the checkpoint's name below the sweep."""
    export: Callable[[Path, Path], None]
    """Writes its weights and its configuration into a folder."""


def report_winner(log: SweepLog, folder: Path, sets: DataSets, work: WinnerWork) -> None:
    """Score the winner on all of validation and, once, on test, journal that, and export it as `best/`.

    `sets`: the sweep's data, of which the report names the winner's.
    """
    state = log.search.state
    if (found := winner(state)) is None:
        return
    run = found.run
    if run.number not in state.reports:
        scores = work.score(str(run.checkpoint))
        log.report(Reported(trial=run.number, rank=1, validation=scores.validation, test=scores.test, at=steady_now()))
    reported, own = state.reports[run.number], sets.of(state.space.data_of(run.params))
    log.check()
    report = {
        "trial": found.trial.number,
        "run": run.number,
        "seed": run.asked.seed,
        "params": run.shown_params,
        "lineage": [{"rung": one.rung, "source": one.source, "params": one.params} for one in run.adoptions],
        "steps": run.steps,
        "train_flops": run.result.train_flops if run.result else 0.0,
        "params_count": run.asked.params_count,
        "dataset": {"folder": own.folder, "content_hash": own.manifest.content_hash},
        "validation": reported.validation,
        "test": reported.test,
        **confirmation_report(state, found, folder),
    }
    checkpoint = checkpoint_store(state.space, folder, state.name).bring(str(run.checkpoint))
    export_best(folder, checkpoint, report, work.export)


def confirmation_report(state: SweepState, found: Winner, folder: Path) -> dict[str, Any]:
    """What is known of the winner against the others: by its fresh seeds, and puzzle by puzzle; JSON."""
    notes = confirmation_notes(state)
    if found.confirmed is None:
        return notes
    own = " and that of the search" if found.confirmed.own and found.trial is state.leader else ""
    runs = f"{len(found.confirmed.scores)} runs on fresh seeds{own}"
    weights = f"of its {runs}, trial {found.run.number} has the best validation score"
    return {
        **notes,
        "weights": f"{weights}: a selected one; the mean over seeds says what another seed will give",
        "search_objective": found.trial.result.objective if found.trial.result is not None else None,
        "confirmed": [{"trial": row.trial, **confirmed_values(state, row)} for row in confirmed_statistics(state).rows],
        "comparisons": [asdict(one) | {"sentence": one.sentence} for one in puzzle_comparisons(state, folder)],
    }


def export_best(folder: Path, checkpoint: Path, report: dict[str, Any], export: Callable[[Path, Path], None]) -> None:
    """Make `best/`: configuration, evaluated weights, report; the old one stays until the new one is whole."""
    with replacing_folder(folder / "best") as new:
        export(checkpoint, new)
        write_text_atomic(new / "report.json", json.dumps(stored(report), indent=1, sort_keys=True) + "\n")

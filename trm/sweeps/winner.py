"""The end of a sweep: the winner is scored on all of validation and, once, on test, and exported as `best/`.

The winner is the confirmed trial with the best mean over its seeds; what is exported is the best of its runs, so the
validation score of just that run is a selected one: what another seed will give is told by the mean and its interval.
"""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm.console.redaction import reason_of, stored
from trm.errors import CheckpointError, SweepError
from trm.files.atomic import replacing_folder, write_text_atomic
from trm.files.json_files import read_json
from trm.pages.winner import WINNER_PUZZLES
from trm.search.findings.confirmed import Winner, confirmation_notes, confirmed_statistics, confirmed_values, winner
from trm.search.journal.events import AtTestTime, Reported, TestTimePassed, TestTimePoint
from trm.search.journal.trial import Trial
from trm.search.log import SweepLog
from trm.search.state import SweepState
from trm.search.test_time import PassOrder, chosen_setting, due_choice, due_passes, metric_of, notes, runs
from trm.sweeps.checkpoint_stores import checkpoint_store
from trm.sweeps.data_sets import DataSets
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.steady_clock import steady_now

Evaluation = dict[str, Any]
"""Values of a run's `evaluation`."""


@dataclass(frozen=True)
class FullScores:
    """A trial's evaluation on whole splits."""

    validation: dict[str, float]
    test: dict[str, float]
    at_test_time: AtTestTime | None = None
    """The same with another setting, where that was asked for too."""
    puzzles: dict[str, Any] | None = None
    """Some of validation's with the answers after every step (`trm.evaluation.kept_answers`); JSON."""


@dataclass(frozen=True)
class PassResult:
    """What a pass at test time found."""

    plain: TestTimePoint
    points: list[TestTimePoint]
    seconds: float


@dataclass(frozen=True)
class WinnerWork:
    """What is done with the winner's checkpoint where there is torch."""

    score: Callable[[str, Evaluation | None, str], FullScores]
    """Scores its evaluated weights on all of validation and test, by the checkpoint's name below the sweep, and again with another
    setting at test time, where one is given, which was judged by a metric."""
    export: Callable[[Path, Path, Evaluation | None], None]
    """Writes its weights and its configuration, with that setting, into a folder."""


MakePasses = Callable[[Sequence[PassOrder]], Generator[tuple[PassOrder, PassResult | CheckpointError]]]
"""Scores settings on all of validation, several passes side by side where there is room; each comes when it is made."""


def search_test_time(log: SweepLog, make_passes: MakePasses, say: Callable[[str], None]) -> None:
    """Make the passes at test time that are due, journal each as it comes, and then the winner's setting.

    Weights beside the winner's that `keep` deleted are told and passed over.
    """
    state, lost = log.search.state, set[str]()
    with closing(make_passes(due_passes(state))) as made:
        for order, found in made:
            if isinstance(found, PassResult):
                log.report(_passed(order, found))
            elif order.trial == runs(state)[0].number:
                raise found
            elif order.checkpoint not in lost:
                lost.add(order.checkpoint)
                say(f"trial {order.trial} is not searched at test time: {reason_of(found)}")
    if (choice := due_choice(state, steady_now())) is not None:
        log.report(choice)


def _passed(order: PassOrder, found: PassResult) -> TestTimePassed:
    return TestTimePassed(
        trial=order.trial,
        checkpoint=order.checkpoint,
        noise=order.noise,
        starts=order.starts,
        rollouts=order.rollouts,
        steps=order.steps,
        forms=order.forms,
        metric=None if order.is_as_before else order.metric,
        plain=found.plain,
        points=found.points,
        seconds=found.seconds,
        at=steady_now(),
    )


def report_winner(log: SweepLog, folder: Path, sets: DataSets, work: WinnerWork) -> None:
    """Score the winner on all of validation and, once, on test, journal that, and export it as `best/`.

    `sets`: the sweep's data, of which the report names the winner's.
    """
    state = log.search.state
    if (found := winner(state)) is None:
        return
    run = found.run
    setting = evaluation_of(state, run)
    before = state.reports.get(run.number)
    looked = None if before is None or before.at_test_time is None else before.at_test_time.evaluation
    puzzles = _known_puzzles(folder, run.number)
    if before is None or setting not in (None, looked):
        scores = work.score(str(run.checkpoint), setting, metric_of(state, str(run.checkpoint)))
        puzzles = None if scores.puzzles is None else {"run": run.number, **scores.puzzles}
        both = {"validation": scores.validation, "test": scores.test, "at_test_time": scores.at_test_time}
        log.report(Reported.model_validate({"trial": run.number, "rank": 1, **both, "at": steady_now()}))
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
        **({"test_time": notes(state)[0]} if setting is not None else {}),
        **confirmation_report(state, found, folder),
    }
    checkpoint = checkpoint_store(state.space, folder, state.name).bring(str(run.checkpoint))
    export_best(folder, checkpoint, report, lambda source, place: work.export(source, place, setting), puzzles)


def evaluation_of(state: SweepState, run: Trial) -> Evaluation | None:
    """The setting at test time that a run's configuration gets, as values of `evaluation`; None: it stays as it is."""
    chosen = chosen_setting(state, run)
    return None if chosen is None else chosen.evaluation


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


def _known_puzzles(folder: Path, run: int) -> dict[str, Any] | None:
    """The run's puzzles that the winner's folder has from before."""
    try:
        known: dict[str, Any] = read_json(folder / "best" / WINNER_PUZZLES, dict, error=SweepError, remedy="remove it")
    except (SweepError, OSError):
        return None
    return known if known.get("run") == run else None


def export_best(
    folder: Path,
    checkpoint: Path,
    report: dict[str, Any],
    export: Callable[[Path, Path], None],
    puzzles: dict[str, Any] | None = None,
) -> None:
    """Make `best/`: configuration, evaluated weights, report, some puzzles; the old one stays until the new one is whole."""
    with replacing_folder(folder / "best") as new:
        export(checkpoint, new)
        if puzzles is not None:
            write_text_atomic(new / WINNER_PUZZLES, json.dumps(stored(puzzles)) + "\n")
        write_text_atomic(new / "report.json", json.dumps(stored(report), indent=1, sort_keys=True) + "\n")

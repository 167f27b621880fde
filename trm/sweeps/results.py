"""What a sweep leaves when it has ended: its tables, the picture, the rows of the summary."""

from collections.abc import Callable
from pathlib import Path

from trm.pages.sweep import REPORT
from trm.pictures.choice import PICTURES, Drawn
from trm.search.findings.audit import write_audit
from trm.search.findings.confirmed import confirmation_notes
from trm.search.findings.importance import Importance, importance, sentence, write_importance
from trm.search.findings.more_search import MoreSearch, more_search
from trm.search.findings.study_export import write_study
from trm.search.findings.tables import leaderboard_rows, outcome_words, write_leaderboard, write_trials
from trm.search.findings.transfer import transfers, write_transfer
from trm.search.replicates import replicate_words
from trm.search.state import SweepState
from trm.search.test_time import sentence as at_test_time
from trm.sweeps.checkpoints import CheckpointRetention, Immediately
from trm.sweeps.extras import Extras
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.report import write_report
from trm.sweeps.trial_files import curves_folder
from trm.terminal.display import LeaderRow
from trm.training.curve import write_together

SHOWN_ROWS = 10


def write_tables(state: SweepState, folder: Path) -> None:
    """Write what is worth reading while the sweep runs: trials.parquet, and transfer.json where it knows of an earlier sweep."""
    write_trials(state, folder)
    write_transfer(state, folder)


def write_results(state: SweepState, folder: Path) -> list[str]:
    """Write every file that a finished sweep has, the results first, and return what they found, a line each.

    Then delete what `keep` does not hold. Of what is only good to have and could not be made, a line tells.
    """
    write_trials(state, folder)
    write_leaderboard(state, folder)
    extras = Extras()
    extras.make("study.journal", lambda: write_study(state, folder))
    extras.make("transfer.json", lambda: write_transfer(state, folder))
    extras.make("curves.parquet", lambda: write_together(curves_folder(folder), folder / "curves.parquet"))
    more = extras.make("what more search would bring", lambda: _what_more_brings(state, folder))
    audit = extras.make("audit.json", lambda: write_audit(state, folder))
    mattered = extras.make("importance.json", lambda: _what_mattered(state, folder))
    findings: list[tuple[str, Callable[[], list[str]]]] = [
        ("replicates in words", lambda: replicate_words(state)),
        ("confirmation in words", lambda: _confirmed_words(state, folder)),
        ("more search in words", lambda: [more.sentence] if more is not None else []),
        ("test time in words", lambda: [said] if (said := at_test_time(state)) is not None else []),
        ("outcomes in words", lambda: outcome_words(state)),
        ("audit in words", lambda: [audit.sentence] if audit is not None else []),
        ("importance in words", lambda: [said] if mattered is not None and (said := sentence(mattered)) is not None else []),
        ("transfer in words", lambda: [transfer.text for transfer in transfers(state)]),
    ]
    lines = [line for name, words in findings for line in extras.make(name, words) or ()]
    drawn = Drawn(state, folder, mattered)
    for picture in PICTURES:
        if picture.is_due(drawn):
            extras.make(picture.file, lambda picture=picture: picture.draw(drawn, folder / picture.file))  # type: ignore[misc]
    extras.make(REPORT, lambda: write_report(state, folder, mattered, more))
    extras.make("room by `keep`", CheckpointRetention(state, folder, Immediately()).prune)
    return [*lines, *extras.lines]


def _what_mattered(state: SweepState, folder: Path) -> Importance:
    """Write importance.json and return what stands in it."""
    found = importance(state)
    write_importance(found, folder)
    return found


def _what_more_brings(state: SweepState, folder: Path) -> MoreSearch | None:
    """Tell leaderboard.json what more search would bring, and return it."""
    if (found := more_search(state)) is not None:
        write_leaderboard(state, folder, more=found.values)
    return found


def leader_rows(state: SweepState) -> list[LeaderRow]:
    """The best trials as the terminal shows them."""
    metric = state.space.objective.metric
    return [
        LeaderRow(
            rank=row["rank"],
            trial=row["trial"],
            status=row["status"],
            objective=row["confirmed"]["mean"] if row["confirmed"] else row["objective"],
            low=interval[0] if (interval := (row["confirmed"] or row)["interval_95"]) else None,
            high=interval[1] if interval else None,
            seeds=row["confirmed"]["seeds"] if row["confirmed"] else None,
            p_best=row["confirmed"]["p_best"] if row["confirmed"] else None,
            test=row["test"].get(metric) if row["test"] else None,
            params=row["parameters"],
            train_flops=row["train_flops"],
            params_count=row["params"],
            against={**row.get("against", {}), **row.get("outcomes", {})},
            front=row.get("front"),
        )
        for row in leaderboard_rows(state, SHOWN_ROWS)
    ]


def _confirmed_words(state: SweepState, folder: Path) -> list[str]:
    """Whether the leaderboard's order is supported, and the winner's puzzles against those of the others."""
    return [str(confirmation_notes(state)["sentence"]), *(one.sentence for one in puzzle_comparisons(state, folder))]

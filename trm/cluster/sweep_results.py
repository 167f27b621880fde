"""What a sweep leaves when it has ended: its tables, the picture, the rows of the summary."""

from pathlib import Path

from trm.cluster.keep import Keeper
from trm.cluster.puzzle_comparisons import puzzle_comparisons
from trm.display import Standing
from trm.pictures.curves import draw_confirmation, draw_curves
from trm.pictures.front import draw_front
from trm.pictures.importance import draw_importance
from trm.pictures.transfer import draw_transfer
from trm.search.audit_report import write_audit
from trm.search.confirmed import confirmation_notes, confirmed_standings
from trm.search.importance import importance, sentence, write_importance
from trm.search.journal import read_events
from trm.search.results import leaderboard_rows, write_leaderboard, write_trials
from trm.search.search import Search
from trm.search.study_export import write_study
from trm.search.sweep_log import FILE as JOURNAL
from trm.search.transfer import transfers, write_transfer

SHOWN_STANDINGS = 10


def write_tables(search: Search, folder: Path) -> None:
    """Write what is worth reading while the sweep runs: trials.parquet, and transfer.json where it knows of an earlier sweep."""
    write_trials(search, folder)
    write_transfer(search, folder)


def write_results(search: Search, folder: Path) -> list[str]:
    """Delete what `keep` does not hold, write every file that a finished sweep has, and return what they found, a line each."""
    Keeper(search, folder).prune()
    write_tables(search, folder)
    write_leaderboard(search, folder)
    write_study(search, folder)
    objective = search.space.objective
    events = [entry.event for entry in read_events(folder / JOURNAL)]
    if rows := confirmed_standings(search).rows:
        draw_confirmation(rows, folder / "confirmation.png", metric=objective.metric, title=folder.name)
    draw_curves(events, folder / "curves.png", metric=objective.metric, mode=objective.mode, title=f"sweep {folder.name}")
    if objective.against:
        draw_front(search, folder / "front.png", title=f"sweep {folder.name}: what is weighed against {objective.metric}")
    found = transfers(search)
    draw_transfer(found, folder / "transfer.png", metric=objective.metric)
    audit = write_audit(search, folder)
    findings = [
        *_confirmed_words(search, folder),
        audit.sentence if audit is not None else None,
        _write_what_mattered(search, folder),
        *(transfer.text for transfer in found),
    ]
    return [finding for finding in findings if finding is not None]


def _write_what_mattered(search: Search, folder: Path) -> str | None:
    """Write importance.json, importance.png and depth_map.png, and say what mattered; None where too few trials tell."""
    try:
        found = importance(search)
        write_importance(found, folder)
        draw_importance(found, folder)
        return sentence(found)
    except Exception as error:  # a sweep that is done does not fail for its pictures
        return f"what mattered was not worked out: {type(error).__name__}: {error}"


def standings(search: Search) -> list[Standing]:
    """The best trials as the terminal shows them."""
    metric = search.space.objective.metric
    return [
        Standing(
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
            against=row.get("against", {}),
            front=row.get("front"),
        )
        for row in leaderboard_rows(search, SHOWN_STANDINGS)
    ]


def _confirmed_words(search: Search, folder: Path) -> list[str]:
    """Whether the leaderboard's order is supported, and the winner's puzzles against those of the others."""
    return [str(confirmation_notes(search)["sentence"]), *(one.sentence for one in puzzle_comparisons(search, folder))]

"""The files of a sweep's folder: what each is, who writes it and when, and whether it goes to the tracking store."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal


@dataclass(frozen=True)
class SweepFile:
    """One file of a sweep's folder, or several of a kind."""

    name: str
    """Its path below the folder; `*` stands for what differs, a folder ends with `/`."""
    about: str
    """What it holds."""
    written_by: str
    """The module that writes it."""
    when: Literal["start", "while it runs", "end", "asked"]
    """When it is there; asked: by a job of its own."""
    is_tracked: bool = False
    """Whether it becomes an artifact of the sweep's run when the sweep ends."""


SWEEP_FILES = (
    SweepFile("sweep.yaml", "the resolved sweep: space, data, versions", "trm.sweeps.folder", "start", is_tracked=True),
    SweepFile("leaderboard.json", "the best trials", "trm.search.findings.tables", "end", is_tracked=True),
    SweepFile("audit.json", "what controls said of early stopping", "trm.search.findings.audit", "end", is_tracked=True),
    SweepFile("importance.json", "what mattered", "trm.search.findings.importance", "end", is_tracked=True),
    SweepFile("transfer.json", "whether an earlier ranking held", "trm.search.findings.transfer", "while it runs", is_tracked=True),
    SweepFile("trials.parquet", "a row a trial", "trm.search.findings.tables", "while it runs", is_tracked=True),
    SweepFile("*.png", "pictures", "trm.pictures.choice", "end", is_tracked=True),
    SweepFile("report.html", "all of it as a page for a browser", "trm.sweeps.report", "while it runs", is_tracked=True),
    SweepFile("curves.parquet", "the training curves of all trials", "trm.training.curve", "end", is_tracked=True),
    SweepFile("journal.jsonl", "the truth: one line an event", "trm.search.journal.journal", "while it runs", is_tracked=True),
    SweepFile(
        "best/*",
        "the winner: configuration, weights, report, some puzzles with the answers of every step",
        "trm.sweeps.winner",
        "end",
        is_tracked=True,
    ),
    SweepFile("release/", "what is handed on: weights, model card, manifest", "trm.release.folder", "asked"),
    SweepFile("dataset.json", "the data set's manifest", "trm.sweeps.folder", "start"),
    SweepFile("datasets.json", "the manifests of all data sets, where their knobs are searched", "trm.sweeps.folder", "start"),
    SweepFile("driver.json", "the lease: who drives the sweep", "trm.search.journal.lease", "start"),
    SweepFile("driver.log", "what its drivers said, with the time of day", "trm.jobs.sweep", "while it runs"),
    SweepFile("journal.jsonl.*", "torn and late lines, which count for nothing", "trm.search.journal.journal", "while it runs"),
    SweepFile("curves/", "the training curve of each trial", "trm.training.curve", "while it runs"),
    SweepFile("trials/", "checkpoints, by trial, step and attempt", "trm.training.checkpoint", "while it runs"),
    SweepFile("confirmation/", "every confirmed run, puzzle by puzzle", "trm.evaluation.puzzle_scores", "while it runs"),
    SweepFile("study.journal", "the sweep for Optuna's tools", "trm.search.findings.study_export", "end"),
    SweepFile("tracking.json", "how far the tracking store has got", "trm.tracking.outbox", "while it runs"),
    SweepFile("tune/", "Ray's scratch; may be deleted, and goes when the sweep ends", "trm.cluster.tune_legs", "while it runs"),
)
"""What is tracked stands first, in the order in which it goes out: small files before large ones."""


def tracked_files() -> tuple[str, ...]:
    """Patterns of what goes to the tracking store, in order."""
    return tuple(file.name for file in SWEEP_FILES if file.is_tracked)


def known_file(name: str) -> SweepFile | None:
    """What a path below a sweep's folder is; None of one that nobody declared."""
    for file in SWEEP_FILES:
        if name.startswith(file.name) if file.name.endswith("/") else fnmatchcase(name, file.name):
            return file
    return None

"""The way of a run of train.py out to a tracking store: as a sweep's, from the files that the run leaves."""

import time
from dataclasses import replace
from pathlib import Path

from trm.search.journal.events import SweepStarted
from trm.tracking.outbox import Outbox
from trm.tracking.train_updates import TrainTranslator, evaluations
from trm.tracking.values import RunUpdate
from trm.training.run_record import read_record

RUN_FILES = (
    *("config.yaml", "run.json", "start.txt", "evaluations.parquet", "curves.parquet", "metrics.jsonl"),
    *("curves.png", "examples.json", "examples.txt", "examples.png", "best/*"),
)
"""What a run gets as artifacts."""


def outbox_of(folder: Path) -> type[Outbox]:
    """What follows a folder: of a sweep, which has a journal, or of a run."""
    is_run = not (folder / "journal.jsonl").exists() and read_record(folder) is not None
    return RunOutbox if is_run else Outbox


class RunOutbox(Outbox):
    """Follows the folder of one run: its configuration counts as the first event, each line of `metrics.jsonl` as one more.

    A resumed run makes the evaluations behind its checkpoint again, which the store has under the same numbers.
    """

    files = RUN_FILES
    is_sweep = False

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._run = TrainTranslator(self._folder)
        self._seen: tuple[int, int] | None = None

    def _read_new(self) -> None:
        record = read_record(self._folder)
        if record is None or not (self._folder / "config.yaml").is_file():
            return
        self._run.record = record
        if self._sweep is None:
            self._sweep = SweepStarted(name=record.name, seed=0, space_digest=record.id, versions={}, at=record.started_at)
            self._count = 1
            self._waiting.append((1, [replace(self._run.begun(record), events=1)]))
        if (mark := self._mark()) == self._seen:
            return
        self._seen = mark
        for row in evaluations(self._folder)[self._count - 1 :]:
            self._count += 1
            self._waiting.append((self._count, [replace(self._run.evaluated(row), events=self._count)]))

    def _driven(self) -> list[RunUpdate]:
        return self._run.driven(time.time())

    def _interrupted(self) -> list[RunUpdate]:
        return self._run.interrupted(time.time())

    def _mark(self) -> tuple[int, int] | None:
        try:
            status = (self._folder / "metrics.jsonl").stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

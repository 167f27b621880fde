"""study.journal: the sweep for Optuna's own tools (dashboard, `JournalFileBackend`), rebuilt from the search."""

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from trm.atomic import write_text_atomic
from trm.search.search import Search
from trm.search.study_view import distribution, frozen_trial, shown
from trm.search.trial import Trial

FILE = "study.journal"


class _InMemory(BaseJournalBackend):  # type: ignore[misc]
    """Collects what Optuna's file backend would append, lock and fsync line by line."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


def write_study(search: Search, folder: str | Path) -> None:
    """Rewrites `folder`/study.journal, atomically: true objectives, states as in `study_view`, a value a rung."""
    distributions = {path: distribution(knob) for path, knob in search.space.search.items()}
    mode, backend = search.space.objective.mode, _InMemory()
    study = optuna.create_study(
        study_name=search.started.name if search.started is not None else search.space.name,
        storage=JournalStorage(backend),
        direction="maximize" if mode == "max" else "minimize",
    )
    for trial in search.searched:
        now = shown(trial, mode, with_loss=False)
        built = frozen_trial(trial, now, distributions)
        built.datetime_start = datetime.fromtimestamp(trial.asked.at)
        built.datetime_complete = None if now.state == "running" else datetime.fromtimestamp(_last_word(trial))
        built.user_attrs = {"status": trial.status, "checkpoint": trial.checkpoint, "seed": trial.asked.seed}
        study.add_trial(built)
    write_text_atomic(Path(folder) / FILE, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in backend.logs))


def _last_word(trial: Trial) -> float:
    times = [trial.asked.at, *(result.at for result in trial.results.values())]
    return max([*times, trial.decided.at if trial.decided is not None else 0.0])

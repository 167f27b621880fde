"""study.journal: the sweep for Optuna's own tools (dashboard, `JournalFileBackend`), rebuilt from the state."""

import json
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from trm.console.redaction import stored
from trm.files.atomic import write_text_atomic
from trm.search.journal.trial import Trial
from trm.search.samplers.distributions import distribution
from trm.search.samplers.study import DIRECTIONS, Shown, frozen_trial, shown
from trm.search.state import SweepState

FILE = "study.journal"


class _InMemory(BaseJournalBackend):  # type: ignore[misc]
    """Collects what Optuna's file backend would append, lock and fsync line by line."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs


def write_study(state: SweepState, folder: str | Path) -> None:
    """Rewrites `folder`/study.journal, atomically: true objectives, states as in `samplers/study.py`, a value a rung.

    With several objectives, those of finished trials alone: Optuna has no value of a pruned one then.
    """
    distributions = {path: distribution(knob) for path, knob in state.space.search.items()}
    objective, backend = state.space.objective, _InMemory()
    modes = [objective.mode, *(one.mode for one in objective.against)]
    study = optuna.create_study(
        study_name=state.name,
        storage=JournalStorage(backend),
        directions=[DIRECTIONS[mode].name.lower() for mode in modes],
    )
    if objective.against:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of the interface: the version is pinned
            study.set_metric_names([objective.metric, *(one.metric for one in objective.against)])
    for trial in state.searched:
        built = _built(state, trial, distributions)
        built.datetime_start = datetime.fromtimestamp(trial.asked.at)
        built.datetime_complete = None if built.state == TrialState.RUNNING else datetime.fromtimestamp(_last_word(trial))
        built.user_attrs = {"status": trial.status, "checkpoint": trial.checkpoint, "seed": trial.asked.seed}
        study.add_trial(built)
    write_text_atomic(Path(folder) / FILE, "".join(json.dumps(stored(log), separators=(",", ":")) + "\n" for log in backend.logs))


def _built(state: SweepState, trial: Trial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    objective, result = state.space.objective, trial.result
    now = shown(trial, state.order, with_loss=False)
    if not objective.against:
        return frozen_trial(trial, now, distributions)
    built = frozen_trial(trial, Shown("pruned" if now.state == "complete" else now.state, ()), distributions)
    if now.state == "complete" and result is not None:
        values = [result.objective, *state.figures(trial, result).values()]
        if None not in values:
            built.state, built.values = TrialState.COMPLETE, values
    return built


def _last_word(trial: Trial) -> float:
    times = [trial.asked.at, *(result.at for result in trial.results.values())]
    return max([*times, trial.decided.at if trial.decided is not None else 0.0])

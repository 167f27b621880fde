"""Every figure of a release, as JSON: what its card says in words, and machines read. A function of the sweep's one state."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trm import __version__
from trm.files.contained import regular
from trm.files.weight_files import MODEL_FILE
from trm.models.cost import run_cost
from trm.release.data_card import data_card
from trm.release.handed_on import config_handed_on, config_text
from trm.release.source import ReleaseSource
from trm.search.findings.confirmed import confirmation_notes, confirmed_values, fresh_runs
from trm.search.findings.tables import interval_95
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.training.weights import CONFIG_FILE

FORMAT = 1
HOUR = 3600.0
Facts = dict[str, Any]


@dataclass(frozen=True)
class Maker:
    """What makes the release."""

    commit: str | None
    """Of the checkout that runs; null: there is none."""
    at: float
    """Unix seconds."""


def release_facts(source: ReleaseSource, maker: Maker) -> Facts:
    """All that is known of what is released."""
    state, config = source.state, source.config
    cost = run_cost(config, source.manifest.shape)
    return {
        "format": FORMAT,
        "name": state.space.name,
        "sweep": state.name,
        "ended": state.ended.reason if state.ended is not None else None,
        "objective": {"metric": state.space.objective.metric, "mode": state.space.objective.mode},
        "task": {
            "name": source.manifest.task,
            "grid": list(source.manifest.grid),
            "vocabulary": list(source.manifest.vocabulary),
            "identifiers": source.manifest.num_puzzle_identifiers,
        },
        "network": {
            "architecture": config.model.architecture,
            "params_count": cost.params_count,
            "steps": config.answer_steps,
            "inference_flops": cost.inference_flops,
            "has_table": bool(config.model.puzzle_ndim),
        },
        "data": _data(source),
        "knobs": _knobs(source),
        "config": config_handed_on(config.model_dump(mode="json")),
        "seeds": _seeds(source),
        "scores": _scores(source),
        "cost": _cost(source),
        "versions": {
            "released": {"trm-search": __version__, "commit": maker.commit},
            "sweep": state.started.versions if state.started is not None else {},
        },
        "digests": {
            MODEL_FILE: digest_of_file(source.best / MODEL_FILE),
            CONFIG_FILE: hashlib.sha256(config_text(source.best).encode()).hexdigest(),
        },
        "released_at": datetime.fromtimestamp(maker.at, UTC).isoformat(timespec="seconds"),
    }


def digest_of_file(path: Path) -> str:
    """SHA-256, in hexadecimal."""
    with open(path, "rb", opener=regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _data(source: ReleaseSource) -> Facts:
    manifest, card = source.manifest, data_card(source.data, source.manifest)
    return {
        "name": manifest.name,
        "content_hash": manifest.content_hash,
        "splits": {name: split.rows for name, split in manifest.splits.items()},
        "source": card.source,
        "licence": card.licence,
        "cite": card.cite,
        "has_card": bool(card.text),
        "recipe": manifest.recipe,
    }


def _knobs(source: ReleaseSource) -> list[Facts]:
    """The searched paths: what they could be, and what they are here."""
    chosen = source.winner.run.shown_params
    return [
        {"path": path, "value": chosen[path], "is_active": True, "range": range_words(knob)}
        if path in chosen
        else {"path": path, "value": None, "is_active": False, "range": range_words(knob)}
        for path, knob in source.state.space.search.items()
    ]


def range_words(knob: Knob) -> str:
    """What a knob could be, for a reader."""
    match knob:
        case IntKnob():
            step = f" in steps of {knob.step}" if knob.step > 1 else ""
            words = f"{knob.low} to {knob.high}{step}{', logarithmic' if knob.log else ''}"
        case FloatKnob():
            words = f"{knob.low:g} to {knob.high:g}{', logarithmic' if knob.log else ''}"
        case ChoiceKnob():
            words = ", ".join(_word(value) for value in knob.values)
    conditions = " and ".join(f"{path} is {_word(value)}" for path, value in knob.when.items())
    return f"{words}, where {conditions}" if conditions else words


def _word(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(_word(one) for one in value)
    return {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else f"{value}"


def _seeds(source: ReleaseSource) -> Facts:
    state, trial = source.state, source.winner.trial
    return {
        "sweep": state.space.seed,
        "search": _run_seed(trial),
        "released": source.config.seed,
        "confirmation": [_run_seed(run) for run in fresh_runs(state, trial.number)],
    }


def _run_seed(trial: Trial) -> Facts:
    return {"trial": trial.number, "seed": trial.asked.seed}


def _scores(source: ReleaseSource) -> Facts:
    state, found = source.state, source.winner
    result = found.trial.result
    interval = None if result is None else interval_95(state.space.objective.metric, result)
    run = source.retrained
    told = source.report if run is None else run.report
    tried = {} if run is not None else dict(source.report.get("test_time") or {})
    return {
        "trial": found.trial.number,
        "run": found.run.number,
        "search_objective": None if result is None else result.objective,
        "search_interval_95": None if interval is None else list(interval),
        "confirmed": None if found.confirmed is None else confirmed_values(state, found.confirmed),
        **confirmation_notes(state),
        "validation": dict(told.get("validation") or {}),
        "test": dict(told.get("test") or {}),
        "winners_tested": len(state.reports),
        "label": None if run is None else run.report.get("label"),
        "weights": source.report.get("weights"),
        "test_time": tried or None,
        "at_test_time": tried.get("last_look") if tried.get("chosen") else None,
        "search": None if run is None else {name: dict(source.report.get(name) or {}) for name in ("validation", "test")},
    }


def _cost(source: ReleaseSource) -> Facts:
    state, run = source.state, source.retrained
    spent = state.spent(state.spending.clock.latest)
    seconds = sum(trial.train_seconds + trial.eval_seconds + trial.overhead_seconds for trial in state.trials)
    told = source.report if run is None else run.report
    return {
        "released": {"train_flops": told["train_flops"], "steps": told["step" if run is not None else "steps"]},
        "retrained": None if run is None else {"how": run.how, "seconds": dict(run.report.get("seconds") or {})},
        "sweep": {
            "train_flops": spent.train_flops,
            "worker_hours": seconds / HOUR,
            "wall_clock_hours": spent.wall_clock_seconds / HOUR,
            "gpu_hours": spent.gpu_hours,
            "trials": dict(Counter(trial.status for trial in state.searched)),
            "confirmations": dict(Counter(trial.status for trial in state.trials if trial.is_confirmation)),
        },
    }

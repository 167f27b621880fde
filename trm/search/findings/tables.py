"""What a sweep found, as files that people and tools read: trials.parquet, leaderboard.json, study.journal."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trm.config.base import without_later
from trm.console.redaction import stored
from trm.files.atomic import replacing, write_text_atomic
from trm.search.findings.audit import audit_notes
from trm.search.findings.confirmed import confirmation_notes, confirmed_values, fresh_runs, ranked
from trm.search.journal.events import LegEnded
from trm.search.journal.priors import prior_summary
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob
from trm.search.replicates import replicate_rows
from trm.search.space.rules import tells_audit_with_best
from trm.search.state import SweepState
from trm.search.test_time import notes as test_time_notes
from trm.stats.best_of import Confirmed
from trm.stats.intervals import Z95

TRIALS, LEADERBOARD = "trials.parquet", "leaderboard.json"


def trial_rows(state: SweepState) -> list[dict[str, Any]]:
    """A row a trial, in order; the columns are those of trials.parquet, parameters by their paths (null when not active)."""
    return [_row(state, trial) for trial in state.trials]


def write_trials(state: SweepState, folder: str | Path) -> None:
    """Rewrites `folder`/trials.parquet, atomically."""
    fields = [pa.field("trial", pa.int64()), pa.field("status", pa.string()), pa.field("rung", pa.int64())]
    fields += [pa.field("objective", pa.float64())]
    fields += [pa.field(path, _column_type(knob)) for path, knob in state.space.search.items()]
    fields += [pa.field(name, pa.float64()) for name in ("train_flops", "train_seconds", "eval_seconds", "overhead_seconds")]
    fields += [pa.field(name, pa.int64()) for name in ("params", "steps", "seed")]
    fields += [pa.field(name, pa.string()) for name in ("checkpoint", "error")]
    fields += [pa.field(name, pa.float64()) for name in ("standard_error", "loss")]
    fields += [pa.field(name, pa.string()) for name in ("source", "reason")]
    known = {field.name for field in fields}
    fields += [pa.field(one.metric, pa.float64()) for one in state.space.objective.against if one.metric not in known]
    known |= {field.name for field in fields}
    fields += [pa.field(metric, pa.float64()) for metric in _outcome_names(state) if metric not in known]
    fields += [pa.field("violation", pa.float64())] if state.space.objective.wanted else []
    fields += [pa.field("confirms", pa.int64())]
    texts = {path for path, knob in state.space.search.items() if _column_type(knob) == pa.string()}
    rows = [{key: _text(value) if key in texts else value for key, value in row.items()} for row in trial_rows(state)]
    with replacing(Path(folder) / TRIALS) as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), path)


def leaderboard_rows(state: SweepState, count: int | None = None) -> list[dict[str, Any]]:
    """The best trials, best first (`confirmed.ranked`).

    With several objectives a row has its Pareto front, from 1, and what is weighed.
    """
    leaders = ranked(state)
    rows = [_leader(state, place, trial, confirmed) for place, (trial, confirmed) in enumerate(leaders[:count], start=1)]
    if state.space.objective.against:
        of_trial = {trial.number: index for index, front in enumerate(state.fronts(), start=1) for trial in front}
        for row, (trial, _) in zip(rows, leaders, strict=False):
            assert trial.result is not None
            row |= {"front": of_trial[trial.number], "against": state.figures(trial, trial.result)}
    if state.space.objective.wanted:
        for row, (trial, _) in zip(rows, leaders, strict=False):
            row |= outcome_values(state, trial)
    return rows


def outcome_values(state: SweepState, trial: Trial) -> dict[str, Any]:
    """What a scored trial came to of what outcome constraints are about, and those that it breaks; JSON."""
    assert trial.result is not None
    return {"outcomes": state.outcomes(trial, trial.result), "breaks": list(broken(state, trial))}


def broken(state: SweepState, trial: Trial) -> tuple[str, ...]:
    """The outcome constraints that a scored trial breaks, as they are written."""
    assert trial.result is not None
    found, objective = state.outcomes(trial, trial.result), state.space.objective
    wanted = zip(objective.outcome_constraints, objective.wanted, strict=True)
    return tuple(text for text, one in wanted if one.violation(found[one.metric]) > 0)


def outcome_words(state: SweepState) -> list[str]:
    """How many trials keep the outcome constraints, on a line; nothing where there are none."""
    scores = [trial.score for trial in state.searched if trial.score is not None]
    texts = " and ".join(state.space.objective.outcome_constraints)
    if not texts or not scores:
        return []
    kept = sum(score.violation == 0 for score in scores)
    nobody = "" if kept else "; the best of what breaks them is the one that is least off"
    return [f"{kept} of {len(scores)} scored trials keep {texts}{nobody}"]


def _outcome_names(state: SweepState) -> list[str]:
    return list(dict.fromkeys(one.metric for one in state.space.objective.wanted))


def front_rows(state: SweepState) -> list[dict[str, Any]]:
    """The trials that none beats in everything, best first by the objective's own metric, with all that is weighed."""
    front = state.fronts()[:1]
    return [
        {
            "trial": trial.number,
            "status": trial.status,
            "rung": trial.rung,
            "objective": result.objective,
            "against": state.figures(trial, result),
            "parameters": trial.shown_params,
            "checkpoint": trial.checkpoint,
        }
        for trial in (front[0] if front else [])
        if (result := trial.result) is not None
    ]


def write_leaderboard(state: SweepState, folder: str | Path, *, count: int = 10, more: Mapping[str, Any] | None = None) -> None:
    """Rewrites `folder`/leaderboard.json with the best `count` trials, atomically; `more`: what more search would bring."""
    board = {
        "name": state.name,
        "objective": without_later(state.space.objective, state.space.objective.model_dump()),
        "ended": state.ended.reason if state.ended is not None else None,
        **confirmation_notes(state),
        **({} if more is None else {"more_search": more}),
        "trials": leaderboard_rows(state, count),
    }
    if state.space.replicates > 1:
        board["replicates"] = replicate_rows(state)
    if state.space.objective.against:
        board["front"] = front_rows(state)
    if tells_audit_with_best(state.resolver.rules) and (audited := audit_notes(state)) is not None:
        board["audit"] = audited
    if searched := test_time_notes(state):
        board["test_time"] = searched
    if state.priors:
        board["warm_start"] = [prior_summary(prior) for prior in state.priors]
    write_text_atomic(Path(folder) / LEADERBOARD, json.dumps(stored(board), indent=1, allow_nan=False) + "\n")


def interval_95(metric: str, result: LegEnded) -> tuple[float, float] | None:
    """95 % interval of a score: the one that the evaluation gives, else 1.96 standard errors to each side."""
    low, high = result.metrics.get(f"{metric}_low"), result.metrics.get(f"{metric}_high")
    if low is not None and high is not None:
        return low, high
    value, error = result.objective, result.standard_error
    return None if value is None or error is None else (value - Z95 * error, value + Z95 * error)


def _row(state: SweepState, trial: Trial) -> dict[str, Any]:
    result, trouble = trial.result, trial.trouble
    return {
        **(state.figures(trial, result) if result is not None else {}),
        **(state.outcomes(trial, result) if result is not None else {}),
        **({"violation": trial.score.violation} if trial.score is not None and state.space.objective.wanted else {}),
        "trial": trial.number,
        "status": trial.status,
        "rung": trial.rung,
        "objective": result.objective if result is not None else None,
        **{path: trial.shown_params.get(path) for path in state.space.search},
        "train_flops": trial.spent_flops,
        "train_seconds": trial.train_seconds,
        "eval_seconds": trial.eval_seconds,
        "overhead_seconds": trial.overhead_seconds,
        "params": trial.asked.params_count,
        "steps": max(result.steps if result is not None else 0, trouble.steps if trouble is not None else 0),
        "seed": trial.asked.seed,
        "checkpoint": trial.checkpoint,
        "error": trouble.error if trial.is_troubled and trouble is not None else None,
        "standard_error": result.standard_error if result is not None else None,
        "loss": result.loss if result is not None else None,
        "source": trial.asked.source,
        "reason": trial.decided.reason if trial.decided is not None else None,
        "confirms": trial.asked.confirms,
    }


def _leader(state: SweepState, place: int, trial: Trial, confirmed: Confirmed | None) -> dict[str, Any]:
    result = trial.result
    assert result is not None
    runs = [trial] if confirmed is None else fresh_runs(state, trial.number)
    reports = [state.reports[run.number] for run in runs if run.number in state.reports]
    report = max(reports, key=lambda one: one.at, default=None)
    interval = interval_95(state.space.objective.metric, result)
    return {
        "rank": place,
        "trial": trial.number,
        "status": trial.status,
        "rung": trial.rung,
        "objective": result.objective,
        "interval_95": list(interval) if interval is not None else None,
        "confirmed": confirmed_values(state, confirmed) if confirmed is not None else None,
        "loss": result.loss,
        "params": trial.asked.params_count,
        "train_flops": result.train_flops,
        "steps": result.steps,
        "seed": trial.asked.seed,
        "parameters": trial.shown_params,
        "checkpoint": trial.checkpoint,
        "validation": report.validation if report is not None else None,
        "test": report.test if report is not None else None,
    }


def _column_type(knob: Knob) -> pa.DataType:
    if isinstance(knob, IntKnob):
        return pa.int64()
    if isinstance(knob, FloatKnob):
        return pa.float64()
    assert isinstance(knob, ChoiceKnob)
    values = [value for value in knob.values if value is not None]
    kinds: list[tuple[Callable[[Any], bool], pa.DataType]] = [
        (lambda value: isinstance(value, bool), pa.bool_()),
        (lambda value: isinstance(value, int) and not isinstance(value, bool), pa.int64()),
        (lambda value: isinstance(value, int | float) and not isinstance(value, bool), pa.float64()),
    ]
    return next((kind for fits, kind in kinds if _all(fits, values)), pa.string())


def _all(fits: Callable[[Any], bool], values: Iterable[Any]) -> bool:
    values = list(values)
    return bool(values) and all(fits(value) for value in values)


def _text(value: Any) -> str | None:
    text = value if value is None or isinstance(value, str) else json.dumps(value)
    return None if text is None else str(stored(text))

"""The trials of a sweep as its page has them once, for the leaderboard and for every chart; and its searched knobs."""

from collections.abc import Mapping
from typing import Any

from trm.search.findings.confirmed import ranked, winner
from trm.search.findings.tables import interval_95, leaderboard_rows
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, IntKnob, Knob
from trm.search.state import SweepState

MOST_ERROR_LETTERS = 600


def shared_data(state: SweepState) -> dict[str, Any]:
    """What several sections draw; JSON."""
    found, objective = winner(state), state.space.objective
    ranks = {trial.number: place for place, (trial, _) in enumerate(ranked(state), start=1)}
    return {
        "metric": objective.metric,
        "mode": objective.mode,
        "fidelity": state.space.fidelity,
        "against": [one.metric for one in objective.against],
        "amounts": list(state.rungs.amounts),
        "best": None if found is None else found.trial.number,
        "knobs": [_knob(path, knob) for path, knob in state.space.search.items()],
        "trials": [_trial(state, trial) | {"rank": ranks.get(trial.number)} for trial in state.trials],
    }


def board_rows(state: SweepState) -> list[dict[str, Any]]:
    """The leaderboard's rows, of all trials: what has no score stands last, with the reason; a column a value."""
    ranked = leaderboard_rows(state)
    scored = {row["trial"] for row in ranked}
    rows = [_board_row(state, row) for row in ranked]
    for trial in state.searched:
        if trial.number not in scored:
            rows.append(_facts(state, trial) | {"rank": None, "parameters": trial.shown_params})
    return rows


def _board_row(state: SweepState, row: Mapping[str, Any]) -> dict[str, Any]:
    confirmed, trial = row["confirmed"], state.trials[row["trial"]]
    interval = (confirmed or row)["interval_95"]
    metric = state.space.objective.metric
    return {
        **_facts(state, trial),
        "rank": row["rank"],
        "score": confirmed["mean"] if confirmed else row["objective"],
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "seeds": confirmed["seeds"] if confirmed else None,
        "p_best": confirmed["p_best"] if confirmed else None,
        "objective": row["objective"],
        "validation": (row["validation"] or {}).get(metric),
        "test": (row["test"] or {}).get(metric),
        "loss": row["loss"],
        "front": row.get("front"),
        "breaks": "; ".join(row.get("breaks", ())) or None,
        **{f"against {name}": value for name, value in row.get("against", {}).items()},
        **{f"outcome {name}": value for name, value in row.get("outcomes", {}).items()},
        "parameters": row["parameters"],
    }


def _facts(state: SweepState, trial: Trial) -> dict[str, Any]:
    trouble, decided = trial.trouble, trial.decided
    return {
        "trial": trial.number,
        "status": trial.status,
        "rung": trial.rung,
        "train_flops": trial.spent_flops,
        "seconds": trial.train_seconds + trial.eval_seconds + trial.overhead_seconds,
        "params": trial.asked.params_count,
        "steps": trial.steps,
        "seed": trial.asked.seed,
        "source": trial.asked.source,
        "reason": decided.reason if decided is not None else None,
        "error": str(trouble.error or "")[:MOST_ERROR_LETTERS] if trouble is not None and trial.is_troubled else None,
        "checkpoint": trial.checkpoint,
        "is_control": trial.is_control,
    }


def _trial(state: SweepState, trial: Trial) -> dict[str, Any]:
    """What charts draw of a trial: its knobs, and (FLOPs, objective, low, high, loss) of each rung that it was scored at."""
    metric = state.space.objective.metric
    rungs = {}
    for rung, score in trial.scores.items():
        result = trial.results[rung]
        low, high = interval_95(metric, result) or (None, None)
        rungs[str(rung)] = [score.train_flops, score.objective, low, high, result.loss]
    return {
        "number": trial.number,
        "status": trial.status,
        "confirms": trial.asked.confirms,
        "control": trial.is_control,
        "params": trial.shown_params,
        "rungs": rungs,
    }


def _knob(path: str, knob: Knob) -> dict[str, Any]:
    if isinstance(knob, ChoiceKnob):
        return {"path": path, "kind": "choice", "values": list(knob.values)}
    kind = "int" if isinstance(knob, IntKnob) else "float"
    return {"path": path, "kind": kind, "low": knob.low, "high": knob.high, "log": knob.log}

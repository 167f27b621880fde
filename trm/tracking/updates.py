"""What a journal event means for a tracking store, as plain values: a function of the sweep's state, no store and no clock."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from trm.search.findings.confirmed import confirmed_statistics, winner
from trm.search.journal.events import (
    Adopted,
    Asked,
    Decided,
    DriverStarted,
    DriverStopped,
    Event,
    LegEnded,
    LegStarted,
    LegWidened,
    PlaceAwaited,
    Reported,
    SlotsChanged,
    SpaceExhausted,
    SpeedMeasured,
    SweepEnded,
    SweepStarted,
    TestTimeChosen,
    TestTimePassed,
)
from trm.search.state import SweepState
from trm.tracking.folder_facts import FolderFacts
from trm.tracking.sweep_params import budget_words, flat_params, param_text, space_tags, sweep_params
from trm.tracking.values import SWEEP, Point, RunStatus, RunUpdate, at_gflops

CONFIGURATION = "config.yaml"
"""A trial's whole configuration, among the files of its run."""
FIRST_DRIVER = 2
"""Events of a sweep whose first driver has just started."""

STATUS_OF_TRIAL: dict[str, RunStatus] = {
    "running": "RUNNING",
    "paused": "SCHEDULED",
    "finished": "FINISHED",
    "stopped": "FINISHED",  # early stopping is how a search goes, and no failure: the tag `trm.status` tells it
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}


def updates_of(state: SweepState, event: Event, facts: FolderFacts | None = None) -> list[RunUpdate]:
    """What `event`, the last that the state took in, adds to the runs; `facts`: what the sweep's folder says of them."""
    match event:
        case SweepStarted():
            params = {"sweep.seed": str(event.seed), "sweep.space_digest": event.space_digest}
            versions = {f"trm.version.{name}": version for name, version in event.versions.items()}
            tags = {"trm.status": "running", "trm.kind": "sweep", "trm.name": event.name, **space_tags(state.space), **versions}
            inputs = facts.inputs() if facts is not None else ()
            return [RunUpdate(SWEEP, event.at, event.at, params=params, tags=tags, inputs=inputs)]
        case DriverStarted():
            return _driver_started(state, event)
        case Asked():
            return _asked(state, event, facts)
        case LegStarted():
            return [RunUpdate(event.trial, event.at, event.at, tags={"trm.status": "running"}, status="RUNNING")]
        case LegEnded():
            return _leg_ended(state, event)
        case Decided():
            return _decided(state, event)
        case Reported():
            return _reported(state, event)
        case TestTimePassed():
            return _passed(event)
        case TestTimeChosen():
            tags = {"trm.test_time": event.reason if event.setting is None else str(event.setting.evaluation)}
            return [RunUpdate(run, event.at, event.at, tags=tags) for run in (SWEEP, event.trial)]
        case SweepEnded():
            tags = {"trm.status": "finished", "trm.reason": event.reason}
            return [RunUpdate(SWEEP, event.at, event.at, tags=tags, status="FINISHED"), *_confirmed(state, event.at)]
        case DriverStopped() | SlotsChanged() | LegWidened() | PlaceAwaited() | SpeedMeasured() | SpaceExhausted() | Adopted():
            return []
    assert_never(event)


def with_configuration(update: RunUpdate, state: SweepState, facts: FolderFacts) -> RunUpdate:
    """The update with its trial's whole configuration, which is made only for runs that lack it: it costs more than its events."""
    if update.trial is None or not update.is_asked:
        return update
    whole, text = facts.configuration(state, state.trials[update.trial])
    texts = {CONFIGURATION: text} if text else {}
    return replace(update, params=dict(flat_params(whole)) | update.params, texts=update.texts | texts)


def driven(state: SweepState, at: float) -> list[RunUpdate]:
    """What is true when a driver took up an unfinished sweep."""
    if state.ended is not None:
        return []
    return [RunUpdate(run, at, at, tags={"trm.status": "running"}, status="RUNNING") for run in (SWEEP, *_running(state))]


def interrupted(state: SweepState, at: float) -> list[RunUpdate]:
    """What is true when nobody drives an unfinished sweep any more."""
    if state.ended is not None:
        return []
    return [RunUpdate(run, at, at, tags={"trm.status": "interrupted"}, status="KILLED") for run in (SWEEP, *_running(state))]


def _running(state: SweepState) -> list[int]:
    return [trial.number for trial in state.trials if trial.status == "running"]


def _driver_started(state: SweepState, event: DriverStarted) -> list[RunUpdate]:
    """What it may spend and how it confirms are parameters of the first driver, which cannot change, and tags of the last."""
    is_first = state.events == FIRST_DRIVER
    params = sweep_params(state.space, event) if is_first else {}
    tags = {"trm.status": "running", "trm.driver": event.driver, "trm.slots": str(event.slots), "trm.budget": budget_words(state)}
    return [RunUpdate(SWEEP, event.at, event.at, params=params, tags=tags | _best_tags(state), status="RUNNING")]


def _asked(state: SweepState, event: Asked, facts: FolderFacts | None) -> list[RunUpdate]:
    params = {key: param_text(value) for key, value in event.shown_params.items()}
    params |= {"seed": str(event.seed), "max_steps": str(event.max_steps)}
    tags = {"trm.trial": str(event.trial), "trm.source": event.source, "trm.digest": event.digest, "trm.sweep_name": state.name}
    tags["trm.kind"] = "trial" if event.confirms is None else "confirmation"
    if event.confirms is not None:
        tags["trm.confirms"] = str(event.confirms)
    costs = {"step_flops": event.step_flops, "params_count": event.params_count, "inference_flops": event.inference_flops}
    points = _points(costs, 0, event.at)
    inputs = facts.inputs(event.params) if facts is not None else ()
    return [
        RunUpdate(event.trial, event.at, event.at, params=params, points=points, tags=tags, inputs=inputs, is_asked=True),
        RunUpdate(SWEEP, event.at, event.at, points=_points({"sweep.trials": float(len(state.trials))}, state.legs, event.at)),
    ]


def _leg_ended(state: SweepState, event: LegEnded) -> list[RunUpdate]:
    own = {
        "objective": event.objective,
        "objective_standard_error": event.standard_error,
        "loss": event.loss,
        "rung": float(event.rung) if event.status == "completed" else None,
        "train_flops": event.train_flops,
        "train_seconds": event.train_seconds,
        "eval_seconds": event.eval_seconds,
        "overhead_seconds": event.overhead_seconds,
    }
    scored = state.trials[event.trial].scores.get(event.rung) if event.status == "completed" else None
    if scored is not None and state.space.objective.wanted and math.isfinite(scored.violation):
        own["violation"] = scored.violation
    tags = {"trm.attempt": str(event.attempt), "trm.checkpoint": event.checkpoint or "", "trm.error": event.error or ""}
    points = _points({**event.metrics, **own}, event.steps, event.at)
    if event.status == "completed":
        points += at_gflops("objective", event.objective, event.train_flops, event.at)
        points += at_gflops("loss", event.loss, event.train_flops, event.at)
    trial = RunUpdate(event.trial, event.at, event.at, points=points, tags={key: value for key, value in tags.items() if value})
    best = winner(state)
    sweep = {
        "sweep.train_flops": state.spending.train_flops,
        "sweep.best_objective": best.trial.score.objective if best is not None and best.trial.score is not None else None,
    }
    return [trial, RunUpdate(SWEEP, event.at, event.at, points=_points(sweep, state.legs, event.at), tags=_best_tags(state))]


def _decided(state: SweepState, event: Decided) -> list[RunUpdate]:
    tags = {"trm.status": event.status, "trm.reason": event.reason, "trm.rung": str(event.rung)}
    update = RunUpdate(event.trial, event.at, event.at, tags=tags, status=STATUS_OF_TRIAL[event.status])
    if not state.trials[event.trial].is_confirmation:
        return [update]
    return [update, RunUpdate(SWEEP, event.at, event.at, tags=_best_tags(state))]


def _best_tags(state: SweepState) -> dict[str, str]:
    best = winner(state)
    return {} if best is None else {"trm.best_trial": str(best.trial.number)}


def _confirmed(state: SweepState, at: float) -> list[RunUpdate]:
    """What fresh seeds say of each confirmed trial, at the sweep's end."""
    found = confirmed_statistics(state)
    updates = []
    for row in found.rows:
        values = {"mean": row.mean, "low": row.low, "high": row.high, "seeds": float(row.seeds), "p_best": row.p_best}
        points = _points({f"confirmed.{name}": value for name, value in values.items()}, 0, at)
        updates.append(RunUpdate(row.trial, at, at, points=points, tags={"trm.confirmed": "true"}))
    tags = {"trm.supported": str(found.is_supported).lower(), "trm.confirmation": found.sentence}
    return [RunUpdate(SWEEP, at, at, tags=tags), *updates] if updates else []


def _passed(event: TestTimePassed) -> list[RunUpdate]:
    """A series a noise and start: what the front of its pass scores, against inference MFLOPs."""
    points = list[Point]()
    for one in sorted(event.points, key=lambda one: one.inference_flops):
        if one.gain is not None:  # what none of its pass beats
            name = f"test_time/noise_{one.noise:g}_{one.starts}"
            scores = {"exact_accuracy": one.exact_accuracy} | ({} if event.metric is None else {event.metric: one.score})
            points += _points({f"{name}/{key}": value for key, value in scores.items()}, round(one.inference_flops / 1e6), event.at)
    return [RunUpdate(event.trial, event.at, event.at, points=points)]


def _reported(state: SweepState, event: Reported) -> list[RunUpdate]:
    scores = {f"{split}/{key}": value for split in ("validation", "test") for key, value in getattr(event, split).items()}
    if event.at_test_time is not None:
        looks = {"validation": event.at_test_time.validation, "test": event.at_test_time.test}
        scores |= {f"test_time/{split}/{key}": value for split, look in looks.items() for key, value in look.items()}
    points = _points(scores, 0, event.at)
    trial = RunUpdate(event.trial, event.at, event.at, points=points, tags={"trm.rank": str(event.rank)})
    if any(report.rank < event.rank for report in state.reports.values()):
        return [trial]
    tags = _best_tags(state) | {"trm.best_run": str(event.trial)}
    return [trial, RunUpdate(SWEEP, event.at, event.at, points=points, tags=tags)]


def _points(values: Mapping[str, float | None], step: int, at: float) -> list[Point]:
    return [Point(key, float(value), step, at) for key, value in values.items() if value is not None]

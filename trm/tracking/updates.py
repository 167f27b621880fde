"""What a journal event means for a tracking store, as plain values: a pure translation that needs no store and no clock."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, Reported, SweepEnded, SweepStarted
from trm.search.order import Order
from trm.stats.best_of import Mode, standings

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "KILLED", "FAILED"]
STATUS_OF_TRIAL: dict[str, RunStatus] = {
    "running": "RUNNING",
    "paused": "SCHEDULED",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "failed": "FAILED",
}
SWEEP = None
"""Stands for the parent run where a trial's number would stand."""


@dataclass(frozen=True)
class Point:
    """One value of a metric; equal points are one, so that sending twice does no harm."""

    key: str
    value: float
    step: int
    at: float
    """Unix seconds, from the event."""


@dataclass(frozen=True)
class RunUpdate:
    """What is to be added to one run: a trial's, or the sweep's own (`trial` is SWEEP)."""

    trial: int | None
    since: float
    """Unix seconds of the oldest event in it, at which a run that does not exist yet starts."""
    status_at: float
    """Unix seconds of the event that gave the status, or else of the newest one."""
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: RunStatus | None = None
    events: int = 0
    """Journal events up to the newest in it: with this the run has all that they say of it; 0: it is no event's."""
    curve_step: int = 0
    """Step of the newest point of a training curve in it: with this the run has its curve so far; 0: it has none."""

    def followed_by(self, later: "RunUpdate") -> "RunUpdate":
        """This and a later update of the same run, as one."""
        return RunUpdate(
            self.trial,
            self.since,
            later.status_at if later.status or not self.status else self.status_at,
            self.params | later.params,
            self.points + later.points,
            self.tags | later.tags,
            later.status or self.status,
            max(self.events, later.events),
            max(self.curve_step, later.curve_step),
        )


def merged(updates: Iterable[RunUpdate]) -> list[RunUpdate]:
    """One update a run, the sweep's own first: what a store is asked to do after it fell behind."""
    by_run: dict[int | None, RunUpdate] = {}
    for update in updates:
        earlier = by_run.get(update.trial)
        by_run[update.trial] = update if earlier is None else earlier.followed_by(update)
    return sorted(by_run.values(), key=lambda update: -1 if update.trial is None else update.trial)


class Translator:
    """Folds a sweep's events, in their order, into updates of its runs.

    The sweep's own curves (trials, legs, compute spent, best objective) are sums over the events, so every event has to pass
    through, those that were sent before too.
    """

    def __init__(self, mode: Mode = "max") -> None:
        self._order = Order(mode)
        self._best: float | None = None
        self._trials = 0
        self._legs = 0
        self._flops_of_trial: dict[int, float] = {}
        self._best_rank: int | None = None
        self._seed = 0
        self._confirms: dict[int, int] = {}
        """Confirmation -> the trial that it repeats on a fresh seed."""
        self._fresh: dict[int, tuple[int, float]] = {}
        """Confirmation -> its rung and score; not a number where it came to none."""
        self._certainty = 0.95
        self.running: set[int] = set()
        """Trials whose last word was that a leg started."""
        self.is_ended = False
        """Whether the sweep ended, and no driver has started since."""

    def updates(self, event: Event) -> list[RunUpdate]:
        """What `event` adds to the runs."""
        match event:
            case SweepStarted():
                self._seed = event.seed
                params = {"sweep.seed": str(event.seed), "sweep.space_digest": event.space_digest}
                versions = {f"trm.version.{name}": version for name, version in event.versions.items()}
                return [RunUpdate(SWEEP, event.at, event.at, params=params, tags={"trm.status": "running", **versions})]
            case DriverStarted():
                self.is_ended = False
                if event.confirm is not None:
                    self._certainty = event.confirm.certainty
                tags = {"trm.status": "running", "trm.driver": event.driver, "trm.slots": str(event.slots)}
                return [RunUpdate(SWEEP, event.at, event.at, tags=tags, status="RUNNING")]
            case Asked():
                return self._asked(event)
            case LegStarted():
                self.running.add(event.trial)
                return [RunUpdate(event.trial, event.at, event.at, tags={"trm.status": "running"}, status="RUNNING")]
            case LegEnded():
                return self._leg_ended(event)
            case Decided():
                self.running.discard(event.trial)
                if event.trial in self._confirms and event.status in ("diverged", "out_of_memory", "failed"):
                    self._fresh[event.trial] = event.rung, math.nan
                tags = {"trm.status": event.status, "trm.reason": event.reason, "trm.rung": str(event.rung)}
                return [RunUpdate(event.trial, event.at, event.at, tags=tags, status=STATUS_OF_TRIAL[event.status])]
            case Reported():
                return self._reported(event)
            case SweepEnded():
                self.is_ended = True
                tags = {"trm.status": "finished", "trm.reason": event.reason}
                return [RunUpdate(SWEEP, event.at, event.at, tags=tags, status="FINISHED"), *self._confirmed(event.at)]
        return []

    def driven(self, at: float) -> list[RunUpdate]:
        """What is true when a driver took up an unfinished sweep."""
        if self.is_ended:
            return []
        return [
            RunUpdate(trial, at, at, tags={"trm.status": "running"}, status="RUNNING") for trial in (SWEEP, *sorted(self.running))
        ]

    def interrupted(self, at: float) -> list[RunUpdate]:
        """What is true when nobody drives an unfinished sweep any more."""
        if self.is_ended:
            return []
        tags = {"trm.status": "interrupted"}
        trials = [RunUpdate(trial, at, at, tags=tags, status="KILLED") for trial in sorted(self.running)]
        return [RunUpdate(SWEEP, at, at, tags=tags, status="KILLED"), *trials]

    def _asked(self, event: Asked) -> list[RunUpdate]:
        self._trials += 1
        params = {key: _text(value) for key, value in event.shown_params.items()}
        params |= {"seed": str(event.seed), "max_steps": str(event.max_steps)}
        tags = {"trm.trial": str(event.trial), "trm.source": event.source, "trm.digest": event.digest}
        if event.confirms is not None:
            self._confirms[event.trial] = event.confirms
            tags["trm.confirms"] = str(event.confirms)
        costs = {"step_flops": event.step_flops, "params_count": event.params_count, "inference_flops": event.inference_flops}
        points = _points(costs, 0, event.at)
        return [
            RunUpdate(event.trial, event.at, event.at, params=params, points=points, tags=tags),
            RunUpdate(SWEEP, event.at, event.at, points=_points({"sweep.trials": float(self._trials)}, self._legs, event.at)),
        ]

    def _leg_ended(self, event: LegEnded) -> list[RunUpdate]:
        self._legs += 1
        self._flops_of_trial[event.trial] = max(self._flops_of_trial.get(event.trial, 0.0), event.train_flops)
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
        tags = {"trm.attempt": str(event.attempt), "trm.checkpoint": event.checkpoint or "", "trm.error": event.error or ""}
        points = _points({**event.metrics, **own}, event.steps, event.at)
        trial = RunUpdate(event.trial, event.at, event.at, points=points, tags={key: value for key, value in tags.items() if value})
        sweep = {"sweep.train_flops": sum(self._flops_of_trial.values())}
        value = event.objective
        if event.trial in self._confirms:
            if value is not None and event.status == "completed":
                self._fresh[event.trial] = event.rung, value
        elif value is not None and math.isfinite(value):
            is_better = self._best is None or self._order.is_better(value, self._best)
            self._best = value if is_better else self._best
        if self._best is not None:
            sweep["sweep.best_objective"] = self._best
        return [trial, RunUpdate(SWEEP, event.at, event.at, points=_points(sweep, self._legs, event.at))]

    def _confirmed(self, at: float) -> list[RunUpdate]:
        """What fresh seeds say of each confirmed trial, at the sweep's end."""
        scores: dict[int, list[float]] = {}
        last = max((rung for rung, _ in self._fresh.values()), default=0)
        for run, (rung, value) in sorted(self._fresh.items()):
            if rung == last:
                scores.setdefault(self._confirms[run], []).append(value)
        found = standings(scores, self._order.mode, self._seed, certainty=self._certainty)
        updates = []
        for row in found.rows:
            values = {"mean": row.mean, "low": row.low, "high": row.high, "seeds": float(len(row.scores)), "p_best": row.p_best}
            points = _points({f"confirmed.{name}": value for name, value in values.items()}, 0, at)
            updates.append(RunUpdate(row.trial, at, at, points=points, tags={"trm.confirmed": "true"}))
        tags = {"trm.supported": str(found.is_supported).lower(), "trm.confirmation": found.sentence}
        return [RunUpdate(SWEEP, at, at, tags=tags), *updates] if updates else []

    def _reported(self, event: Reported) -> list[RunUpdate]:
        scores = {f"{split}/{key}": value for split in ("validation", "test") for key, value in getattr(event, split).items()}
        points = _points(scores, 0, event.at)
        trial = RunUpdate(event.trial, event.at, event.at, points=points, tags={"trm.rank": str(event.rank)})
        if self._best_rank is not None and event.rank > self._best_rank:
            return [trial]
        self._best_rank = event.rank
        return [trial, RunUpdate(SWEEP, event.at, event.at, points=points, tags={"trm.best_trial": str(event.trial)})]


def _points(values: Mapping[str, float | None], step: int, at: float) -> list[Point]:
    return [Point(key, float(value), step, at) for key, value in values.items() if value is not None]


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)

"""What is told of a run in a tracking store, as plain values: points, updates, data sets, and how far a run there is."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

RunStatus = Literal["RUNNING", "SCHEDULED", "FINISHED", "KILLED", "FAILED"]
SWEEP = None
"""Stands for the parent run where a trial's number would stand."""
FORM = 2
"""Of what is told of a run. It grows when more is; runs of an earlier form get what they lack, and no point twice."""
RANK = "rank"
"""The metric by which a sweep's trials are sorted."""
GFLOPS = "at_gflops/"
"""Begins the names of series whose steps are training GFLOPs, not optimizer steps; form 1 had none of them."""


@dataclass(frozen=True)
class Point:
    """One value of a metric; equal points are one, so that sending twice does no harm."""

    key: str
    value: float
    step: int
    at: float
    """Unix seconds, from the event."""


@dataclass(frozen=True)
class DataInput:
    """A data set that a run reads, as tracking stores keep it."""

    name: str
    digest: str
    source_type: str
    source: str
    """Where it lies; JSON."""
    schema: str
    """Columns of a row; JSON."""
    profile: str
    """How many rows each split has; JSON."""


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
    texts: dict[str, str] = field(default_factory=dict)
    """Small files of the run by their names."""
    inputs: tuple[DataInput, ...] = ()
    is_asked: bool = False
    """A trial begins with it: its whole configuration goes out with it."""

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
            self.texts | later.texts,
            tuple(dict.fromkeys(self.inputs + later.inputs)),
            self.is_asked or later.is_asked,
        )


@dataclass(frozen=True)
class Held:
    """How far a run is that the store has."""

    events: int = 0
    """Journal events that it has got, in whatever form."""
    told: int = 0
    """Those of them that it has got in today's form."""
    curve: int = 0
    """Step up to which it has its training curve, in whatever form."""
    told_curve: int = 0
    """Likewise in today's form."""
    rank: int | None = None
    """Its place among the sweep's trials as it was told last."""


def merged(updates: Iterable[RunUpdate]) -> list[RunUpdate]:
    """One update a run, the sweep's own first: what a store is asked to do after it fell behind."""
    by_run: dict[int | None, RunUpdate] = {}
    for update in updates:
        earlier = by_run.get(update.trial)
        by_run[update.trial] = update if earlier is None else earlier.followed_by(update)
    return sorted(by_run.values(), key=lambda update: -1 if update.trial is None else update.trial)


def new_points(points: Iterable[Point]) -> list[Point]:
    """Those that runs of earlier forms have not got."""
    return [point for point in points if point.key.startswith(GFLOPS)]


def at_gflops(name: str, value: float | None, train_flops: float | None, at: float) -> list[Point]:
    """A value against training GFLOPs; nothing where one of them is unknown."""
    if value is None or train_flops is None:
        return []
    return [Point(f"{GFLOPS}{name}", float(value), round(train_flops / 1e9), at)]


def held_after(held: Held, update: RunUpdate) -> Held:
    """How far a run is that had `held` and took an update in."""
    rank = next((int(point.value) for point in update.points if point.key == RANK), held.rank)
    return Held(
        max(held.events, update.events),
        max(held.told, update.events),
        max(held.curve, update.curve_step),
        max(held.told_curve, update.curve_step),
        rank,
    )

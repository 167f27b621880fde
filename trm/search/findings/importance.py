"""What mattered in a sweep: which knobs told a rung's trials apart, by how much, and what follows from them.

Trials are compared at one rung at a time, each by what it had reached there, though it may have gone further since: so nobody is
better for having been let go on, and nobody worse for having been stopped. The rung that most trials reached tells most; those
of a later one were chosen by their scores, and what chose them hardly differs among them any more.

One model says both whether an axis matters and how much (`stats/effects.py`): trials' ranks, as normal scores, are what sets of
axes do, alone and two together, and noise. Each axis is judged beside the others, for a sampler that follows what was good brings
values without merit beside good ones. Shares are about draws from the whole space, however seldom a sampler went back to what is
bad. What knobs imply (depth, FLOPs, parameters) is judged in place of the knobs that can imply it.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from trm.console.redaction import stored
from trm.files.atomic import write_text_atomic
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import ChoiceKnob, Knob
from trm.search.knobs.places import along
from trm.search.order import Order, Score
from trm.search.space.enumeration import random_params
from trm.search.state import SweepState
from trm.stats.effects import Columns, Effect, curves, effects, levels, normal_scores

FILE = "importance.json"
LEAST_TRIALS = 10
"""Trials at a rung, below which nothing is said of it."""
MOST_TRIALS = 1000
"""Of a rung with more, so many evenly spread ones are looked at: the answer is as good, and takes half a second."""
CLEAR = 0.5
"""An axis is said to have mattered where that is likelier than not; in 3 to 6 % of simulated sweeps, where nothing matters in up to
12 %, one is said to that does not (`benchmarks/search/importance.py`)."""
DRAWS = 256
"""Draws from the space that shares are about."""
FEW_LEVELS = 4
"""Numbers to choose from, above which they are places on a line."""
IMPLYING = ("model.", "data.", "training.global_batch_size")
"""Paths of knobs that can imply depth, FLOPs or parameters."""
SHOWN_AXES = 3
DERIVED: Mapping[str, str] = {
    "effective_depth": "effective depth",
    "step_flops": "training FLOPs a step",
    "params_count": "parameters",
}
"""What knobs imply: the blocks that a row passes in one supervision step; cost; size."""


@dataclass(frozen=True)
class Axis:
    """A knob, or what knobs imply, and how much it mattered at a rung."""

    name: str
    """The knob's path, or a key of `DERIVED`."""
    kind: Literal["knob", "derived"]
    importance: float
    """Share of the differences between draws from the space, a seed's noise included, that would be gone were the axis fixed; 0
    where it is not clear that it matters.

    Several axes may account for the same, so they need not sum to 1.
    """
    probability: float
    """That the axis matters."""
    trials: int
    """In which it had a value."""

    @property
    def is_clear(self) -> bool:
        """Whether it is likelier than not that the axis matters."""
        return self.probability > CLEAR


@dataclass(frozen=True)
class Cell:
    """The trials of one recursion at a rung."""

    H_cycles: int
    L_cycles: int
    trials: int
    mean: float
    """Of their objectives."""
    best: float


@dataclass(frozen=True)
class RungImportance:
    """What mattered at one rung."""

    rung: int
    amount: float
    """Of the sweep's fidelity, the same for all its trials."""
    trials: int
    axes: tuple[Axis, ...]
    """The most important first; those of which it is not clear last."""
    map: tuple[Cell, ...]
    """By H_cycles, then L_cycles; recursions that no trial had are left out."""


@dataclass(frozen=True)
class Importance:
    """What mattered in a sweep."""

    name: str
    metric: str
    mode: Literal["max", "min"]
    fidelity: str
    rungs: tuple[RungImportance, ...]
    """Rungs that at least `LEAST_TRIALS` trials reached."""
    telling: int | None
    """The rung that most trials reached, of two the later one; null: there are too few trials anywhere."""

    @property
    def told(self) -> RungImportance | None:
        """The rung with most trials, whose importances are reported."""
        return next((one for one in self.rungs if one.rung == self.telling), None)


def importance(state: SweepState) -> Importance:
    """What mattered in `search` so far, rung by rung; trials that confirm others do not count."""
    reached = {rung: _scored(state.searched, rung) for rung in range(len(state.rungs.amounts))}
    reached = {rung: there for rung, there in reached.items() if len(there) >= LEAST_TRIALS}
    objective = state.space.objective
    return Importance(
        name=state.name,
        metric=objective.metric,
        mode=objective.mode,
        fidelity=state.space.fidelity,
        rungs=tuple(_at_rung(state, rung, there) for rung, there in reached.items()),
        telling=max(reached, key=lambda rung: (len(reached[rung]), rung), default=None),
    )


def write_importance(found: Importance, folder: str | Path) -> None:
    """Rewrites `folder`/importance.json, atomically."""
    write_text_atomic(Path(folder) / FILE, json.dumps(stored(asdict(found)), indent=1, allow_nan=False) + "\n")


def sentence(found: Importance) -> str | None:
    """What mattered, in words; None where too few trials were scored to tell."""
    told = found.told
    if told is None:
        return None
    if not told.axes:
        return f"what mattered cannot be told: the {told.trials} trials of rung {told.rung} differ in nothing, or score the same"
    where = f"among {told.trials} trials at rung {told.rung}"
    clear = [axis for axis in told.axes if axis.is_clear]
    knobs = [f"{axis.name} ({axis.importance:.0%})" for axis in clear if axis.kind == "knob"][:SHOWN_AXES]
    implied = [f"{DERIVED[axis.name]} ({axis.importance:.0%})" for axis in clear if axis.kind == "derived"]
    if not knobs and not implied:
        return f"what mattered cannot be told {where}: none is likelier than not to matter"
    said = f"what mattered {where}: {', '.join(knobs) or 'no single knob'}"
    return said + (f"; of what they imply, {', '.join(implied)}" if implied else "")


# A rung ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """A trial at a rung."""

    trial: Trial
    params: Mapping[str, Any]
    """Searched path -> value that the trial had on its way to the score."""
    score: Score


def _scored(trials: Sequence[Trial], rung: int) -> list[_Scored]:
    found = []
    for trial in trials:
        score = trial.scores.get(rung)
        if score is not None and math.isfinite(score.objective):
            before = [one.params for one in trial.adoptions if one.rung < rung]
            found.append(_Scored(trial, before[-1] if before else trial.asked.params, score))
    return found


def _at_rung(state: SweepState, rung: int, there: list[_Scored]) -> RungImportance:
    looked_at = [there[index * len(there) // MOST_TRIALS] for index in range(MOST_TRIALS)] if len(there) > MOST_TRIALS else there
    places = _places(looked_at, state.order)
    return RungImportance(rung, state.rungs.amounts[rung], len(there), _axes(state, looked_at, places), _map(state, there))


def _places(there: Sequence[_Scored], order: Order) -> np.ndarray:
    """Rank of each trial, the best has the highest; equally good ones share theirs."""
    places = [order.place(one.score) for one in there]
    level_of = {place: level for level, place in enumerate(sorted(set(places), reverse=True))}
    levels = np.array([level_of[place] for place in places])
    counts = np.bincount(levels)
    middles = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middles[levels], dtype=np.float64)


def _axes(state: SweepState, there: Sequence[_Scored], places: np.ndarray) -> tuple[Axis, ...]:
    if len(np.unique(places)) == 1:
        return ()
    scores = normal_scores(places)
    draws = random.Random(state.space.seed)
    drawn = [random_params(state.space, draws) for _ in range(DRAWS)]
    knobs = {
        path: _of_knob(knob, [one.params.get(path, _NONE) for one in there], [one.get(path, _NONE) for one in drawn])
        for path, knob in state.space.search.items()
        if len({repr(one.params[path]) for one in there if path in one.params}) > 1
    }
    derived: dict[str, list[float]] = {
        "effective_depth": [one.effective_depth for one in _recursions(state, there)],
        "step_flops": [one.trial.asked.step_flops for one in there],
        "params_count": [float(one.trial.asked.params_count) for one in there],
    }
    beside = {path: columns for path, columns in knobs.items() if not path.startswith(IMPLYING)}
    found = effects(knobs, scores) if knobs else {}
    axes = [_axis(path, "knob", found[path], trials=sum(path in one.params for one in there)) for path in knobs]
    for name, values in derived.items():
        if len(set(values)) > 1:
            effect = effects({**beside, name: _of_derived(values)}, scores, among=len(knobs))[name]
            axes.append(_axis(name, "derived", effect, trials=len(there)))
    return tuple(sorted(axes, key=lambda axis: (-axis.importance, -axis.probability, axis.name)))


def _axis(name: str, kind: Literal["knob", "derived"], effect: Effect, *, trials: int) -> Axis:
    return Axis(name, kind, effect.share if effect.probability > CLEAR else 0.0, effect.probability, trials)


_NONE = object()
"""Stands for the value of a knob that a trial does not have."""


def _of_knob(knob: Knob, tried: Sequence[Any], drawn: Sequence[Any]) -> Columns:
    """A knob's values as columns: numbers are places on a line, anything else levels; zero where it is not there."""

    def columns(values: Sequence[Any]) -> np.ndarray:
        having = [index for index, value in enumerate(values) if value is not _NONE]
        there = _values_as_columns(knob, [values[index] for index in having])
        found = np.zeros((len(values), there.shape[1]))
        found[having] = there
        return found

    return Columns(columns(tried), columns(drawn))


def _values_as_columns(knob: Knob, values: Sequence[Any]) -> np.ndarray:
    if isinstance(knob, ChoiceKnob):
        levels_of = [_level(value) for value in knob.values]
        is_line = len(levels_of) > FEW_LEVELS and all(isinstance(value, int | float) for value in knob.values)
        ordered = sorted(levels_of) if is_line else levels_of
        at = [ordered.index(_level(value)) for value in values]
        return curves(np.arange(len(ordered)), np.array(at)) if is_line else levels(len(ordered), at)

    def places(several: Sequence[Any]) -> np.ndarray:
        return np.clip([along(knob, value) for value in several], 0.0, 1.0)

    grid = places(knob.values_in_order) if knob.count <= DRAWS else np.linspace(0.0, 1.0, DRAWS)
    return curves(grid, places(values))


def _level(value: Any) -> tuple[bool, Any]:
    return isinstance(value, bool), value  # 1 is not true


def _of_derived(values: Sequence[float]) -> Columns:
    """A figure's logarithms as places on a line; what might have been tried is each of its values alike."""
    distinct = np.unique(np.log(values))
    return Columns(curves(distinct, np.log(values)), curves(distinct, np.random.default_rng(0).choice(distinct, DRAWS)))


# Recursion --------------------------------------------------------------------------------------------------------------


class _Recursion(NamedTuple):
    H_cycles: int
    L_cycles: int
    effective_depth: float


def _recursions(state: SweepState, there: Sequence[_Scored]) -> list[_Recursion]:
    """Each trial's, searched or the base's."""
    rules = state.resolver.rules
    model = state.space.run_config(there[0].params, seed=0, rules=rules).model
    found = []
    for one in there:
        searched = {path.removeprefix("model."): value for path, value in one.params.items() if path.startswith("model.")}
        is_alike = searched.get("architecture", model.architecture) == model.architecture
        own = model.model_copy(update=searched) if is_alike else state.space.run_config(one.params, seed=0, rules=rules).model
        found.append(_Recursion(own.recursion.H_cycles, own.recursion.inner_calls, float(own.effective_depth)))
    return found


def _map(state: SweepState, there: Sequence[_Scored]) -> tuple[Cell, ...]:
    cells: dict[tuple[int, int], list[float]] = {}
    for one, scored in zip(_recursions(state, there), there, strict=True):
        cells.setdefault((one.H_cycles, one.L_cycles), []).append(scored.score.objective)
    return tuple(
        Cell(*place, len(found), sum(found) / len(found), state.order.best(found)) for place, found in sorted(cells.items())
    )

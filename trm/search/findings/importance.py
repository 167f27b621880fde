"""What mattered in a sweep: which knobs told a rung's trials apart, by how much, and what follows from them.

Trials are compared at one rung at a time, each by what it had reached there, though it may have gone further since: so nobody is
better for having been let go on, and nobody worse for having been stopped. The rung that most trials reached tells most; those
of a later one were chosen by their scores, and what chose them hardly differs among them any more.

One statistic says both how much an axis matters and whether that is more than chance: of the squared differences of the trials'
ranks, what lies between the axis's groups (Kruskal and Wallis 1952). It is compared with the same of random rankings. A sampler
follows what has been good, so that a value without merit comes often among late and good trials; ranks are therefore exchanged
among neighbouring trials only, which the sampler chose knowing about the same. A knob that is there in some trials is compared
among these. Each axis is looked at alone, so that what knobs imply (depth, FLOPs, parameters) may stand beside them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from trm.files.atomic import write_text_atomic
from trm.search.journal.trial import Trial
from trm.search.order import Order, Score
from trm.search.state import SweepState

FILE = "importance.json"
LEAST_TRIALS = 10
"""Trials at a rung, below which nothing is said of it."""
MOST_TRIALS = 1000
"""Of a rung with more, so many evenly spread ones are looked at: the answer is as good, and takes half a second."""
CLEAR_CHANCE = 0.05
"""An axis is said to have mattered when no more of the random rankings show as much."""
RANKINGS = 999
NEIGHBOURS = 8
"""Trials, one asked for after the other, among which a random ranking exchanges ranks; about so many."""
GROUPS = 4
"""Of about equal size, into which an axis with more values is cut."""
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
    """Share of the trials' differences that the axis accounts for, beyond what chance shows; 0 where that is not clear.

    Several axes may account for the same, so they need not sum to 1.
    """
    chance: float
    """Share of random rankings of the same trials in which the axis's groups differ as much."""
    trials: int
    """In which it had a value."""

    @property
    def is_clear(self) -> bool:
        """Whether more is to be seen than chance shows."""
        return self.importance > 0


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
    """The most important first; those that show no more than chance last."""
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
    write_text_atomic(Path(folder) / FILE, json.dumps(asdict(found), indent=1, allow_nan=False) + "\n")


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
        return f"what mattered cannot be told {where}: no knob shows more than chance would"
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
    recursion = _recursions(state, there)
    derived: dict[str, list[float]] = {
        "effective_depth": [one.effective_depth for one in recursion],
        "step_flops": [one.trial.asked.step_flops for one in there],
        "params_count": [float(one.trial.asked.params_count) for one in there],
    }
    values = [dict(one.params) | {name: column[index] for name, column in derived.items()} for index, one in enumerate(there)]
    names = (*state.space.search, *derived)
    differing = [name for name in names if len({repr(one[name]) for one in values if name in one}) > 1]
    if len(np.unique(places)) == 1:
        return ()
    found = [(name, _effect(name, values, places)) for name in differing]
    axes = [
        Axis(
            name=name,
            kind="derived" if name in derived else "knob",
            importance=effect.share if effect.chance <= CLEAR_CHANCE else 0.0,
            chance=effect.chance,
            trials=sum(name in one for one in values),
        )
        for name, effect in found
    ]
    return tuple(sorted(axes, key=lambda axis: (-axis.importance, axis.chance, axis.name)))


class _Effect(NamedTuple):
    share: float
    chance: float


def _effect(name: str, values: Sequence[Mapping[str, Any]], places: np.ndarray) -> _Effect:
    """How much of the trials' differences the axis's groups account for, and how often random rankings show as much.

    Random rankings show a part too: the share is of what they leave to be accounted for.
    """
    having = [index for index, one in enumerate(values) if name in one]
    rankings = _rankings(places[having])
    groups = _groups([values[index][name] for index in having])
    members = np.stack([groups == group for group in np.unique(groups)]).astype(np.float64)
    between = ((members @ rankings) ** 2 / members.sum(1)[:, None]).sum(0)
    whole, by_chance = float((rankings[:, 0] ** 2).sum()), float(between[1:].mean())
    chance = float((between >= between[0] * (1 - 1e-9)).mean())
    if whole <= by_chance * (1 + 1e-9):
        return _Effect(0.0, 1.0)
    part = whole / float(((places - places.mean()) ** 2).sum())
    return _Effect(part * max(0.0, float(between[0]) - by_chance) / (whole - by_chance), chance)


def _rankings(places: np.ndarray) -> np.ndarray:
    """The trials' places around their mean, and as many random exchanges of them among neighbours, a column each."""
    generator, centred = np.random.default_rng(0), places - places.mean()
    parts = np.array_split(centred, max(1, len(centred) // NEIGHBOURS))
    exchanged = (np.concatenate([generator.permutation(part) for part in parts]) for _ in range(RANKINGS))
    return np.stack([centred, *exchanged], axis=1)


def _groups(values: Sequence[Any]) -> np.ndarray:
    """Number of the group that each trial is in: its value, or the part of the range where numbers have many."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(values) and len(set(numbers)) > GROUPS:
        cuts = np.quantile(numbers, [part / GROUPS for part in range(1, GROUPS)])
        return np.searchsorted(cuts, numbers)
    names = sorted({repr(value) for value in values})
    return np.array([names.index(repr(value)) for value in values])


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

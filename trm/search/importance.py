"""What mattered in a sweep: which knobs told the good third of a rung's trials from the others, and what follows from them.

Trials are compared at one rung at a time, each by what it had reached there, though it may have gone further since: so nobody is
better for having been let go on, and nobody worse for having been stopped. The rung that most trials reached tells most; those
of a later one were chosen by their scores, and what chose them hardly differs among them any more.

The measure is Optuna's PED-ANOVA (arXiv 2304.10255; with conditional knobs 2601.20800). It looks at one axis at a time, so that
what knobs imply (depth, FLOPs, parameters) may stand beside them; a forest (fANOVA) would divide the merit among axes that say
the same. A measure is never 0, though, however little there is to be seen: `chance` says how often as much shows when the same
trials are ranked at random.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from trm.atomic import write_text_atomic
from trm.search.search import Search
from trm.search.study_view import distribution
from trm.search.trial import Trial

FILE = "importance.json"
LEAST_TRIALS = 10
"""Trials at a rung, below which nothing is said of it."""
MOST_TRIALS = 1000
"""Of a rung with more, so many evenly spread ones are looked at: the answer is as good, and takes half a second."""
GOOD_SHARE = 1 / 3
"""Of a rung's trials: the measure compares how they are spread with how all are."""
CLEAR_CHANCE = 0.05
"""An axis is said to have mattered when no more of the random rankings show as much."""
RANKINGS = 999
GROUPS = 4
"""Of about equal size, into which an axis with more values is cut for `chance`."""
SHOWN_AXES = 3
DERIVED: Mapping[str, str] = {
    "effective_depth": "effective depth",
    "step_flops": "training FLOPs a step",
    "params_count": "parameters",
}
"""What knobs imply: H_cycles (L_cycles + 1) L_layers, the layers that a row passes in one supervision step; cost; size."""


@dataclass(frozen=True)
class Axis:
    """A knob, or what knobs imply, and how much it mattered at a rung."""

    name: str
    """The knob's path, or a key of `DERIVED`."""
    kind: Literal["knob", "derived"]
    importance: float
    """As a share of that of all knobs together; a derived axis may say what several knobs say."""
    chance: float
    """Share of random rankings of the same trials in which the axis's groups differ as much."""
    trials: int
    """In which it had a value."""

    @property
    def is_clear(self) -> bool:
        """Whether more is to be seen than chance shows."""
        return self.chance <= CLEAR_CHANCE


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
    """The most important first."""
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
    """Those that at least `LEAST_TRIALS` trials reached."""
    telling: int | None
    """The rung that most trials reached, of two the later one; null: there are too few trials anywhere."""

    @property
    def told(self) -> RungImportance | None:
        """That rung."""
        return next((one for one in self.rungs if one.rung == self.telling), None)


def importance(search: Search) -> Importance:
    """What mattered in `search` so far, rung by rung; trials that confirm others do not count."""
    reached = {rung: _scored(search.searched, rung) for rung in range(len(search.rungs.amounts))}
    reached = {rung: there for rung, there in reached.items() if len(there) >= LEAST_TRIALS}
    objective = search.space.objective
    return Importance(
        name=search.started.name if search.started is not None else search.space.name,
        metric=objective.metric,
        mode=objective.mode,
        fidelity=search.space.fidelity,
        rungs=tuple(_at_rung(search, rung, there) for rung, there in reached.items()),
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
    """Those that it had on its way there."""
    objective: float
    loss: float
    """Infinite when unknown."""


def _scored(trials: Sequence[Trial], rung: int) -> list[_Scored]:
    found = []
    for trial in trials:
        result = trial.results.get(rung)
        if result is not None and result.objective is not None and math.isfinite(result.objective):
            before = [one.params for one in trial.adoptions if one.rung < rung]
            tie = trial.tie(rung)
            loss = math.inf if tie is None else tie
            found.append(_Scored(trial, before[-1] if before else trial.asked.params, result.objective, loss))
    return found


def _at_rung(search: Search, rung: int, there: list[_Scored]) -> RungImportance:
    looked_at = [there[index * len(there) // MOST_TRIALS] for index in range(MOST_TRIALS)] if len(there) > MOST_TRIALS else there
    places = _places(looked_at, search.space.objective.mode)
    return RungImportance(rung, search.rungs.amounts[rung], len(there), _axes(search, looked_at, places), _map(search, there))


def _places(there: Sequence[_Scored], mode: Literal["max", "min"]) -> np.ndarray:
    """Rank of each trial, the best has the highest: by objective, then by loss, as the rung ranks; equal ones share theirs."""
    sign = 1.0 if mode == "max" else -1.0
    keys = [(sign * one.objective, -one.loss) for one in there]
    order = {key: index for index, key in enumerate(sorted(set(keys)))}
    levels = np.array([order[key] for key in keys])
    counts = np.bincount(levels)
    middles = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middles[levels], dtype=np.float64)


def _axes(search: Search, there: Sequence[_Scored], places: np.ndarray) -> tuple[Axis, ...]:
    recursion = _recursions(search, there)
    derived: dict[str, list[float]] = {
        "effective_depth": [one.effective_depth for one in recursion],
        "step_flops": [one.trial.asked.step_flops for one in there],
        "params_count": [float(one.trial.asked.params_count) for one in there],
    }
    values = [dict(one.params) | {name: column[index] for name, column in derived.items()} for index, one in enumerate(there)]
    knobs = search.space.search
    distributions: dict[str, BaseDistribution] = {path: distribution(knob) for path, knob in knobs.items()}
    for name, column in derived.items():
        distributions[name] = FloatDistribution(min(column), max(column), log=min(column) > 0)
    differing = [name for name in distributions if len({repr(one.get(name)) for one in values}) > 1]
    if not differing or len(np.unique(places)) == 1:
        return ()
    measured = _measured(differing, values, distributions, places)
    rankings = _rankings(places)
    whole = sum(measured[name] for name in differing if name in knobs) or 1.0
    axes = [
        Axis(
            name=name,
            kind="knob" if name in knobs else "derived",
            importance=measured[name] / whole,
            chance=_chance([one.get(name) for one in values], rankings),
            trials=sum(name in one for one in values),
        )
        for name in differing
    ]
    return tuple(sorted(axes, key=lambda axis: (-axis.importance, axis.name)))


def _measured(
    names: Sequence[str], values: Sequence[Mapping[str, Any]], distributions: Mapping[str, BaseDistribution], places: np.ndarray
) -> dict[str, float]:
    study = optuna.create_study(direction="maximize")
    for one, place in zip(values, places, strict=True):
        params = {name: one[name] for name in names if name in one}
        study.add_trial(create_trial(params=params, distributions={name: distributions[name] for name in params}, value=place))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=GOOD_SHARE)
    found = get_param_importances(study, evaluator=evaluator)
    return {name: float(found.get(name, 0.0)) for name in names}


def _rankings(places: np.ndarray) -> np.ndarray:
    """The trials' places around their mean, and as many random permutations of them, a column each."""
    generator, centred = np.random.default_rng(0), places - places.mean()
    return np.stack([centred, *(generator.permutation(centred) for _ in range(RANKINGS))], axis=1)


def _chance(values: Sequence[Any], rankings: np.ndarray) -> float:
    """Share of the rankings, the true one included, in which an axis's groups differ as much (Kruskal and Wallis 1952)."""
    groups = _groups(values)
    members = np.stack([groups == group for group in np.unique(groups)]).astype(np.float64)
    spread = ((members @ rankings) ** 2 / members.sum(1)[:, None]).sum(0)
    return float((spread >= spread[0] * (1 - 1e-9)).mean())


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
    L_layers: int

    @property
    def effective_depth(self) -> float:
        """Layers that a row passes in one supervision step (arXiv 2510.04871, section 4)."""
        return float(self.H_cycles * (self.L_cycles + 1) * self.L_layers)


def _recursions(search: Search, there: Sequence[_Scored]) -> list[_Recursion]:
    """Each trial's, searched or the base's."""
    model = search.space.run_config(there[0].params, seed=0).model
    fixed = {f"model.{name}": int(getattr(model, name)) for name in _Recursion._fields}
    return [_Recursion(*(int(one.params.get(path, value)) for path, value in fixed.items())) for one in there]


def _map(search: Search, there: Sequence[_Scored]) -> tuple[Cell, ...]:
    cells: dict[tuple[int, int], list[float]] = {}
    for one, scored in zip(_recursions(search, there), there, strict=True):
        cells.setdefault((one.H_cycles, one.L_cycles), []).append(scored.objective)
    best = max if search.space.objective.mode == "max" else min
    return tuple(Cell(*place, len(found), sum(found) / len(found), best(found)) for place, found in sorted(cells.items()))

"""From replayed sweeps to figures: what a contender needs and how well it chooses, with intervals over repetitions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.search.contenders import Contender
from benchmarks.search.peers import Limits
from benchmarks.search.replay import History
from benchmarks.search.tables import Table

TRIALS = (10, 25, 50)
"""Lengths of sweeps after which the regret is looked at."""
BUDGETS = tuple(float(2**power) for power in np.arange(-2, 6.01, 0.25))
"""Training FLOPs after which it is looked at, in trials of full length."""
MOST_TRIALS = 400
RESAMPLES = 2000

Interval = tuple[float, float, float]
"""Value, and the ends of its 95 % interval."""


@dataclass(frozen=True)
class Outcome:
    """One repetition; FLOPs in trials of full length."""

    regrets: Mapping[int, float]
    """Sweep of so many trials -> true accuracy lost at its end."""
    spent: Mapping[int, float]
    """Sweep of so many trials -> what it took."""
    first: float
    """Until the incumbent is within a seed's noise of the best for the first time; the cap when it never is."""
    kept: float
    """Until it is and stays so; the cap when it is not at the end."""
    is_capped: bool
    by_budget: np.ndarray
    """Regret at each of `BUDGETS`."""
    seconds: float
    trained_seconds: float


def outcome(contender: Contender, table: Table, seed: int) -> Outcome:
    """A repetition: sweeps of `TRIALS`, and one that goes on until the cap, the compute of the whole table once."""
    cap = float(len(table.params))
    per_trial = table.space.budget.per_trial
    most = min(MOST_TRIALS, len(table.params)) if contender.ends_with_the_space else MOST_TRIALS
    longest = contender.sweep(table, seed, Limits(most, cap * per_trial))
    short = {}
    for trials in TRIALS:
        is_prefix = not contender.ends_with_the_space
        short[trials] = _prefix(longest, trials) if is_prefix else contender.sweep(table, seed, Limits(trials))
    first = longest.flops_until(table.good)
    return Outcome(
        regrets={trials: table.regret(history.moments[-1].incumbent) for trials, history in short.items()},
        spent={trials: history.moments[-1].train_flops / per_trial for trials, history in short.items()},
        first=cap if first is None else min(cap, first / per_trial),
        kept=_kept(longest, table, cap),
        is_capped=first is None or first / per_trial > cap,
        by_budget=np.array([table.regret(longest.incumbent_after(budget * per_trial)) for budget in BUDGETS]),
        seconds=longest.seconds,
        trained_seconds=longest.trained_seconds,
    )


def _prefix(history: History, trials: int) -> History:
    return History(moments=history.moments[:trials])


def _kept(history: History, table: Table, cap: float) -> float:
    bad = [index for index, moment in enumerate(history.moments) if moment.incumbent not in table.good]
    index = bad[-1] + 1 if bad else 0
    return history.moments[index].train_flops / table.space.budget.per_trial if index < len(history.moments) else cap


def interval(values: Sequence[float], statistic: Callable[..., np.ndarray] = np.mean) -> Interval:
    """A statistic of repetitions with its bootstrap interval."""
    array = np.asarray(values, dtype=float)
    drawn = statistic(_resampled(array, 0), axis=1)
    return (float(statistic(array)), *_ends(drawn))


def ratio(ours: Sequence[float], others: Sequence[float]) -> Interval:
    """Ratio of means of two independent sets of repetitions."""
    one, other = np.asarray(ours, dtype=float), np.asarray(others, dtype=float)
    drawn = _resampled(one, 0).mean(axis=1) / _resampled(other, 1).mean(axis=1)
    return (float(one.mean() / other.mean()), *_ends(drawn))


def difference(ours: Sequence[float], others: Sequence[float]) -> Interval:
    """Difference of means of two independent sets of repetitions."""
    one, other = np.asarray(ours, dtype=float), np.asarray(others, dtype=float)
    drawn = _resampled(one, 0).mean(axis=1) - _resampled(other, 1).mean(axis=1)
    return (float(one.mean() - other.mean()), *_ends(drawn))


def _resampled(values: np.ndarray, stream: int) -> np.ndarray:
    draw = np.random.default_rng(stream)
    return values[draw.integers(0, len(values), (RESAMPLES, len(values)))]


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)

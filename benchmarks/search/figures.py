"""From replayed sweeps to figures: what a contender needs and how well it chooses, with intervals over repetitions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.search.contenders import Contender
from benchmarks.search.peers import Limits
from benchmarks.search.replay import History
from benchmarks.search.tables import Table

TRIALS = (10, 25, 50)
"""Lengths of sweeps after which the regret is looked at."""
BUDGETS = tuple(float(2**power) for power in np.arange(-2, 4.01, 0.25))
"""Training FLOPs after which it is looked at, in trials of full length."""
MOST_TRIALS = 1000
SEEDS_APART = 1_000_000
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
    reach: float
    """Until the incumbent is within a seed's noise of the best; the cap when it never is."""
    is_capped: bool
    by_budget: np.ndarray
    """Regret at each of `BUDGETS`."""
    seconds: float
    trained_seconds: float


def outcome(contender: Contender, table: Table, seed: int) -> Outcome:
    """A repetition: sweeps of `TRIALS`, and one that goes on until it is there, at most until the cap."""
    cap, per_trial = float(len(table.params)), table.space.budget.per_trial
    if contender.ends_with_the_space:
        longest = _sweeps(contender, table, seed, cap * per_trial)
        sweeps = {trials: contender.sweep(table, seed, Limits(trials)) for trials in TRIALS}
    else:
        longest = contender.sweep(table, seed, Limits(MOST_TRIALS, cap * per_trial, least=(max(TRIALS), BUDGETS[-1] * per_trial)))
        sweeps = {trials: History(moments=longest.moments[:trials]) for trials in TRIALS}
    flops = longest.flops_until(table.good)
    return Outcome(
        regrets={trials: table.regret(history.moments[-1].incumbent) for trials, history in sweeps.items()},
        spent={trials: history.moments[-1].train_flops / per_trial for trials, history in sweeps.items()},
        reach=cap if flops is None else min(cap, flops / per_trial),
        is_capped=flops is None or flops / per_trial > cap,
        by_budget=np.array([table.regret(longest.incumbent_after(budget * per_trial)) for budget in BUDGETS]),
        seconds=longest.seconds,
        trained_seconds=longest.trained_seconds,
    )


def _sweeps(contender: Contender, table: Table, seed: int, cap: float) -> History:
    """Sweep after sweep of the whole space, each with a seed of its own, until one is there; the best of all is reported."""
    whole = contender.sweep(table, seed, Limits(len(table.params)))
    turn = 0
    while whole.flops_until(table.good) is None and (spent := whole.moments[-1].train_flops) < cap:
        turn += 1
        more, before = contender.sweep(table, seed + turn * SEEDS_APART, Limits(len(table.params))), whole.moments[-1]
        for moment in more.moments:
            best = moment if moment.objective > before.objective else before
            whole.moments.append(replace(best, trials=before.trials + moment.trials, train_flops=spent + moment.train_flops))
        whole.seconds += more.seconds
        whole.trained_seconds += more.trained_seconds
    return whole


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

"""How many trials a scheduler is expected to score at each rung: a forecast for time and compute, not a promise."""

from trm.search.schedulers.brackets import Brackets
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.settings import (
    Asha,
    Hyperband,
    MedianStopping,
    NoScheduler,
    PopulationBasedTraining,
    Scheduler,
    SuccessiveHalving,
)

MEDIAN_SHARE = 0.6
"""Of the trials beyond `min_trials`, those that median stopping keeps at the first rung; while curves rise, means lag behind, and
hardly anybody is stopped later."""


def expected_reach(scheduler: Scheduler, rungs: Rungs, trials: int) -> tuple[float, ...]:
    """Trials scored at each rung when `trials` are asked and nobody ends early; of a rung that halves, its quota goes on."""
    count = len(rungs.amounts)
    match scheduler:
        case Asha():
            return _halved(trials, rungs.eta, 0, count)
        case SuccessiveHalving() | Hyperband():
            return _in_brackets(Brackets.of(scheduler), scheduler.eta, trials, count)
        case MedianStopping():
            return _above_the_median(scheduler.min_trials, trials, count)
        case PopulationBasedTraining() | NoScheduler():
            return (float(trials),) * count


def expected_starts(scheduler: Scheduler, rungs: Rungs, trials: int) -> tuple[float, ...]:
    """Of `trials` asked, those whose first score is at each rung; the others that are scored there come from the rung before."""
    starts = [0.0] * len(rungs.amounts)
    if not isinstance(scheduler, Hyperband):
        starts[0] = float(trials)
        return tuple(starts)
    brackets, asked, group = Brackets.of(scheduler), 0, 0
    while asked < trials:
        size = min(brackets.start(group + 1), trials) - asked
        starts[brackets.bracket(group).first_rung] += size
        asked += size
        group += 1
    return tuple(starts)


def _halved(trials: int, eta: int, first: int, count: int) -> tuple[float, ...]:
    reaching, left = [0.0] * first, float(trials)
    for _ in range(first, count):
        reaching.append(left)
        left = left // eta if left >= eta else left
    return tuple(reaching)


def _in_brackets(brackets: Brackets, eta: int, trials: int, count: int) -> tuple[float, ...]:
    total, group, asked = [0.0] * count, 0, 0
    while asked < trials:
        size = min(brackets.start(group + 1), trials) - asked
        one = _halved(size, eta, brackets.bracket(group).first_rung, count)
        total = [before + more for before, more in zip(total, one, strict=True)]
        asked += size
        group += 1
    return tuple(total)


def _above_the_median(min_trials: int, trials: int, count: int) -> tuple[float, ...]:
    spared = min(trials, min_trials)
    return (float(trials), *[spared + (trials - spared) * MEDIAN_SHARE] * (count - 1))

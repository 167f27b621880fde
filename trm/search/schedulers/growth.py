"""How the rungs of a sweep go on when a resume gives its trials more compute."""

import math

from trm.errors import SweepError
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


def grown(scheduler: Scheduler, rungs: Rungs, per_trial: float) -> Rungs:
    """`rungs`, and those that follow up to `per_trial`; SweepError, with the nearest amount allowed, for what cannot follow.

    Halving goes on by factors of eta, median stopping at its distance, and without a scheduler any larger amount is one more rung.
    The sizes of hyperband's brackets hang on the number of rungs, and a population ends with its last generation: neither grows.
    """
    last = rungs.amounts[-1]
    if is_same_length(per_trial, last):
        return rungs
    match scheduler:
        case Hyperband() | PopulationBasedTraining():
            raise _refused(scheduler, last, per_trial, f"{last:g}, as before, and start a sweep of its own for more")
        case Asha() | SuccessiveHalving():
            factor, step = float(rungs.eta), 0.0
        case MedianStopping():
            factor, step = 1.0, rungs.amounts[0]
        case NoScheduler():
            factor, step = 1.0, max(0.0, per_trial - last)
    amounts = [*rungs.amounts]
    while step + (factor - 1) > 0 and amounts[-1] < per_trial and not is_same_length(amounts[-1], per_trial):
        amounts.append(amounts[-1] * factor + step)
    if not is_same_length(amounts[-1], per_trial):
        raise _refused(
            scheduler,
            last,
            per_trial,
            " or ".join(f"{amount:g}" for amount in amounts[max(len(rungs.amounts) - 1, len(amounts) - 2) :]),
        )
    return Rungs(tuple(amounts), rungs.eta)


def is_same_length(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)


def _refused(scheduler: Scheduler, last: float, per_trial: float, remedy: str) -> SweepError:
    return SweepError(
        f"scheduler {scheduler.type} cannot take trials of budget.per_trial {last:g} on to {per_trial:g}",
        remedy=f"set budget.per_trial to {remedy}",
    )

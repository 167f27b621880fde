"""How the rungs of a sweep go on when a resume gives its trials more compute."""

import math

from trm.errors import SweepError
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import SchedulerSettings


def grown(scheduler: SchedulerSettings, rungs: Rungs, per_trial: float) -> Rungs:
    """`rungs`, and those that follow up to `per_trial`; SweepError, with the nearest amount allowed, for what cannot follow."""
    last = rungs.amounts[-1]
    if is_same_length(per_trial, last):
        return rungs
    amounts = [*rungs.amounts]
    while amounts[-1] < per_trial and not is_same_length(amounts[-1], per_trial):
        following = scheduler.following(rungs, amounts[-1], per_trial)
        if following is None:
            raise _refused(scheduler, last, per_trial, f"{last:g}, as before, and start a sweep of its own for more")
        amounts.append(following)
    if not is_same_length(amounts[-1], per_trial):
        nearest = amounts[max(len(rungs.amounts) - 1, len(amounts) - 2) :]
        raise _refused(scheduler, last, per_trial, " or ".join(f"{amount:g}" for amount in nearest))
    return Rungs(tuple(amounts), rungs.eta)


def is_same_length(one: float, other: float) -> bool:
    """Whether two lengths differ by rounding alone."""
    return math.isclose(one, other, rel_tol=1e-6)


def _refused(scheduler: SchedulerSettings, last: float, per_trial: float, remedy: str) -> SweepError:
    return SweepError(
        f"scheduler {scheduler.type} cannot take trials of budget.per_trial {last:g} on to {per_trial:g}",
        remedy=f"set budget.per_trial to {remedy}",
    )

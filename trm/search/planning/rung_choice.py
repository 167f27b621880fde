"""How many rungs, and how far apart: chosen from the budget where the space leaves it open, once, before the sweep starts.

The choice is written into the space (`sweep.yaml`), so that a resume and a replay find it there. `benchmarks/search` is where the
figures come from (docs/how/planning.md): neighbouring rungs rank alike, distant ones do not, so halving stops fewer by mistake than
thirds do, and costs no more.
"""

import math

from trm.search.planning.preflight import length_in_needs
from trm.search.planning.survey import Survey
from trm.search.schedulers.asha import Asha
from trm.search.space.space import SearchSpace

CHOSEN_ETA = 2
MOST_RUNGS = 4
"""The first at an eighth of a trial: scores at less rank at random where curves rise late."""


def with_rungs(survey: Survey) -> Survey:
    """`survey` with its scheduler's rungs and eta filled in; itself where nothing is left open. ConfigError as `check_space`."""
    space = survey.space
    scheduler = space.scheduler
    if not isinstance(scheduler, Asha) or None not in (scheduler.eta, scheduler.rungs):
        return survey
    # How many steps a trial of so many seconds makes is not known before speeds are measured.
    length = math.inf if space.fidelity == "seconds" else length_in_needs(survey)
    eta = scheduler.eta or CHOSEN_ETA
    rungs = scheduler.rungs or _rungs(eta, length, space.budget.trials)
    return survey.with_rungs(scheduler.model_copy(update={"eta": eta, "rungs": rungs}))


def as_begun(space: SearchSpace, begun: SearchSpace) -> SearchSpace:
    """`space` with what its scheduler leaves open as the sweep of `begun` has it."""
    scheduler, before = space.scheduler, begun.scheduler
    if not isinstance(scheduler, Asha) or not isinstance(before, Asha):
        return space
    filled = {"eta": scheduler.eta or before.eta, "rungs": scheduler.rungs or before.rungs}
    return space.model_copy(update={"scheduler": scheduler.model_copy(update=filled)})


def _rungs(eta: int, length: float, trials: int | None) -> int:
    """As many as leave the first one long enough and bring one of `trials` to the last by its rank, at most `MOST_RUNGS`."""
    most = min(length, math.inf if trials is None else trials)
    return next(count for count in range(MOST_RUNGS, 0, -1) if count == 1 or eta ** (count - 1) <= most * (1 + 1e-9))

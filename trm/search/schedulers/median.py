"""Median stopping (Golovin et al. 2017, section 3.2.2)."""

import statistics
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from trm.search.order import Score
from trm.search.schedulers.complete import rank_text
from trm.search.schedulers.run_to_end import RunToEnd
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import Decision, Scheduler, SchedulerContext, SchedulerSettings, SearchedKnobs


class MedianStopping(SchedulerSettings):
    """Median stopping (Golovin et al. 2017, section 3.2.2): trials stop whose best score is below the median of means."""

    knows_outcomes: ClassVar[bool] = False

    type: Literal["median"] = "median"
    """Names the scheduler."""
    rungs: int = Field(5, ge=1, le=100)
    """Rungs at even distances, the last at `budget.per_trial`."""
    min_trials: int = Field(5, ge=2)
    """Other trials scored at a rung before any is stopped there."""

    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """Stops by the median."""
        return Median(self.min_trials)

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """Rungs at even distances."""
        return Rungs.even(per_trial, self.rungs)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """At the distance of those before."""
        return amount + rungs.amounts[0]


class Median(RunToEnd):
    """A trial is stopped at a rung where its best score so far is worse than the median of the others' means so far.

    Only scores up to that rung count, and only trials that reached it. With fewer than `min_trials` others nobody is stopped; at
    a flat rung only the half with the larger losses is; whoever is within one standard error of the median goes on.
    With several objectives there is no median: the first half of the rung goes on as it ranks by Pareto fronts there.
    """

    def __init__(self, min_trials: int) -> None:
        """Stops nobody before so many others were scored at a rung."""
        self._min_trials = min_trials

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Goes on or is stopped."""
        rungs = context.rungs[0][: rung + 1]
        where = rank_text(context, 0, trial, rung)
        others = [other for other in rungs[rung].ranked if other != trial]
        if len(others) < self._min_trials:
            return Decision("running", f"{where}, of which {self._min_trials} others are wanted")
        if rungs[rung].is_flat or rungs[rung].has_fronts:
            stays = rungs[rung].is_survivor(trial)
            return Decision(
                "running" if stays else "stopped", f"{where}, which ranks by {'loss' if rungs[rung].is_flat else 'front'}"
            )
        sums = [sum(score.objective for score in _scores(rungs, other)) for other in others]
        median = statistics.median(sums) / len(rungs)
        best = _best(rungs, trial)
        stays = not rungs[rung].order.is_better(median, best.objective) or rungs[rung].is_near(best, median)
        return Decision(
            "running" if stays else "stopped", f"best {best.objective:.4g}, median of means {median:.4g} at rung {rung}"
        )

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Trials that are paused at what was the last rung before the rungs grew, and would have been stopped there."""
        paused = ((rung, trial) for rung, board in enumerate(context.rungs.get(0, [])[:-1]) for trial in board.paused)
        decisions = [(trial, self.decision(context, trial, rung)) for rung, trial in paused if trial in context.paused]
        return [(trial, decision.reason) for trial, decision in decisions if decision.status == "stopped"]


def _best(rungs: Sequence[Rung], trial: int) -> Score:
    best, *later = _scores(rungs, trial)
    for score in later:
        best = score if rungs[0].order.is_better(score.objective, best.objective) else best
    return best


def _scores(rungs: Sequence[Rung], trial: int) -> list[Score]:
    return [board.score(trial) for board in rungs]

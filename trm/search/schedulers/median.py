"""Median stopping (Golovin et al. 2017, section 3.2.2)."""

import statistics
from collections.abc import Sequence

from trm.search.order import Score
from trm.search.schedulers.run_to_end import Unstopped
from trm.search.schedulers.rung import Rung
from trm.search.schedulers.scheduler import Standing, Verdict
from trm.search.schedulers.settings import MedianStopping
from trm.search.schedulers.settled import place


class Median(Unstopped):
    """A trial is stopped at a rung where its best score so far is worse than the median of the others' means so far.

    Only scores up to that rung count, and only trials that reached it. With fewer than `min_trials` others nobody is stopped; at
    a flat rung only the half with the larger losses is; whoever is within one standard error of the median goes on.
    With several objectives there is no median: the first half of the rung goes on as it ranks by Pareto fronts there.
    """

    def __init__(self, scheduler: MedianStopping) -> None:
        """With the scheduler's `min_trials`."""
        self._min_trials = scheduler.min_trials

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Goes on or is stopped."""
        boards = standing.boards[0][: rung + 1]
        where = place(standing, 0, trial, rung)
        others = [other for other in boards[rung].ranked if other != trial]
        if len(others) < self._min_trials:
            return Verdict("running", f"{where}, of which {self._min_trials} others are wanted")
        if boards[rung].is_flat or boards[rung].has_fronts:
            stays = boards[rung].is_survivor(trial)
            return Verdict(
                "running" if stays else "stopped", f"{where}, which ranks by {'loss' if boards[rung].is_flat else 'front'}"
            )
        median = statistics.median([sum(score.objective for score in _scores(boards, other)) for other in others]) / len(boards)
        best = _best(boards, trial)
        stays = not boards[rung].order.is_better(median, best.objective) or boards[rung].is_near(best, median)
        return Verdict("running" if stays else "stopped", f"best {best.objective:.4g}, median of means {median:.4g} at rung {rung}")

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Those who rest at what was the last rung before the rungs grew, and would have been stopped there."""
        resting = ((rung, trial) for rung, board in enumerate(standing.boards.get(0, [])[:-1]) for trial in board.resting)
        verdicts = [(trial, self.verdict(standing, trial, rung)) for rung, trial in resting if trial in standing.paused]
        return [(trial, verdict.reason) for trial, verdict in verdicts if verdict.status == "stopped"]


def _best(boards: Sequence[Rung], trial: int) -> Score:
    best, *later = _scores(boards, trial)
    for score in later:
        best = score if boards[0].order.is_better(score.objective, best.objective) else best
    return best


def _scores(boards: Sequence[Rung], trial: int) -> list[Score]:
    return [board.score(trial) for board in boards]

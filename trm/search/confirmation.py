"""Which of the best trials is really the best: seeds that the search never saw, and what they prove.

A search's own score of its winner was selected for being high, so it says too much of it (the winner's curse); only scores of
fresh seeds count here. `scores` are those, by candidate: the trial whose configuration they repeat. A run that came to no score
counts as the worst one (`math.nan`).
"""

from collections.abc import Mapping, Sequence

from trm.search.settings import Confirm
from trm.stats.best_of import Mode, p_best


def next_to_confirm(
    scores: Mapping[int, Sequence[float]], running: Mapping[int, int], confirm: Confirm, mode: Mode, seed: int
) -> int | None:
    """The candidate that gets the next fresh seed; None: none for now, and when nothing runs, none any more.

    Every candidate gets `confirm.seeds` first, the one with the fewest before the others. Then the likeliest winner and those
    that could still win, one run of each at a time, the one with the fewest seeds first, until one is the best with
    `confirm.certainty` or all of them have `confirm.most_seeds`. All candidates are keys of `scores`, with no scores at first.
    """
    given = {trial: len(found) + running.get(trial, 0) for trial, found in scores.items()}
    if short := [trial for trial, count in given.items() if count < confirm.seeds]:
        return min(short, key=lambda trial: given[trial])
    if len(scores) < 2 or any(len(found) < confirm.seeds for found in scores.values()):
        return None
    likely = p_best(scores, mode, seed)
    if max(likely.values()) >= confirm.certainty:
        return None
    could_win = [trial for trial, p in likely.items() if p >= (1 - confirm.certainty) / len(likely)]
    open_ones = [trial for trial in could_win if given[trial] < confirm.most_seeds and not running.get(trial)]
    return min(open_ones, key=lambda trial: (given[trial], -likely[trial]), default=None)

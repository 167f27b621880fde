"""Whether a rung tells of the end: where nearly nobody has risen, only once finished trials show that it foretold them.

A recursive model's accuracy rises late and suddenly. Before it does, scores at zero are told apart by the loss, and that may say
little of the end: of 131 recorded runs of 6x6 Sudoku (`benchmarks/search/tables/continuous`) the loss at an eighth of the length
has a rank correlation of 0.30 with the final accuracy, and of -0.17 among the better half. Where it does say something is seen
from the trials that were trained on regardless: nobody has chosen them, so that they show it without bias.
"""

import bisect
import heapq
from collections.abc import Sequence

from trm.search.schedulers.rung import Rung

FEWEST = 5
"""Finished trials before they show anything: ten pairs of them."""
MOST = 100
"""Finished trials that are looked at, the newest: those of where the search is now."""
AGREEMENT = 0.4
"""Kendall's tau between the rung and the end from which on the rung is trusted: seven of ten pairs stand alike."""


def open_rungs(rungs: Sequence[Rung]) -> list[int]:
    """Rungs that do not tell of the end and at which trials rest, all of whom go on."""
    return [index for index, rung in enumerate(rungs[:-1]) if not tells(rung, rungs[-1]) and rung.paused]


def tells(rung: Rung, last: Rung) -> bool:
    """Whether enough trials have risen at `rung` to rank them, or those that came to `last` show that it ranks them anyway."""
    if not rung.is_unrisen:
        return True
    finished = last.ranked
    if len(finished) > MOST:
        newest = set(heapq.nlargest(MOST, finished))
        finished = [trial for trial in finished if trial in newest]
    return len(finished) >= FEWEST and agreement([rung.rank(trial) for trial in finished]) >= AGREEMENT


def agreement(places: Sequence[int]) -> float:
    """Kendall's tau between an order and another, given by each one's place in the other: 1 the same order, -1 the reverse.

    Places are at least two, all different (Kendall 1938).
    """
    before: list[int] = []
    swapped = 0
    for place in places:
        index = bisect.bisect(before, place)
        swapped += len(before) - index
        before.insert(index, place)
    return 1.0 - 4.0 * swapped / (len(places) * (len(places) - 1))

"""Asynchronous successive halving: pausing and promoting (arXiv 1810.05934, algorithm 2), or stopping only."""

import sys
from collections.abc import Sequence

from trm.search.schedulers.run_to_end import Unstopped
from trm.search.schedulers.scheduler import Adoption, Standing, Verdict
from trm.search.schedulers.settled import is_settled, left_behind_in, place

EVERYONE = range(sys.maxsize)


class PromotingAsha:
    """While trials still arrive, the best 1/eta of a rung go on; when none can arrive, its survivors do (see `rung.py`)."""

    def group(self, trial: int) -> int:
        """All trials are one group."""
        return 0

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Rests until it is promoted or left behind."""
        return Verdict("paused", place(standing, 0, trial, rung))

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Those of settled rungs who are no survivors."""
        return left_behind_in(standing, 0, EVERYONE)

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """None."""
        return ()

    def promotion(self, standing: Standing) -> int | None:
        """The best that may go on, from the highest rung that has one."""
        boards = standing.boards.get(0, [])
        for rung in range(len(boards) - 2, -1, -1):
            best = boards[rung].promotable()
            if best is None and is_settled(standing, 0, rung, EVERYONE):
                best = boards[rung].resting_survivor()
            if best is not None:
                return best
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True


class StoppingAsha(Unstopped):
    """A trial that is scored goes on at once if it would survive its rung as that stands, or is stopped for good.

    Who arrives early meets few others and goes on more easily: what becomes of a trial depends on when it arrives, as in every
    scheduler that never waits.
    """

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Goes on or is stopped."""
        goes_on = standing.boards[0][rung].is_survivor(trial)
        return Verdict("running" if goes_on else "stopped", place(standing, 0, trial, rung))

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Those who rest at what was the last rung before the rungs grew, and are no survivors of it."""
        return left_behind_in(standing, 0, range(0))

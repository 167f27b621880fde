"""No scheduler; what it says of everything but a score, others say too that never let a trial wait."""

from collections.abc import Sequence

from trm.search.schedulers.scheduler import Adoption, Standing, Verdict
from trm.search.schedulers.settled import place


class Unstopped:
    """Every trial goes on to its end."""

    def group(self, trial: int) -> int:
        """All trials are one group."""
        return 0

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Goes on."""
        return Verdict("running", place(standing, 0, trial, rung))

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """None."""
        return ()

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """None."""
        return ()

    def promotion(self, standing: Standing) -> int | None:
        """The best of those that rest at what was the last rung before the rungs grew, and are not stopped there.

        A sweep that ended before their turn came has stopped them too: the verdict on them tells, not what they are called.
        """
        boards = standing.boards.get(0, [])
        for rung in range(len(boards) - 2, -1, -1):
            for trial in boards[rung].resting:
                if self.verdict(standing, trial, rung).status == "running":
                    return trial
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True

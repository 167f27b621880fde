"""No scheduler; what it says of everything but a score, others say too that never let a trial wait."""

from collections.abc import Sequence

from trm.search.policies.policy import Adoption, Standing, Verdict
from trm.search.policies.settling import place


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
        """The best of those that rest at what was the last rung before the rungs grew."""
        for board in reversed(standing.boards.get(0, [])[:-1]):
            for trial in board.resting:
                if trial in standing.paused:
                    return trial
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True

"""Synchronous successive halving (arXiv 1502.07943) and hyperband (arXiv 1603.06560): a bracket is scored whole, then halved."""

from collections.abc import Sequence

from trm.search.schedulers.brackets import Brackets
from trm.search.schedulers.scheduler import Adoption, Standing, Verdict
from trm.search.schedulers.settled import is_settled, left_behind_in, place


class SynchronousHalving:
    """The survivors of a rung go on when every trial of the bracket that can still reach it has (see `trm.search.schedulers.rung`).

    A slot that a bracket leaves free, because it waits for its slowest, takes trials of the next. A bracket that asking ended
    before it was full is halved with the trials it has.
    """

    def __init__(self, brackets: Brackets) -> None:
        """Halves `brackets`, one after the other."""
        self._brackets = brackets

    def group(self, trial: int) -> int:
        """The bracket that its number falls into."""
        return self._brackets.group(trial)

    def first_rung(self, trial: int) -> int:
        """Where its bracket starts."""
        return self._brackets.bracket(self.group(trial)).first_rung

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Rests until its bracket is halved."""
        return Verdict("paused", place(standing, self.group(trial), trial, rung))

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Those of settled rungs who are no survivors."""
        groups = sorted({self.group(trial) for trial in standing.paused})
        return [stop for group in groups for stop in left_behind_in(standing, group, self._members(group))]

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """None."""
        return ()

    def promotion(self, standing: Standing) -> int | None:
        """The best survivor of the oldest bracket that has one, from its highest rung."""
        for group in sorted(standing.boards):
            boards = standing.boards[group]
            for rung in range(len(boards) - 2, -1, -1):
                best = boards[rung].resting_survivor()
                if best is not None and is_settled(standing, group, rung, self._members(group)):
                    return best
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True

    def _members(self, group: int) -> range:
        return range(self._brackets.start(group), self._brackets.start(group + 1))

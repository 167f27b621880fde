"""Cohorts and brackets: which trials are halved together, by their numbers alone."""

from dataclasses import dataclass

from trm.search.schedulers.settings import Hyperband, SuccessiveHalving


@dataclass(frozen=True)
class Bracket:
    """Trials that are halved together."""

    size: int
    first_rung: int


@dataclass(frozen=True)
class Brackets:
    """Brackets that follow each other in turn, for ever; each instance is a group of its own."""

    cycle: tuple[Bracket, ...]

    @staticmethod
    def of(scheduler: SuccessiveHalving | Hyperband) -> "Brackets":
        """Successive halving: one bracket, from the first rung.

        Hyperband (arXiv 1603.06560, algorithm 1): with R rungs, bracket s = R - 1 ... 0 has ceil(R / (s + 1) * eta^s) trials
        that start at rung R - 1 - s.
        """
        last, eta = scheduler.rungs - 1, scheduler.eta
        if isinstance(scheduler, SuccessiveHalving):
            return Brackets((Bracket(scheduler.cohort or max(2, eta**last), 0),))
        return Brackets(tuple(Bracket(-(-scheduler.rungs * eta**s // (s + 1)), last - s) for s in range(last, -1, -1)))

    def group(self, trial: int) -> int:
        """Number of the instance that `trial` belongs to."""
        turn, place = divmod(trial, self._turn)
        group = turn * len(self.cycle)
        for bracket in self.cycle:
            if place < bracket.size:
                break
            place -= bracket.size
            group += 1
        return group

    def bracket(self, group: int) -> Bracket:
        """What kind of bracket instance `group` is."""
        return self.cycle[group % len(self.cycle)]

    def start(self, group: int) -> int:
        """Number of the first trial of instance `group`."""
        turn, index = divmod(group, len(self.cycle))
        return turn * self._turn + sum(bracket.size for bracket in self.cycle[:index])

    @property
    def _turn(self) -> int:
        return sum(bracket.size for bracket in self.cycle)

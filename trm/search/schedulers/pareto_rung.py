"""A rung of a sweep with several objectives: trials rank by Pareto front. The rules of `rung.py` hold, with these meanings.

- A front ranks before the next (non-dominated sorting over the objective and what it is weighed against). Within a front, who
  stands farther from its neighbours ranks first, so that what goes on spreads over the front (crowding distance: it needs no
  point of reference, and costs a sort); then the smaller loss, then the digest. Never by arrival.
- Who scores zero, where more is better, shows nothing yet, however little it costs: all of those rank behind the others, by
  fronts of their own in which the loss stands in for the objective. A rung is flat as for one objective, and stops its last 1/eta.
- The cut is the last place of the quota. Near it is who would not be dominated by anybody on the quota's places of the cut's front
  if its own objective were better by one standard error; who stands in that front is.
"""

import copy
from collections.abc import Mapping, Sequence

from trm.search.order import Group, Order, Score
from trm.search.schedulers.rung import Rung
from trm.stats.pareto import Fronts, Point, crowding, dominates


class ParetoRung(Rung):
    """The scores at one rung, front by front."""

    has_fronts = True

    def __init__(self, eta: int, order: Order, near_share: float) -> None:
        """An empty rung; `order` is that of the objective alone."""
        super().__init__(eta, order, near_share)
        self._groups: dict[Group, _OrderedFronts] = {}
        """Of trials that are compared with each other."""
        self._rests: set[int] = set()
        self._order: list[int] | None = None
        self._places: dict[int, int] = {}
        self._promotable: tuple[int | None] | None = None
        self._ahead: list[Point] | None = None
        """Who goes on of the cut's front."""

    def copied(self) -> "ParetoRung":
        """One that changes without this one."""
        made = super().copied()
        assert isinstance(made, ParetoRung)
        made._groups = copy.deepcopy(self._groups, {id(self.order): self.order})
        made._rests = {*self._rests}
        return made

    def leave(self, trial: int) -> None:
        """A paused trial goes on, or ends for good."""
        if trial in self._rests:
            self._rests.remove(trial)
            self._promotable = self._paused_survivor = None

    @property
    def ranked(self) -> list[int]:
        """Trials, best first."""
        if self._order is None:
            self._order = [trial for front in self.fronts() for trial in front]
            self._places = {trial: place for place, trial in enumerate(self._order)}
        return self._order

    @property
    def paused(self) -> list[int]:
        """Trials that may be promoted from here, best first."""
        return [trial for trial in self.ranked if trial in self._rests]

    def rank(self, trial: int) -> int:
        """A trial's place, from 0."""
        assert self.ranked, "it is at the rung"
        return self._places[trial]

    def promotable(self) -> int | None:
        """The best paused trial among the first `quota`; None when there is none."""
        if self._promotable is None:
            self._promotable = (next((trial for trial in self.ranked[: self.quota] if trial in self._rests), None),)
        return self._promotable[0]

    def resting_survivor(self) -> int | None:
        """The best paused trial that goes on from a settled rung; None when all of them have gone."""
        if self._paused_survivor is None:
            survivors = self.survivors()
            self._paused_survivor = (next((trial for trial in self.paused if trial in survivors), None),)
        return self._paused_survivor[0]

    def fronts(self) -> list[list[int]]:
        """Trials, front by front, best first."""
        return [front for _, group in sorted(self._groups.items()) for front in group.ordered(self._scores)]

    def _insert(self, score: Score) -> None:
        group = self._groups.setdefault(self.order.group(score), _OrderedFronts(self.order))
        group.add(score.trial, self.order.point(score))
        self._rests.add(score.trial)
        self._order = self._promotable = self._ahead = None

    def _is_near_cut(self, place: int) -> bool:
        score = self._scores[self.ranked[place]]
        cut = self.ranked[self.quota - 1]
        if self.order.is_scoreless(score.objective) or self.order.group(score) > self.order.group(self._scores[cut]):
            return False
        if self._ahead is None:
            front = next(front for front in self.fronts() if cut in front)
            self._ahead = [self.order.point(self._scores[trial]) for trial in front if self._places[trial] < self.quota]
        better = self.order.point(score, better_by=score.standard_error)
        return not any(dominates(point, better) for point in self._ahead)


class _OrderedFronts(Fronts[int]):
    """Fronts of trials, each in the order in which its trials rank; sorted again only when it has changed."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        self._order = order
        self._ordered: dict[int, list[int]] = {}

    def add(self, key: int, point: Point) -> range:
        changed = super().add(key, point)
        for level in changed:
            self._ordered.pop(level, None)
        return changed

    def ordered(self, scores: Mapping[int, Score]) -> list[list[int]]:
        for level in range(len(self)):
            if level not in self._ordered:
                self._ordered[level] = self._sorted(self[level], scores)
        return [self._ordered[level] for level in range(len(self))]

    def _sorted(self, front: Sequence[int], scores: Mapping[int, Score]) -> list[int]:
        trials = sorted(front, key=lambda trial: self._order.key(scores[trial])[2:])  # the objective is one of the coordinates
        distances = dict(zip(trials, crowding([self.point(trial) for trial in trials]), strict=True))
        return sorted(trials, key=lambda trial: -distances[trial])

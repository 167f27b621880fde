"""A rung: who reached it, in which order they stand (`order.py`), and who of them goes on. The rules for late risers are here.

- The best floor(n / eta) of the n that reached it, its quota, go on; while trials still arrive, they alone do (arXiv 1810.05934,
  algorithm 2).
- When it is to be said who stays, those go on too that
  - stand in a rung that fewer than eta trials reached,
  - stand before the last floor(n / eta) of a flat rung, one where fewer than 1 / eta of the trials score above zero
    (a recursive model's accuracy rises late and suddenly; there the loss, which breaks the ties at zero, ranks), or
  - score above zero and within one standard error of the cut, on one of the places that follow the quota, a quarter as many as it
    has (sweeps of earlier rules: half).
"""

import bisect
import copy
import math

from trm.search.order import Key, Order, Score


class Rung:
    """The scores at one rung, best first, and who of them is still paused there."""

    has_fronts = False
    """Whether trials rank by Pareto fronts, so that no single number tells the better of two."""

    def __init__(self, eta: int, order: Order, near_share: float) -> None:
        """An empty rung of trials that rank by `order`; a standard error saves a trial on `near_share` times the quota's places."""
        self.eta, self.order, self.near_share = eta, order, near_share
        self._ranked: list[Key] = []
        self._resting: list[Key] = []
        self._scores: dict[int, Score] = {}
        self._scoreless = self._risen = 0
        self._survivors: frozenset[int] | None = None
        self._paused_survivor: tuple[int | None] | None = None

    def __len__(self) -> int:
        return len(self._scores)

    def copied(self) -> "Rung":
        """One that changes without this one; the scores themselves never change."""
        made = copy.copy(self)
        made._ranked, made._resting, made._scores = [*self._ranked], [*self._resting], {**self._scores}
        return made

    def add(self, score: Score) -> None:
        """A trial reached the rung and rests."""
        assert score.trial not in self._scores, f"trial {score.trial} is at the rung already"
        self._scores[score.trial] = score
        self._scoreless += self.order.is_scoreless(score.objective)
        self._risen += self.order.has_risen(score.objective)
        self._survivors = self._paused_survivor = None
        self._insert(score)

    def leave(self, trial: int) -> None:
        """A paused trial goes on, or ends for good."""
        key = self.order.key(self._scores[trial])
        index = bisect.bisect_left(self._resting, key)
        if index < len(self._resting) and self._resting[index] == key:
            del self._resting[index]
            self._paused_survivor = None

    def score(self, trial: int) -> Score:
        """What a trial reached here; KeyError when it did not."""
        return self._scores[trial]

    @property
    def ranked(self) -> list[int]:
        """Trials, best first."""
        return [key[-1] for key in self._ranked]

    @property
    def paused(self) -> list[int]:
        """Trials that may be promoted from here, best first."""
        return [key[-1] for key in self._resting]

    def rank(self, trial: int) -> int:
        """A trial's place, from 0."""
        return bisect.bisect_left(self._ranked, self.order.key(self._scores[trial]))

    @property
    def quota(self) -> int:
        """How many go on while trials still arrive."""
        return len(self._scores) // self.eta

    @property
    def is_flat(self) -> bool:
        """Whether so few score above zero that the objective does not rank yet."""
        count = len(self._scores)
        return (count - self._scoreless) * self.eta < count

    @property
    def is_unrisen(self) -> bool:
        """Whether so few have risen that scores may not say yet who will be good (`foretelling.py`)."""
        return self._risen * self.eta < len(self._scores)

    def promotable(self) -> int | None:
        """The best paused trial among the first `quota`; None when there is none."""
        quota = self.quota
        if quota and self._resting and self._resting[0] <= self._ranked[quota - 1]:
            return self._resting[0][-1]
        return None

    def is_survivor(self, trial: int) -> bool:
        """Whether a trial would go on if nobody else arrived."""
        return self._is_kept(self.rank(trial))

    def survivors(self) -> frozenset[int]:
        """Who goes on from a settled rung."""
        if self._survivors is None:
            self._survivors = self._kept()
        return self._survivors

    def resting_survivor(self) -> int | None:
        """The best paused trial that goes on from a settled rung; None when all of them have gone."""
        if self._paused_survivor is None:
            survivors = self.survivors()
            self._paused_survivor = (next((key[-1] for key in self._resting if key[-1] in survivors), None),)
        return self._paused_survivor[0]

    def is_near(self, score: Score, cut: float) -> bool:
        """Whether a score shows something, and is within one standard error of `cut`."""
        return not self.order.is_scoreless(score.objective) and abs(cut - score.objective) <= score.standard_error

    def _insert(self, score: Score) -> None:
        key = self.order.key(score)
        bisect.insort(self._ranked, key)
        bisect.insort(self._resting, key)

    def _kept(self) -> frozenset[int]:
        return frozenset(trial for place, trial in enumerate(self.ranked) if self._is_kept(place))

    def _is_kept(self, place: int) -> bool:
        count, quota = len(self._scores), self.quota
        if place < quota or count < self.eta:
            return True
        if self.is_flat:
            return place < count - quota
        if place >= quota + math.ceil(quota * self.near_share):
            return False
        return self._is_near_cut(place)

    def _is_near_cut(self, place: int) -> bool:
        cut, score = (self._scores[self._ranked[index][-1]] for index in (self.quota - 1, place))
        return score.violation <= cut.violation and self.is_near(score, cut.objective)

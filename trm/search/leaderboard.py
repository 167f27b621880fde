"""The leaderboard: trials by their last scores, in order as scores come in, so that the best is known after every event."""

import bisect

from trm.search.order import Group, Key, Order, Score
from trm.stats.pareto import Point, dominates


class Leaderboard:
    """Numbers of the trials that were scored, best first."""

    def __init__(self, order: Order, *, has_fronts: bool) -> None:
        """Without a trial; `has_fronts`: trials rank by Pareto front, and in each by `order`."""
        self._order, self._has_fronts = order, has_fronts
        self._keys: list[Key] = []
        self._scores: dict[int, Score] = {}
        self._rungs: dict[int, int] = {}
        self._points: dict[int, tuple[Group, Point]] = {}
        """With whom a score is compared, and where it stands among several objectives."""
        self._first: int | None = None
        self._fronts: list[list[int]] | None = None
        self._by_rung: list[int] | None = None

    def place(self, score: Score, rung: int) -> None:
        """A trial was scored at a rung, and stands with that from now on."""
        before = self._scores.get(score.trial)
        if before is not None:
            del self._keys[bisect.bisect_left(self._keys, self._order.last_key(before))]
        bisect.insort(self._keys, self._order.last_key(score))
        self._scores[score.trial], self._rungs[score.trial] = score, rung
        self._points[score.trial] = self._order.group(score), self._order.point(score)
        self._first = self._fronts = self._by_rung = None

    @property
    def ranked(self) -> list[int]:
        """Numbers of all scored trials, best first."""
        return [trial for front in self.fronts() for trial in front] if self._has_fronts else self._by_order()

    @property
    def first(self) -> int | None:
        """Number of the best trial; null while none was scored."""
        if self._first is None and self._keys:
            order = self._by_order()
            self._first = next(one for one in order if not self._is_dominated(one)) if self._has_fronts else order[0]
        return self._first

    def fronts(self) -> list[list[int]]:
        """Numbers of the scored trials by Pareto front, the best first; with one objective, equals are a front."""
        if self._fronts is None:
            self._fronts = self._order.fronts([self._scores[trial] for trial in self._by_order()])
        return self._fronts

    @property
    def by_rung(self) -> list[int]:
        """Scored trials, those of the highest rungs first: kept until the next score, since a budget asks at every step.

        Those that break outcome constraints stand behind all others.
        """
        if self._by_rung is None:
            self._by_rung = sorted(self.ranked, key=lambda trial: (self._scores[trial].violation > 0, -self._rungs[trial]))
        return self._by_rung

    def _by_order(self) -> list[int]:
        return [key[-1] for key in self._keys]

    def _is_dominated(self, trial: int) -> bool:
        group, point = self._points[trial]
        return any(dominates(rival, point) for of_rival, rival in self._points.values() if of_rival == group)

"""Asynchronous successive halving that pauses and promotes (arXiv 1810.05934, algorithm 2), with rules for late risers.

A rung ranks by the objective, then by validation loss, then by a digest of the configuration: never by arrival.

- While trials still arrive, the best floor(n / eta) of the n that reached a rung go on.
- When nobody can arrive any more, the rung is settled, and the rest is stopped, but for those that
  - stand in a rung that fewer than eta trials reached,
  - stand before the last floor(n / eta) of a flat rung, one where fewer than 1 / eta of the trials score above zero
    (a recursive model's accuracy rises late and suddenly; there the loss, which breaks the ties at zero, ranks), or
  - score above zero and within one standard error of the cut.

  Those go on too.
"""

import bisect
import math
from dataclasses import dataclass
from typing import Literal

Key = tuple[float, float, str, int]


@dataclass(frozen=True)
class Score:
    """What a trial reached at a rung."""

    trial: int
    objective: float
    standard_error: float
    loss: float
    """Validation loss; infinite when unknown."""
    tie: str
    """Breaks the last ties; must not depend on time."""


class Rung:
    """The scores at one rung, best first, and who of them still rests there."""

    def __init__(self, eta: int, mode: Literal["max", "min"]) -> None:
        """An empty rung; `mode` says whether a larger objective is better."""
        self.eta = eta
        self._sign = -1.0 if mode == "max" else 1.0
        self._has_floor = mode == "max"
        self._ranked: list[Key] = []
        self._resting: list[Key] = []
        self._scores: dict[int, Score] = {}
        self._above_zero = 0
        self._survivors: frozenset[int] | None = None

    def __len__(self) -> int:
        return len(self._ranked)

    def add(self, score: Score) -> None:
        """A trial reached the rung and rests."""
        assert score.trial not in self._scores, f"trial {score.trial} is at the rung already"
        self._scores[score.trial] = score
        self._above_zero += score.objective > 0
        self._survivors = None
        bisect.insort(self._ranked, self._key(score))
        bisect.insort(self._resting, self._key(score))

    def leave(self, trial: int) -> None:
        """A resting trial goes on, or ends for good."""
        key = self._key(self._scores[trial])
        index = bisect.bisect_left(self._resting, key)
        if index < len(self._resting) and self._resting[index] == key:
            del self._resting[index]

    @property
    def ranked(self) -> list[int]:
        """Trials, best first."""
        return [key[3] for key in self._ranked]

    @property
    def resting(self) -> list[int]:
        """Trials that may be promoted from here, best first."""
        return [key[3] for key in self._resting]

    def rank(self, trial: int) -> int:
        """A trial's place, from 0."""
        return bisect.bisect_left(self._ranked, self._key(self._scores[trial]))

    @property
    def quota(self) -> int:
        """How many go on while trials still arrive."""
        return len(self._ranked) // self.eta

    @property
    def is_flat(self) -> bool:
        """Whether so few score above zero that the objective does not rank yet."""
        return self._has_floor and self._above_zero * self.eta < len(self._ranked)

    def promotable(self) -> int | None:
        """The best resting trial among the first `quota`; None when there is none."""
        quota = self.quota
        if quota and self._resting and self._resting[0] <= self._ranked[quota - 1]:
            return self._resting[0][3]
        return None

    def survivors(self) -> frozenset[int]:
        """Who goes on from a settled rung."""
        if self._survivors is None:
            self._survivors = self._kept()
        return self._survivors

    def resting_survivor(self) -> int | None:
        """The best resting trial that goes on from a settled rung; None when all of them have gone."""
        survivors = self.survivors()
        return next((key[3] for key in self._resting if key[3] in survivors), None)

    def _kept(self) -> frozenset[int]:
        count = len(self._ranked)
        if count < self.eta:
            return frozenset(self.ranked)
        if self.is_flat:
            return frozenset(self.ranked[: count - self.quota])
        cut = self._scores[self._ranked[self.quota - 1][3]].objective
        near = {trial for trial, score in self._scores.items() if self._reaches(score, cut)}
        return frozenset(self.ranked[: self.quota]) | near

    def _reaches(self, score: Score, cut: float) -> bool:
        shows_something = score.objective > 0 or not self._has_floor
        return shows_something and abs(cut - score.objective) <= score.standard_error

    def _key(self, score: Score) -> Key:
        objective = self._sign * score.objective
        return (math.inf if math.isnan(objective) else objective, score.loss, score.tie, score.trial)

"""Scores that nobody trained for, of a sweep that is rehearsed (`rehearsal.py`): curves that rise late and suddenly.

Recursive models' curves do: accuracy is a logistic function of the logarithm of compute, up to a ceiling; below a hundredth it is
zero. When a trial rises, how steeply and how high is drawn much as `benchmarks/search/synthetic.py` draws landscapes.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trm.search.order import Order, Score

EXAMPLES = 500
"""Validation examples where nobody says how many."""
PRIOR = 3.0
"""Drawn curves count as so many trials, against those that were scored at a rung."""
RISE, DISTANCE, SEED = 0.35, 0.8, 0.2
"""Share of a trial at which the best rise; how much later the mean of the others does, and what a seed moves, in logarithms."""
SUDDENNESS = 0.4
CEILING, LOWER = 0.95, 0.1


@dataclass(frozen=True)
class Result:
    """What a trial is scored with."""

    objective: float
    standard_error: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """A trial's accuracy and loss over the share of its length."""

    rise: float
    width: float
    ceiling: float

    @staticmethod
    def drawn(generator: random.Random) -> "Curve":
        """Of a trial like any other."""
        distance = generator.expovariate(1.0)
        rise = math.log(RISE) + DISTANCE * distance + generator.gauss(0.0, SEED)
        ceiling = CEILING - LOWER * distance + generator.gauss(0.0, 0.02)
        return Curve(rise, SUDDENNESS * generator.uniform(0.7, 1.3), min(1.0, max(0.05, ceiling)))

    def at(self, share: float, examples: int, generator: random.Random) -> Result:
        """Its scores on so many examples, at a share of its length; the objective is the accuracy."""
        after = math.log(share) - self.rise
        chance = self.ceiling * _logistic(after / self.width)
        right = 0.0 if chance < 0.01 else round(generator.gauss(chance * examples, math.sqrt(chance * (1 - chance) * examples)))
        accuracy = min(1.0, max(0.0, right / examples))
        error = math.sqrt(max(accuracy * (1 - accuracy), 1 / (4 * examples)) / examples)
        loss = 2.0 - 1.2 * self.ceiling * _logistic(after / (2.5 * self.width)) + generator.gauss(0.0, 0.01)
        return Result(accuracy, error, loss)


class DrawnScores:
    """Scores of trials that are played: like those that were seen at a rung, and like drawn curves while few were."""

    def __init__(self, order: Order, seen: Sequence[Sequence[Score]], examples: int, generator: random.Random) -> None:
        """`seen`: real scores, rung by rung."""
        self._order, self._seen, self._examples, self._generator = order, seen, examples, generator
        self._curves: dict[int, Curve] = {}

    def result(self, trial: int, rung: int, share: float) -> Result:
        """Of a trial at a rung, which is at a share of its length."""
        seen, generator = self._seen[rung], self._generator
        if generator.random() * (len(seen) + PRIOR) < len(seen):
            return self._like(generator.choice(seen))
        curve = self._curves.setdefault(trial, Curve.drawn(generator))
        found = curve.at(share, self._examples, generator)
        return found if self._order.mode == "max" else Result(found.loss, 0.0, found.loss)

    def _like(self, score: Score) -> Result:
        """A score such as one that was seen: another draw of the same puzzles, so that no two are copies."""
        near = self._generator.gauss(0.0, 1.0)
        moved = score.objective if self._order.is_scoreless(score.objective) else score.objective + near * score.standard_error
        return Result(moved, score.standard_error, score.loss * (1 + 0.01 * self._generator.gauss(0.0, 1.0)))


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0

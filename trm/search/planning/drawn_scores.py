"""Scores that nobody trained for, of a sweep that is rehearsed (`rehearsal.py`): curves that rise late and suddenly.

Recursive models' curves do: accuracy is a logistic function of the logarithm of compute, up to a ceiling; below a hundredth it is
zero. When a trial rises, how steeply and how high is drawn much as `benchmarks/search/synthetic.py` draws landscapes.

A sampler that learns asks for better and better trials, so that more of them go on than of as many equals: who comes late pushes
out whom the rung had let go on before. So a new trial takes its place among those at a rung as the best of `climb` equals would. A
climb of 1 makes it as good as they; TPE's is a little above 2 at every rung of every judge that was looked at
(`benchmarks/search/reach.py`), and what a sweep's own trials show corrects it.
"""

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from trm.search.order import Order, Place, Score

EXAMPLES = 500
"""Validation examples where nobody says how many."""
FEW, FEW_DRAWN = 3, 16
"""Scores at a rung, from which on further ones are like them: real ones, and where nobody was scored yet drawn ones."""
RISE, DISTANCE, SEED = 0.35, 0.8, 0.2
"""Share of a trial at which the best rise; how much later the mean of the others does, and what a seed moves, in logarithms."""
FIRST = 6
"""Trials before a sampler that learns has something to learn from, about."""
CLIMB_PRIOR = 30.0
"""Trials that what is known of a sampler counts as, against a sweep's own."""
UNLIKE = 0.25
"""Standard deviation of the logarithm of climbs, from one sweep of a sampler to the next."""
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


def climb_of(order: Order, scores: Sequence[Score], sampler: float) -> float:
    """How a sweep's trials climb, of their scores at one rung in the order of the trials and of what its sampler does elsewhere."""
    if sampler == 1.0:
        return 1.0
    before, count, total = list[Place](), CLIMB_PRIOR, CLIMB_PRIOR / sampler
    for score in scores:
        place = order.place(score)
        rank = bisect.bisect_left(before, place)
        if len(before) >= FIRST:
            count, total = count + 1, total - math.log(1 - (rank + 0.5) / (len(before) + 1))
        before.insert(rank, place)
    return max(1.0, count / total)


def unlike(climb: float, generator: random.Random) -> float:
    """The climb of one sweep of many that climb so in the mean."""
    return 1.0 if climb == 1.0 else max(1.0, climb * math.exp(UNLIKE * generator.gauss(0.0, 1.0)))


class DrawnScores:
    """Scores of trials that are played: like those that are at a rung, and drawn curves while few are."""

    def __init__(
        self, order: Order, seen: Sequence[Sequence[Score]], examples: int, generator: random.Random, *, climb: float = 1.0
    ) -> None:
        """`seen`: real scores, rung by rung; `climb`: how new trials stand among those before them."""
        self._order, self._examples, self._generator, self._climb = order, examples, generator, climb
        self._there = [sorted((_Standing(*order.place(one), one.standard_error) for one in scores), key=_place) for scores in seen]
        self._few = FEW if any(seen) else FEW_DRAWN
        self._curves: dict[int, Curve] = {}

    def result(self, trial: int, rung: int, share: float) -> Result:
        """Of a trial at a rung, which is at a share of its length."""
        there, generator = self._there[rung], self._generator
        if len(there) >= self._few:
            found = self._beside(there)
        else:
            curve = self._curves.setdefault(trial, Curve.drawn(generator))
            drawn = curve.at(share, self._examples, generator)
            objective, error = (drawn.objective, drawn.standard_error) if self._order.mode == "max" else (drawn.loss, 0.0)
            found = _Standing(self._order.cost(objective), drawn.loss, error)
        bisect.insort(there, found, key=_place)
        return Result(self._order.objective(found.cost), found.standard_error, found.loss)

    def _beside(self, there: "Sequence[_Standing]") -> "_Standing":
        """A score at the place that a new trial takes: between its neighbours, or beyond the last by as much as they differ."""
        generator = self._generator
        rank = int((1 - generator.random() ** (1 / self._climb)) * (len(there) + 1))
        if 0 < rank < len(there):
            return there[rank - 1].towards(there[rank], generator.random())
        end, next_one = (there[0], there[min(1, len(there) - 1)]) if rank == 0 else (there[-1], there[max(0, len(there) - 2)])
        beyond = end.towards(next_one, -generator.random())
        if self._order.is_scoreless(self._order.objective(end.cost)):
            return _Standing(end.cost, beyond.loss, end.standard_error)
        return beyond


@dataclass(frozen=True)
class _Standing:
    """A score at a rung, less being better."""

    cost: float
    loss: float
    standard_error: float

    def towards(self, other: "_Standing", way: float) -> "_Standing":
        """As far as that on the way to another, or away from it; with a loss that is not known, this one's."""
        loss = self.loss + way * (other.loss - self.loss) if math.isfinite(self.loss) and math.isfinite(other.loss) else self.loss
        return _Standing(self.cost + way * (other.cost - self.cost), loss, self.standard_error)


def _place(one: _Standing) -> Place:
    return one.cost, one.loss


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0

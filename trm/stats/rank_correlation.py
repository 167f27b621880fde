"""Whether two rankings agree: Spearman's and Kendall's coefficients, how sure that is, and what to call it."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trm.stats.intervals import Z95

FEWEST = 5
"""With fewer pairs not even perfect agreement is evidence."""
MODERATE = 0.5
EXACT = 7
"""Up to so many pairs all orders are counted; beyond, `DRAWN` random ones."""
DRAWN = 5000

Verdict = Literal["held", "did not hold", "too few trials to say"]


@dataclass(frozen=True)
class Agreement:
    """How well two rankings of the same things agree."""

    pairs: int
    spearman: float | None
    """Rank correlation, -1 to 1; null: undefined, for fewer than two pairs or all ties."""
    kendall: float | None
    """tau-b; likewise."""
    interval_95: tuple[float, float] | None
    """Of Spearman's (Bonett and Wright 2000); null with fewer than five pairs."""
    chance: float | None
    """Share of random orders that agree at least as well (a one-sided permutation test)."""

    @property
    def verdict(self) -> Verdict:
        """Held: the whole interval is above 0; did not hold: all of it is below a moderate 0.5."""
        if self.interval_95 is None:
            return "too few trials to say"
        low, high = self.interval_95
        return "held" if low > 0 else "did not hold" if high < MODERATE else "too few trials to say"


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    """How well two lists of figures rank the same things; ties share their mean rank."""
    assert len(first) == len(second), "each thing has a figure in both lists"
    count, one, other = len(first), ranks(first), ranks(second)
    rho = _pearson(one, other)
    if rho is None:
        return Agreement(count, None, None, None, None)
    interval = spearman_interval(rho, count) if count >= FEWEST else None
    return Agreement(count, rho, _kendall(one, other), interval, _chance(one, other, rho))


def ranks(values: Sequence[float]) -> list[float]:
    """Place of each value, from 1 for the smallest; equal ones share the mean."""
    order = sorted(values)
    first = {value: order.index(value) for value in set(values)}
    counts = {value: order.count(value) for value in first}
    return [first[value] + (counts[value] + 1) / 2 for value in values]


def _pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    if len(one) < 2:
        return None
    mean = (len(one) + 1) / 2
    product = sum((a - mean) * (b - mean) for a, b in zip(one, other, strict=True))
    square = sum((a - mean) ** 2 for a in one) * sum((b - mean) ** 2 for b in other)
    return max(-1.0, min(1.0, product / math.sqrt(square))) if square else None


def _kendall(one: Sequence[float], other: Sequence[float]) -> float:
    signs = [(_sign(a - c), _sign(b - d)) for (a, b), (c, d) in itertools.combinations(zip(one, other, strict=True), 2)]
    untied = [sum(abs(sign[side]) for sign in signs) for side in (0, 1)]
    return sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1])


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def spearman_interval(rho: float, count: float) -> tuple[float, float]:
    """95 % interval of Spearman's coefficient of more than three pairs (Bonett and Wright 2000).

    By Fisher's transformation; a perfect coefficient counts as half a step from one, so that few pairs stay uncertain.
    """
    step = 6 / (count * (count**2 - 1))
    centre = math.atanh(max(-1 + step, min(1 - step, rho)))
    width = Z95 * math.sqrt((1 + rho**2 / 2) / (count - 3))
    low = -1.0 if rho == -1 else math.tanh(centre - width)
    high = 1.0 if rho == 1 else math.tanh(centre + width)
    return low, high


def _chance(one: Sequence[float], other: Sequence[float], rho: float) -> float:
    needed = sum(a * b for a, b in zip(one, other, strict=True)) - 1e-9
    if len(one) <= EXACT:
        orders = itertools.permutations(other)
        reached = [sum(a * b for a, b in zip(one, order, strict=True)) >= needed for order in orders]
        return sum(reached) / len(reached)
    generator, shuffled, reached_count = random.Random(0), list(other), 0
    for _ in range(DRAWN):
        generator.shuffle(shuffled)
        reached_count += sum(a * b for a, b in zip(one, shuffled, strict=True)) >= needed
    return (reached_count + 1) / (DRAWN + 1)


def weighted_spearman(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> float | None:
    """Spearman's rank correlation of samples that count with `weights`; None for fewer than three, or when all are equal."""
    if len(one) < 3:
        return None
    ranks = [_weighted_ranks(values, weights) for values in (one, other)]
    centred = [rank - np.average(rank, weights=weights) for rank in ranks]
    spread = math.sqrt(np.average(centred[0] ** 2, weights=weights) * np.average(centred[1] ** 2, weights=weights))
    return float(np.average(centred[0] * centred[1], weights=weights) / spread) if spread > 1e-12 else None


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weight below each value, and half of that of its equals."""
    distinct, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=weights, minlength=len(distinct))
    ranks: np.ndarray = (np.cumsum(mass) - mass / 2)[place]
    return ranks

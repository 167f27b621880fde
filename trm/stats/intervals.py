"""How sure a score is: Wilson intervals for shares, standard errors for means, both by the number of independent puzzles."""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Integer

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """Half width over the 95 % point: unlike sqrt(p (1 - p) / n) it is not 0 when all or none are right."""
        return (self.high - self.low) / (2 * Z95)


def wilson(share: float, count: int) -> Interval:
    """Wilson's score interval (1927) for `share` of `count` independent trials; `share` may be a mean of fractions."""
    assert count > 0
    z2 = Z95**2 / count
    centre = (share + z2 / 2) / (1 + z2)
    half = Z95 / (1 + z2) * math.sqrt(share * (1 - share) / count + z2 / (4 * count))
    return Interval(0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half)


class MeanOfSeeds(NamedTuple):
    """A score over seeds of one configuration."""

    mean: float
    low: float | None
    """With `high` the 95 % interval of the mean over all seeds there are (Student's); null: of one seed, or not finite."""
    high: float | None

    @property
    def text(self) -> str:
        """The mean with its interval."""
        if self.low is None or self.high is None:
            return f"{self.mean:.4f}"
        same = self.low == self.high
        return f"{self.mean:.4f} ({'each seed the same' if same else f'95 % over seeds: {self.low:.4f} to {self.high:.4f}'})"


def mean_of_seeds(values: Sequence[float], bounds: tuple[float, float]) -> MeanOfSeeds:
    """The mean of at least one score, a value a seed; `bounds` are the least and the most that the metric can be."""
    mean = fmean(values)
    if len(values) < 2 or not math.isfinite(mean):
        return MeanOfSeeds(mean, None, None)
    half = t_quantile_975(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return MeanOfSeeds(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]))


def mean_of(values: Float64[np.ndarray, " rows"]) -> float:
    """The mean with a correctly rounded sum, so that neither batches nor workers nor their order show in it."""
    return math.fsum(values) / len(values)


def standard_error(values: Float64[np.ndarray, " rows"], clusters: Integer[np.ndarray, " rows"]) -> float:
    """Of the mean of `values` when rows of one cluster (the augmentations of a task) are not independent.

    With a cluster a row it is the usual standard deviation over sqrt(rows); NaN for a single cluster.
    """
    _, of_row = np.unique(clusters, return_inverse=True)
    with np.errstate(invalid="ignore"):  # a diverged network's loss may be infinite
        deviations = np.bincount(of_row, weights=values - mean_of(values))
    count = len(deviations)
    if count < 2:
        return math.nan
    return math.sqrt(math.fsum(deviations**2) * count / (count - 1)) / len(values)


@lru_cache(maxsize=256)
def t_quantile_975(freedom: float) -> float:
    """Two-sided 95 % point of Student's distribution with so many degrees of freedom."""
    edges = np.linspace(0, math.pi / 2, 20001)  # the density over all of (0, inf), at its tangents
    density = np.cos((edges[1:] + edges[:-1]) / 2) ** (freedom - 1)
    mass = np.concatenate([[0.0], density.cumsum() / density.sum()])
    return math.sqrt(freedom) * float(np.tan(np.interp(0.95, mass, edges)))

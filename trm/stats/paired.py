"""Two evaluations of the same puzzles: how much better one is, over puzzles, and whether that is more than chance.

Both are of one training each: other puzzles are accounted for, other seeds of the training are not (`trm.stats.comparison` does).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from trm.stats.bootstrap import bands, resampled_means


@dataclass(frozen=True)
class Paired:
    """The first of two evaluations against the second; NaN where scores are not finite."""

    difference: float
    """Mean of the first's scores minus the second's, over puzzles, each weighing as in the metric."""
    interval_95: tuple[float, float]
    """Of `difference`, for other puzzles: percentiles of the paired bootstrap."""
    sign_test_p: float
    """Two-sided probability of counts as unequal as these, were higher and lower as likely (exact; McNemar's for 0 and 1)."""
    puzzles: int
    higher: int
    """Puzzles of which the first's score is the higher."""
    lower: int

    @property
    def is_supported(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval_95[0] > 0 or self.interval_95[1] < 0

    def figures(self) -> dict[str, Any]:
        """JSON, null where there is no number."""
        found = [value if math.isfinite(value) else None for value in (self.difference, *self.interval_95)]
        return asdict(self) | {"difference": found[0], "interval_95": tuple(found[1:]), "is_supported": self.is_supported}


def paired(
    first: Float64[np.ndarray, " puzzles"],
    second: Float64[np.ndarray, " puzzles"],
    weights: tuple[Float64[np.ndarray, " puzzles"], Float64[np.ndarray, " puzzles"]] | None = None,
) -> Paired:
    """The comparison of two scores of each puzzle.

    `weights`: rows of each puzzle in the first and in the second, of a metric that is a mean over rows; None: a puzzle counts once.
    The sign test counts puzzles, whatever they weigh.
    """
    with np.errstate(invalid="ignore"):
        differences = first - second
    if weights is None or np.array_equal(*weights):
        ends = bands(differences[None], None if weights is None else weights[0])
        low, high = float(ends[0][0]), float(ends[1][0])
    else:
        means = resampled_means(np.stack([first, second]), np.stack(weights))
        low, high = (float(end) for end in np.percentile(means[:, 0] - means[:, 1], [2.5, 97.5]))
    higher, lower = int((differences > 0).sum()), int((differences < 0).sum())
    return Paired(
        difference=_difference(first, second, weights),
        interval_95=(low, high),
        sign_test_p=sign_test(higher, lower),
        puzzles=len(differences),
        higher=higher,
        lower=lower,
    )


def _difference(first: np.ndarray, second: np.ndarray, weights: tuple[np.ndarray, np.ndarray] | None) -> float:
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.nan
    if weights is None or np.array_equal(*weights):
        differences = first - second
        weight = np.ones(len(first)) if weights is None else weights[0]
        return math.fsum(differences * weight) / math.fsum(weight)
    means = (math.fsum(scores * weight) / math.fsum(weight) for scores, weight in zip((first, second), weights, strict=True))
    return next(means) - next(means)


def sign_test(higher: int, lower: int) -> float:
    """Exact two-sided p of a fair coin that fell `higher` and `lower` times; ties are left out (McNemar 1947, exact form)."""
    count, least = higher + lower, min(higher, lower)
    if count == 0:
        return 1.0
    logs = [_log_choose(count, k) - count * math.log(2) for k in range(least + 1)]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def _log_choose(count: int, k: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)

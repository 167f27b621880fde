"""Intervals by drawing puzzles again (Efron 1979): of means whose distribution nobody knows, several of the same puzzles."""

import numpy as np
from jaxtyping import Float64

RESAMPLES = 10_000
MOST_DRAWS = 1 << 23
"""Draws at most: of many puzzles with as many different scores fewer resamples are made, at least `LEAST_RESAMPLES`."""
LEAST_RESAMPLES = 200
CHUNK_DRAWS = 1 << 22
"""Numbers of draws held at once."""


def bands(
    scores: Float64[np.ndarray, "points puzzles"], weights: Float64[np.ndarray, " puzzles"] | None = None, *, seed: int = 0
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """The 95 % percentile interval of each point's mean over puzzles, which are drawn with replacement, for all points alike.

    `weights`: rows of a puzzle, where the mean is over rows. Puzzles whose scores are equal in all points are drawn together, by
    their number, which is the same in distribution: shares of thousands of puzzles cost no more than their different curves.
    NaN where scores are not finite.
    """
    rows = scores if weights is None else np.concatenate([scores, weights[None]])
    kinds, counts = np.unique(rows, axis=1, return_counts=True)
    weight = np.ones(len(counts)) if weights is None else kinds[-1]
    values, total = kinds[: len(scores)] * weight, int(counts.sum())
    resamples = min(RESAMPLES, max(LEAST_RESAMPLES, MOST_DRAWS // len(counts)))
    generator = np.random.Generator(np.random.Philox(key=seed))
    parts = []
    for start in range(0, resamples, step := max(1, CHUNK_DRAWS // len(counts))):
        drawn = generator.multinomial(total, counts / total, size=min(step, resamples - start)).astype(np.float64)
        with np.errstate(invalid="ignore"):
            parts.append(drawn @ values.T / (drawn @ weight)[:, None])
    low, high = np.percentile(np.concatenate(parts), [2.5, 97.5], axis=0)
    return low, high

"""Intervals by drawing puzzles again (Efron 1979): of means whose distribution nobody knows, several of the same puzzles."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

RESAMPLES = 10_000
FEW_KINDS = 838
"""Of so few different puzzles resamples are always told by how often each kind is drawn."""
KIND_COST = 5
"""A multinomial number takes as long as so many single draws of a puzzle (55 and 10 ns)."""
CHUNK_DRAWS = 1 << 22
"""Numbers of draws held at once."""


def bands(
    scores: Float64[np.ndarray, "points puzzles"], weights: Float64[np.ndarray, " *puzzles"] | None = None, *, seed: int = 0
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """The 95 % percentile interval of each point's mean over puzzles, which are drawn with replacement, for all points alike.

    `weights`: rows of a puzzle, where the mean is over rows. NaN where scores are not finite. Always 10,000 resamples: memory is
    bounded, time is linear in different puzzles, 10 to 18 ns a resample and puzzle.
    """
    return _percentiles(resampled_means(scores, weights, seed=seed))


def resampled_means(
    scores: Float64[np.ndarray, "points puzzles"], weights: Float64[np.ndarray, "..."] | None = None, *, seed: int = 0
) -> Float64[np.ndarray, "resamples points"]:
    """Each point's mean over puzzles in each resample, which are of the same puzzles for all points.

    `weights` are a number a puzzle, or one a point and puzzle. Puzzles that are equal in all points are drawn together, by their
    number, which is the same in distribution: shares of thousands of puzzles cost no more than their different curves.
    """
    shared = np.ones(scores.shape[1]) if weights is None else weights
    rows = scores if weights is None else np.concatenate([scores, np.atleast_2d(shared)])
    kinds, of_puzzle, counts = np.unique(rows, axis=1, return_inverse=True, return_counts=True)
    weight = np.ones((1, len(counts))) if weights is None else kinds[len(scores) :]
    with np.errstate(invalid="ignore"):
        values = kinds[: len(scores)] * weight
        parts = [drawn @ values.T / (drawn @ weight.T) for drawn in _drawn(counts, of_puzzle.reshape(-1), seed)]
    return np.concatenate(parts)


def _percentiles(means: Float64[np.ndarray, "resamples points"]) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def _drawn(counts: np.ndarray, of_puzzle: np.ndarray, seed: int) -> Iterator[Float64[np.ndarray, "resamples kinds"]]:
    """How often each kind of puzzle is drawn, some resamples at a time."""
    generator, total, kinds = np.random.Generator(np.random.Philox(key=seed)), len(of_puzzle), len(counts)
    is_few = kinds <= FEW_KINDS or KIND_COST * kinds <= total
    for start in range(0, RESAMPLES, step := max(1, CHUNK_DRAWS // kinds)):
        size = min(step, RESAMPLES - start)
        if is_few:
            yield generator.multinomial(total, counts / total, size=size).astype(np.float64)
        else:
            drawn = np.empty((size, kinds))
            for resample in drawn:
                resample[:] = np.bincount(of_puzzle[generator.integers(0, total, total, dtype=np.uint32)], minlength=kinds)
            yield drawn

"""ARC's score: every augmentation of a task votes for a grid, and the true one must be among the first K (pass@K)."""

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt8

from trm.tasks.arc.augment import CANVAS, crop, invert

ABSENT = -1
"""Rank of a true grid that nobody voted for."""


def _multipliers() -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=0x766F7465))
    return generator.integers(0, 1 << 63, size=CANVAS * CANVAS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


_MULTIPLIERS = _multipliers()


def grid_hashes(canvases: UInt8[np.ndarray, "batch 900"]) -> Int64[np.ndarray, " batch"]:
    """A number for each canvas; two different canvases share one with a chance of about 2**-61."""
    hashes: np.ndarray = canvases.astype(np.uint64) @ _MULTIPLIERS
    return hashes.view(np.int64)


def voted_grids(predictions: UInt8[np.ndarray, "batch 900"], codes: Integer[np.ndarray, " batch"]) -> Int64[np.ndarray, " batch"]:
    """Hashes of the grids that predictions vote for: cropped to their colours, and their augmentations undone."""
    return grid_hashes(invert(crop(predictions), codes))


def rank_of_truth(
    pairs: Int64[np.ndarray, " votes"],
    grids: Int64[np.ndarray, " votes"],
    truths: Int64[np.ndarray, " votes"],
    probabilities: Float64[np.ndarray, " votes"],
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """The distinct `pairs` in order, and for each the rank of its true grid (from 0) or `ABSENT`.

    Every vote says its test pair, the grid it is for, the pair's true grid and its halting probability. Equal grids of a pair
    are one candidate; candidates rank by (votes, mean halting probability), those equal in both by hash.
    """
    order = np.lexsort((grids, pairs))
    pairs, grids, truths, probabilities = pairs[order], grids[order], truths[order], probabilities[order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(pairs) != 0) | (np.diff(grids) != 0)]))
    votes = np.diff(np.append(starts, len(pairs)))
    means = np.add.reduceat(probabilities, starts) / votes
    best_first = np.lexsort((grids[starts], -means, -votes, pairs[starts]))
    candidates = starts[best_first]
    distinct, first, counts = np.unique(pairs[candidates], return_index=True, return_counts=True)
    rank = np.arange(len(candidates)) - np.repeat(first, counts)
    is_true = grids[candidates] == truths[candidates]
    ranks = np.full(len(distinct), ABSENT)
    ranks[np.searchsorted(distinct, pairs[candidates[is_true]])] = rank[is_true]
    return distinct, ranks


def pass_at(k: int, ranks: Int64[np.ndarray, " pairs"], tasks: Integer[np.ndarray, " pairs"]) -> Float64[np.ndarray, " tasks"]:
    """For each task, in order of its number, the share of its test pairs whose true grid is among the first `k`."""
    _, of_pair = np.unique(tasks, return_inverse=True)
    is_passed = (ranks >= 0) & (ranks < k)
    shares: np.ndarray = np.bincount(of_pair, weights=is_passed) / np.bincount(of_pair)
    return shares

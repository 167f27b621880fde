"""ARC's score: every augmentation of a task votes for a grid, and the true one must be among the first K (pass@K)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, UInt8

from trm.data.batches.split import Grids
from trm.tasks.arc.augment import CANVAS, crop, invert

HASHED_ROWS = 1 << 12
"""Rows of a split whose grids are in memory at a time."""
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


def hashes_of(grids: UInt8[np.ndarray, "rows 900"] | Grids) -> Int64[np.ndarray, " rows"]:
    """`grid_hashes` of all rows of a split, some at a time."""
    parts = [grid_hashes(grids[start : start + HASHED_ROWS]) for start in range(0, len(grids), HASHED_ROWS)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def voted_grids(predictions: UInt8[np.ndarray, "batch 900"], codes: Integer[np.ndarray, " batch"]) -> Int64[np.ndarray, " batch"]:
    """Hashes of the grids that predictions vote for: cropped to their colours, and their augmentations undone."""
    return grid_hashes(invert(crop(predictions), codes))


@dataclass(frozen=True, eq=False)
class Candidates:
    """The distinct grids that were voted for, those of a test pair together and the best first."""

    pairs: Int64[np.ndarray, " candidates"]
    grids: Int64[np.ndarray, " candidates"]
    """Hashes."""
    votes: Int64[np.ndarray, " candidates"]
    probabilities: Float64[np.ndarray, " candidates"]
    """Mean halting probability of the votes."""
    firsts: Int64[np.ndarray, " candidates"]
    """Place of the first vote among all votes."""

    @property
    def ranks(self) -> Int64[np.ndarray, " candidates"]:
        """Of a candidate within its pair, from 0."""
        _, first, counts = np.unique(self.pairs, return_index=True, return_counts=True)
        ranks: np.ndarray = np.arange(len(self.pairs)) - np.repeat(first, counts)
        return ranks


def tally(
    pairs: Int64[np.ndarray, " votes"], grids: Int64[np.ndarray, " votes"], probabilities: Float64[np.ndarray, " votes"]
) -> Candidates:
    """Counts votes, of which each says its test pair, the grid it is for and its halting probability.

    Equal grids of a pair are one candidate; candidates rank by (votes, mean halting probability), those equal in both by who was
    voted for first. So does the published scorer, whose means are of sums in the order of the votes, as here.
    """
    order = np.lexsort((grids, pairs))  # stable: votes for one candidate stay in order
    is_new = np.concatenate([[True], (np.diff(pairs[order]) != 0) | (np.diff(grids[order]) != 0)])[: len(order)]
    starts = np.flatnonzero(is_new)
    candidate = np.empty(len(order), dtype=np.int64)
    candidate[order] = np.cumsum(is_new) - 1
    firsts, votes = order[starts], np.diff(np.append(starts, len(order)))
    means = np.bincount(candidate, weights=probabilities, minlength=len(starts)) / votes
    best_first = np.lexsort((firsts, -means, -votes, pairs[firsts]))
    firsts = firsts[best_first]
    return Candidates(pairs[firsts], grids[firsts], votes[best_first], means[best_first], firsts)


def rank_of_truth(
    pairs: Int64[np.ndarray, " votes"],
    grids: Int64[np.ndarray, " votes"],
    truths: Int64[np.ndarray, " votes"],
    probabilities: Float64[np.ndarray, " votes"],
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """The distinct `pairs` in order, and for each the rank of its true grid (from 0) or `ABSENT`, as `tally` ranks them.

    Every vote says its test pair, the grid it is for, the pair's true grid and its halting probability.
    """
    found = tally(pairs, grids, probabilities)
    distinct = np.unique(found.pairs)
    is_true = found.grids == truths[found.firsts]
    ranks = np.full(len(distinct), ABSENT)
    ranks[np.searchsorted(distinct, found.pairs[is_true])] = found.ranks[is_true]
    return distinct, ranks


def pass_at(k: int, ranks: Int64[np.ndarray, " pairs"], tasks: Integer[np.ndarray, " pairs"]) -> Float64[np.ndarray, " tasks"]:
    """For each task, in order of its number, the share of its test pairs whose true grid is among the first `k`."""
    _, of_pair = np.unique(tasks, return_inverse=True)
    is_passed = (ranks >= 0) & (ranks < k)
    shares: np.ndarray = np.bincount(of_pair, weights=is_passed) / np.bincount(of_pair)
    return shares

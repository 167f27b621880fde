"""Several sources mixed by weight: which source each visit goes to, a pure function of seed and visit, exact over blocks."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from trm.data.batches.keyed_random import shuffled

BLOCK_VISITS = 1000
"""Visits over which weights are kept exactly."""
_MIX = 0x4D


def quotas_of(weights: Sequence[float]) -> tuple[int, ...]:
    """How many of `BLOCK_VISITS` visits go to each source: in proportion to its weight, the largest remainders rounded up."""
    shares = np.asarray(weights, dtype=np.float64) / sum(weights) * BLOCK_VISITS
    quotas = np.floor(shares).astype(np.int64)
    missing = BLOCK_VISITS - int(quotas.sum())
    quotas[np.argsort(quotas - shares, kind="stable")[:missing]] += 1
    return tuple(quotas.tolist())


class Mixing:
    """An endless order of visits in blocks: each block gives every source its quota, in an order shuffled anew.

    Each source counts its own visits, so it can walk its own epochs. `quotas` are visits a block; with the sources' sizes as
    quotas a block is one epoch over all of them.
    """

    def __init__(self, quotas: Sequence[int], *, seed: int) -> None:
        assert sum(quotas) > 0
        self._quotas = np.asarray(quotas, dtype=np.int64)
        self._seed, self.block_visits = seed, int(sum(quotas))
        self._sources = np.repeat(np.arange(len(quotas)), self._quotas)
        self._block = lru_cache(maxsize=4)(self._shuffled_block)

    def at(self, first: int, count: int) -> tuple[Int64[np.ndarray, "visits"], Int64[np.ndarray, "visits"]]:
        """For the visits `first` .. `first + count`: the source of each, and which of that source's visits it is."""
        sources, numbers = [], []
        for block in range(first // self.block_visits, -(-(first + count) // self.block_visits)):
            here = slice(max(first - block * self.block_visits, 0), first + count - block * self.block_visits)
            block_sources, ranks = (column[here] for column in self._block(block))
            sources.append(block_sources)
            numbers.append(block * self._quotas[block_sources] + ranks)
        return np.concatenate(sources), np.concatenate(numbers)

    def _shuffled_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """The source of each visit of a block, and its rank among the block's visits to that source."""
        sources = self._sources[shuffled(self.block_visits, self._seed, _MIX, block)]
        ranks = np.empty(self.block_visits, dtype=np.int64)
        ranks[np.argsort(sources, kind="stable")] = np.arange(self.block_visits) - np.repeat(
            np.cumsum(self._quotas) - self._quotas, self._quotas
        )
        return sources, ranks

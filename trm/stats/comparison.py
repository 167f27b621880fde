"""Two configurations on the same puzzles: how much one solves more, and how sure that is, seeds and puzzles both counted."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from trm.stats.intervals import t_quantile_975


@dataclass(frozen=True)
class Comparison:
    """One configuration against another on the puzzles of a split; plain values, so `dataclasses.asdict` is JSON."""

    difference: float
    """Of the means over seeds and puzzles; above 0: the first is better."""
    interval_95: tuple[float, float] | None
    """Of `difference`, for other seeds and other puzzles; null where one of the two has a single seed."""
    puzzles: int
    better: int
    """Puzzles that the first solves on a larger share of its seeds (scores better, on average)."""
    worse: int
    seeds: tuple[int, int]

    @property
    def is_supported(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval_95 is not None and (self.interval_95[0] > 0 or self.interval_95[1] < 0)


def compare(
    first: Float64[np.ndarray, "seeds puzzles"],
    second: Float64[np.ndarray, "other_seeds puzzles"],
    mode: Literal["max", "min"] = "max",
) -> Comparison:
    """The comparison of per-puzzle scores, a row a seed; the puzzles are the same, so their difficulty cancels.

    Two sources of chance are added: seeds (the means of a configuration's seeds scatter) and puzzles (the differences scatter
    from puzzle to puzzle); Student's interval has the degrees of freedom of Welch and Satterthwaite.
    """
    sign, count = (1.0 if mode == "max" else -1.0), first.shape[1]
    differences = sign * (first.mean(0) - second.mean(0))
    parts = [(sides.mean(1).var(ddof=1) / len(sides), len(sides) - 1) for sides in (first, second) if len(sides) > 1]
    if count > 1:
        parts.append((differences.var(ddof=1) / count, count - 1))
    interval = None
    if len(first) > 1 and len(second) > 1:
        variance = sum(part for part, _ in parts)
        freedom = variance**2 / sum(part**2 / free for part, free in parts) if variance > 0 else 1.0
        half = t_quantile_975(round(freedom, 1)) * math.sqrt(variance)
        interval = (float(differences.mean()) - half, float(differences.mean()) + half)
    return Comparison(
        difference=float(differences.mean()),
        interval_95=interval,
        puzzles=count,
        better=int((differences > 0).sum()),
        worse=int((differences < 0).sum()),
        seeds=(len(first), len(second)),
    )

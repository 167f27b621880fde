"""How good scored trials are, across rungs: a value a score, as if all trials had come to each rung.

At the first rung a trial's value is the normal score of its rank. Only some trials come to a rung above, and not by chance: those
share out among themselves the values that they held below, by their order there. So nobody rises above trials that were never
compared with him there, and neither the scale of scores nor what a rung adds to all of them counts. Equal scores share.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def standings(scores: Sequence[Mapping[int, float]]) -> list[tuple[int, int, float]]:
    """(trial, rung, value), rung by rung from the lowest: values larger for the better; the last of a trial is what it is worth.

    `scores`: by trial its scores by rung, less is better; a trial without any stands behind all at the lowest rung.
    """
    from scipy.special import ndtri  # slow to import, and a sweep's first trials need none

    rungs = sorted({rung for one in scores for rung in one})
    held: dict[int, float] = {}
    rows: list[tuple[int, int, float]] = []
    for at, rung in enumerate(rungs):
        there = [trial for trial, one in enumerate(scores) if rung in one or (at == 0 and not one)]
        ranks = _middles([scores[trial].get(rung, np.inf) for trial in there])
        known = np.sort([-held[trial] for trial in there if trial in held])
        values = _handed_out(ranks, known) if len(known) else ndtri(1 - ranks / len(there))
        held |= dict(zip(there, map(float, values), strict=True))
        rows += [(trial, rung, held[trial]) for trial in there]
    return rows


def _middles(values: Sequence[float]) -> Array:
    """Ranks from a half, the least value first; equals share their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - count / 2)[place])


def _handed_out(ranks: Array, known: Array) -> Array:
    """Values by rank, from the sorted negatives of those that are held; trials that hold none take places between them."""
    places = ranks * len(known) / len(ranks) - 0.5
    return np.asarray(-np.interp(places, np.arange(len(known)), known))

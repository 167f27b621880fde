"""ARC's ballots as a person looks at them: the grids that were voted for, from recorded answers."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from trm.tasks.arc.augment import crop, invert
from trm.tasks.arc.votes import ABSENT, Candidates, grid_hashes, tally
from trm.tasks.voted import Candidate, Votes

MOST_CANDIDATES = 6
"""Grids of a ballot that are shown, and the right one."""


def shown_votes(answers: Mapping[str, np.ndarray], truths: Mapping[int, UInt8[np.ndarray, " cells"]]) -> dict[int, Votes]:
    """The ballot of each row in `truths`, its right canvas by its number; rows without a vote are left out.

    `answers`: `row`, `augmentation` (its code), `cells` and `halting_probability` of every vote, in the order of the votes.
    """
    grids = np.array(invert(crop(answers["cells"]), answers["augmentation"]))
    rows = answers["row"].astype(np.int64)
    found = tally(rows, grid_hashes(grids), answers["halting_probability"])
    return {row: _votes(found, row, grids, truth) for row, truth in truths.items() if (found.pairs == row).any()}


def _votes(found: Candidates, row: int, grids: np.ndarray, truth: np.ndarray) -> Votes:
    here = np.flatnonzero(found.pairs == row)  # the best first
    right = np.flatnonzero(found.grids[here] == grid_hashes(truth[None])[0])
    rank = int(right[0]) if len(right) else ABSENT
    shown = [*range(min(MOST_CANDIDATES, len(here))), *([rank] if rank >= MOST_CANDIDATES else [])]
    candidates = [
        Candidate(
            grids[found.firsts[here[place]]],
            int(found.votes[here[place]]),
            float(found.probabilities[here[place]]),
            place == rank,
        )
        for place in shown
    ]
    return Votes(int(found.votes[here].sum()), len(here), rank + 1, candidates)

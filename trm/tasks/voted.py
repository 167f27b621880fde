"""What a question's votes came to, grid by grid: of puzzles of which several rows answer one question."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Candidate:
    """A grid that was voted for."""

    cells: UInt8[np.ndarray, " cells"]
    votes: int
    probability: float
    """Mean halting probability of its votes."""
    right: bool


@dataclass(frozen=True, eq=False)
class Votes:
    """The ballot of a question, the best candidates first."""

    votes: int
    grids: int
    """How many different ones were voted for."""
    rank: int
    """Place of the right grid, from 1; 0: nobody voted for it."""
    candidates: Sequence[Candidate]
    """The first ones, and the right one where it was voted for."""

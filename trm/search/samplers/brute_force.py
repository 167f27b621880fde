"""Every point of a grid."""

from typing import Literal

from trm.config.base import Written


class BruteForce(Written):
    """Every configuration of a finite space, in random order."""

    type: Literal["brute_force"] = "brute_force"
    """Names the sampler."""

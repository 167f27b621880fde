"""Every point of a grid."""

from typing import ClassVar, Literal

from trm.search.samplers.sampler import Ask, SamplerSettings


class BruteForce(SamplerSettings):
    """Every configuration of a finite space, in random order."""

    tries: ClassVar[Literal["proposals", "walk", "earlier"]] = "walk"

    type: Literal["brute_force"] = "brute_force"
    """Names the sampler."""

    def sampler(self, ask: Ask) -> None:
        """None: what is left is walked through."""

"""Random search."""

from typing import Literal

from trm.search.samplers.sampler import Ask, SamplerSettings


class RandomSearch(SamplerSettings):
    """Independent draws."""

    type: Literal["random"] = "random"
    """Names the sampler."""

    def sampler(self, ask: Ask) -> None:
        """None: draws at random."""

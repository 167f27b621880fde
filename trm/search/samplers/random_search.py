"""Random search."""

from typing import ClassVar, Literal

from trm.search.samplers.sampler import Ask, SamplerSettings


class RandomSearch(SamplerSettings):
    """Independent draws."""

    mixes_with_beliefs: ClassVar[bool] = True

    type: Literal["random"] = "random"
    """Names the sampler."""

    def sampler(self, ask: Ask) -> None:
        """None: draws at random."""

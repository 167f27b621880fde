"""Configurations of earlier sweeps first."""

from typing import ClassVar, Literal

from pydantic import Field

from trm.search.journal.priors import Prior, PriorTrial
from trm.search.samplers.sampler import Ask, SamplerSettings


class Transfer(SamplerSettings):
    """No search of its own: the ranking of an earlier, smaller sweep (`--warm-start`) is tried on a few of its configurations."""

    tries: ClassVar[Literal["proposals", "walk", "earlier"]] = "earlier"

    type: Literal["carried"] = "carried"
    """Names the sampler."""
    best: int = Field(5, ge=1, le=1000)
    """The earlier sweep's best configurations."""
    others: int = Field(3, ge=0, le=1000)
    """And so many spread over the rest of its ranking, without which nobody could tell whether the ranking held."""

    def sampler(self, ask: Ask) -> None:
        """None: nothing is proposed."""

    def from_earlier(self, earlier: Prior) -> list[PriorTrial]:
        """The best of an earlier sweep and some spread evenly over the rest down to its last, in turn."""
        best, rest = earlier.trials[: self.best], earlier.trials[self.best :]
        count = min(self.others, len(rest))
        spread = [rest[round((index + 1) * len(rest) / count) - 1] for index in reversed(range(count))]
        turns = [pair for index in range(max(len(best), count)) for pair in (best[index : index + 1], spread[index : index + 1])]
        return [one for pair in turns for one in pair]

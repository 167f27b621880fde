"""NSGA-II and NSGA-III."""

from typing import ClassVar, Literal

from optuna.samplers import NSGAIIISampler, NSGAIISampler
from pydantic import Field

from trm.errors import ConfigError
from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.settings import Objective


class NSGA2(SamplerSettings):
    """Optuna's NSGA-II; it learns from all scored trials."""

    reads_finished_alone: ClassVar[bool] = True

    type: Literal["nsga2"] = "nsga2"
    """Names the sampler."""
    population: int = Field(20, ge=2)
    """Trials in a generation."""

    def sampler(self, ask: Ask) -> NSGAIISampler:
        """Its generations are in the notes of the trials asked before."""
        return NSGAIISampler(seed=ask.seed, population_size=self.population)


class NSGA3(SamplerSettings):
    """Optuna's NSGA-III, which spreads trials over a front of three objectives or more; it learns from all scored trials."""

    type: Literal["nsga3"] = "nsga3"
    """Names the sampler."""
    population: int = Field(20, ge=2)
    """Trials in a generation."""
    divisions: int = Field(3, ge=1, le=50)
    """Points of reference along the edge of the front, less one."""

    def sampler(self, ask: Ask) -> NSGAIIISampler:
        """Its generations are in the notes of the trials asked before."""
        return NSGAIIISampler(seed=ask.seed, population_size=self.population, dividing_parameter=self.divisions)

    def check(self, objective: Objective) -> None:
        """ConfigError for a single objective."""
        if not objective.against:
            raise ConfigError(
                f"sampler nsga3 spreads trials over a front, and {objective.metric} is the only objective",
                remedy="name what it is weighed against in objective.against, or take tpe or nsga2",
            )

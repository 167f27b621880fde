"""NSGA-II and NSGA-III."""

from typing import Literal

from pydantic import Field

from trm.config.base import Written


class NSGA2(Written):
    """Optuna's NSGA-II; it learns from finished trials only, with `objective.against` from all scored ones."""

    type: Literal["nsga2"] = "nsga2"
    """Names the sampler."""
    population: int = Field(20, ge=2)
    """Trials in a generation."""


class NSGA3(Written):
    """Optuna's NSGA-III, which spreads trials over a front of three objectives or more; it learns from all scored trials."""

    type: Literal["nsga3"] = "nsga3"
    """Names the sampler."""
    population: int = Field(20, ge=2)
    """Trials in a generation."""
    divisions: int = Field(3, ge=1, le=50)
    """Points of reference along the edge of the front, less one."""

"""Configurations of earlier sweeps first."""

from typing import Literal

from pydantic import Field

from trm.config.base import Written


class Carried(Written):
    """No search of its own: the ranking of an earlier, smaller sweep (`--warm-start`) is tried on a few of its configurations."""

    type: Literal["carried"] = "carried"
    """Names the sampler."""
    best: int = Field(5, ge=1, le=1000)
    """The earlier sweep's best configurations."""
    others: int = Field(3, ge=0, le=1000)
    """And so many spread over the rest of its ranking, without which nobody could tell whether the ranking held."""

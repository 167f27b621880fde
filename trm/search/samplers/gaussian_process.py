"""Gaussian process."""

from typing import Literal

from pydantic import Field

from trm.config.base import Written


class GaussianProcess(Written):
    """Optuna's Gaussian process (needs scipy and torch at run time); it learns from finished trials only."""

    type: Literal["gp"] = "gp"
    """Names the sampler."""
    startup_trials: int = Field(10, ge=1)
    """Finished trials before the process takes over from random draws."""

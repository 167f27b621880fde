"""Random search."""

from typing import Literal

from trm.config.base import Written


class RandomSearch(Written):
    """Independent draws."""

    type: Literal["random"] = "random"
    """Names the sampler."""

"""A researcher's belief where a knob's good values lie, as a search space says it (PriorBand, arXiv 2306.12370)."""

from typing import Literal

from trm.config.base import Written

Confidence = Literal["low", "medium", "high"]
WIDTHS: dict[Confidence, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Standard deviation of a belief, as a share of the knob's range."""


class Belief(Written):
    """Where a knob's good values are believed to lie."""

    at: bool | int | float | str | None
    """The value that is believed to be best; the first trial has it."""
    confidence: Confidence = "medium"
    """How near to it they lie: of a range, or a choice among numbers, most within a half (low), a quarter or an eighth (high) of
    the range; of another choice it is twice, four or eight times as likely as each other value."""

    @property
    def width(self) -> float:
        """Standard deviation, as a share of the knob's range."""
        return WIDTHS[self.confidence]

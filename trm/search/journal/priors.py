"""What a sweep knows of earlier ones: read once at its start, journaled with its first line, never read again."""

from typing import Any, Literal

from pydantic import Field

from trm.config.base import Frozen


class PriorScore(Frozen):
    """What an earlier trial reached."""

    share: float
    """Of the earlier sweep's `budget.per_trial`."""
    objective: float
    loss: float | None = None
    """What breaks ties in the new sweep (`order.py`): validation loss, of the new sweep's kind; null: unknown."""


class PriorTrial(Frozen):
    """A configuration that an earlier sweep tried, as the new space has it; repetitions are one."""

    trials: list[int]
    """Numbers there."""
    params: dict[str, Any]
    """Searched path of the new space -> value."""
    digest: str
    """As `Asked.digest`: trials of equal digest are the same run, seeds apart."""
    scores: list[PriorScore] = Field(min_length=1)
    """By growing share; a repeated one's are means."""


class Prior(Frozen):
    """An earlier sweep."""

    name: str
    source: str
    """Its folder, absolute, as it was when it was read."""
    differences: list[str] = Field(default_factory=list)
    """What makes its scores another question's, in words: data, objective, length, configuration. It counts for less then."""
    left_out: list[str] = Field(default_factory=list)
    """What of it could not be used, in words."""
    mode: Literal["max", "min"] = "max"
    """Whether more is better in its scores."""
    trials: list[PriorTrial] = Field(default_factory=list)
    """Best first."""


def prior_summary(prior: Prior) -> dict[str, Any]:
    """What people are told of an earlier sweep: everything but its configurations."""
    return {**prior.model_dump(exclude={"trials", "mode"}), "configurations": len(prior.trials)}

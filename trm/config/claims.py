"""What others published of their networks: a share, of how many puzzles, and by which protocol it was counted."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from trm.config.base import Frozen
from trm.config.files import load_yaml, validated

SHIPPED = Path(__file__).with_name("claims.yaml")
"""The claims that come with the package."""


class Claim(Frozen):
    """One published share."""

    by: str = Field(min_length=1)
    """Who claims it, briefly."""
    source: str = Field(min_length=1)
    """Where it stands."""
    task: str = Field(min_length=1)
    """The kind of puzzle, as data sets say it."""
    data: tuple[str, ...] = Field(min_length=1)
    """Names of our data sets with the puzzles that it is of."""
    split: str = Field(min_length=1)
    """Which puzzles: train, validation, test, or another choice, which ours never is."""
    metric: str = Field(pattern=r"^(exact_accuracy|pass@[1-9][0-9]*)$")
    """Share of puzzles that are right in every cell, or within K attempts."""
    share: float = Field(ge=0, le=1)
    """The claim: 0.874 for 87.4 %."""
    count: int = Field(ge=1)
    """Of how many puzzles, tasks or pairs; intervals are by this number."""
    counts: Literal["puzzles", "tasks", "pairs"] = "puzzles"
    """What is counted."""
    augmentations: int | None = Field(None, ge=0)
    """How many augmentations of a task vote beside the task as it is; null: none can."""
    steps: int | None = Field(None, ge=1)
    """Supervision steps of an answer; null: not said, and then no difference."""
    rollouts: int = Field(1, ge=1)
    """Answers of which one is chosen."""
    note: str = ""
    """What else one should know."""

    @model_validator(mode="after")
    def _attempts_are_of_tasks(self) -> "Claim":
        if self.metric.startswith("pass@") == (self.counts == "puzzles"):
            raise ValueError(
                f"pass@K counts tasks or pairs, and exact_accuracy puzzles; {self.by} has {self.metric} of {self.counts}"
            )
        return self


class Claims(Frozen):
    """A file of claims."""

    claims: tuple[Claim, ...] = Field(min_length=1)
    """In the order in which they are told."""


def read_claims(path: str | Path | None) -> tuple[Claim, ...]:
    """The claims of a YAML file, or those that are shipped; ConfigError for everything wrong with it."""
    source = path or SHIPPED
    return validated(Claims, load_yaml(source), str(source)).claims

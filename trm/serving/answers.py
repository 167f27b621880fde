"""What a question comes to: the answer that counts, what led to it, and whether it keeps the puzzle's rules."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trm.data.format.manifest import Manifest
from trm.serving.validity import Verdict
from trm.tasks.play import Cells, Play


@dataclass(frozen=True, eq=False)
class TracedStep:
    """What counted after a supervision step."""

    cells: Cells
    halting_probability: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A grid that was voted for."""

    cells: Cells
    votes: int
    halting_probability: float
    """Mean of those who voted for it."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of a question."""

    cells: Cells
    steps: int
    """Supervision steps that were made."""
    halting_probability: float
    halted_at: int | None
    """The step after which it first wanted to halt."""
    verdict: Verdict
    seconds: float
    """From the question to the answer, waiting included."""
    trace: tuple[TracedStep, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """Of several answers the different ones, the best first."""
    notes: tuple[str, ...] = ()

    def values(self, play: Play, manifest: Manifest, *, has_tokens: bool) -> dict[str, Any]:
        """JSON."""

        def grid(cells: Cells) -> dict[str, Any]:
            tokens = {"tokens": cells.tolist()} if has_tokens else {}
            return {"answer": play.written(cells, manifest), **tokens}

        made: dict[str, Any] = {
            **grid(self.cells),
            "valid": self.verdict.is_valid,
            "broken": list(self.verdict.broken),
            "steps": self.steps,
            "halting_probability": self.halting_probability,
            "halted_at": self.halted_at,
            "seconds": self.seconds,
        }
        if self.trace:
            made["trace"] = [
                {"step": number, **grid(step.cells), "halting_probability": step.halting_probability}
                for number, step in enumerate(self.trace, 1)
            ]
        if self.candidates:
            made["candidates"] = [
                {**grid(one.cells), "votes": one.votes, "halting_probability": one.halting_probability} for one in self.candidates
            ]
        if self.notes:
            made["notes"] = list(self.notes)
        return made


def probability_of(logit: float) -> float:
    """The sigmoid, for logits of any size."""
    return float(1 / (1 + np.exp(-logit))) if logit >= 0 else float(np.exp(logit) / (1 + np.exp(logit)))

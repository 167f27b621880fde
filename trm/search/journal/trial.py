"""A trial as the journal tells it."""

from dataclasses import dataclass, field
from typing import Any

from trm.search.journal.events import Adopted, Asked, Decided, LegEnded, LegStarted, TrialStatus
from trm.search.order import Score

ENDED = frozenset({"finished", "stopped", "diverged", "out_of_memory", "failed"})


@dataclass
class Trial:
    """Everything known of one trial; changed only by the fold."""

    asked: Asked
    status: TrialStatus = "running"
    results: dict[int, LegEnded] = field(default_factory=dict)
    """Completed legs, by the rung they end at."""
    scores: dict[int, Score] = field(default_factory=dict)
    """What trials are ranked by, of each of those legs."""
    leg: LegStarted | None = None
    """The leg that runs now."""
    heading: int | None = 0
    """Rung that the trial is on its way to, whether a leg runs or waits for a slot; null: it rests at a rung, or has ended."""
    attempts: dict[int, int] = field(default_factory=dict)
    """Legs started, by rung."""
    failures: int = 0
    """Legs to `heading` that failed by themselves."""
    losses: int = 0
    """Legs to `heading` that were lost with their node or process: no blame."""
    stalls: int = 0
    """Legs to `heading` that made no step for so long that they were killed."""
    adoptions: list[Adopted] = field(default_factory=list)
    """Each time that it took over another trial's checkpoint."""
    origin: str | None = None
    """Checkpoint that its next leg starts from, relative to the sweep folder; null: from scratch."""
    trouble: LegEnded | None = None
    """The last leg that did not complete."""
    decided: Decided | None = None
    control_from: int | None = None
    """Rung at which early stopping had ended it; it runs on, ranked against nobody, and shows what was lost."""
    spent_flops: float = 0.0
    """Training FLOPs of all legs, those of failed attempts included."""
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    overhead_seconds: float = 0.0

    @property
    def number(self) -> int:
        """The trial's number, from 0."""
        return self.asked.trial

    @property
    def is_control(self) -> bool:
        """Whether early stopping had ended it and it runs on."""
        return self.control_from is not None

    @property
    def is_confirmation(self) -> bool:
        """Whether it trains another trial's configuration again, for the sake of a fresh seed."""
        return self.asked.confirms is not None

    @property
    def is_ranked(self) -> bool:
        """Whether its scores stand on the rungs' boards."""
        return not self.is_control and not self.is_confirmation

    @property
    def params(self) -> dict[str, Any]:
        """Searched path -> value, as they are now."""
        return self.adoptions[-1].params if self.adoptions else self.asked.params

    @property
    def shown_params(self) -> dict[str, Any]:
        """The same as the run has them, where its length caps some: what a person is shown."""
        asked = self.asked
        return self.params | {path: value for path, value in asked.used.items() if self.params.get(path) == asked.params[path]}

    @property
    def rung(self) -> int | None:
        """The last rung it was scored at."""
        return max(self.results) if self.results else None

    @property
    def next_rung(self) -> int:
        """The rung that it is on the way to, or would go on to."""
        if self.heading is not None:
            return self.heading
        assert self.rung is not None, "a trial that rests was scored"
        return self.rung + 1

    @property
    def steps(self) -> int:
        """Optimizer steps at its last rung."""
        return self.result.steps if self.result is not None else 0

    @property
    def result(self) -> LegEnded | None:
        """Result of its last completed leg."""
        return self.results[max(self.results)] if self.results else None

    @property
    def score(self) -> Score | None:
        """What the trial is ranked by among all trials: its last score."""
        return self.scores[max(self.scores)] if self.scores else None

    @property
    def checkpoint(self) -> str | None:
        """Checkpoint of that rung, relative to the sweep folder."""
        return self.result.checkpoint if self.result is not None else None

    @property
    def is_reopenable(self) -> bool:
        """Whether a sweep that goes on may take it up again."""
        return self.status == "paused" or (self.status == "stopped" and self.decided is not None and self.decided.reopens)

    @property
    def is_waiting(self) -> bool:
        """Whether a leg should run but none does: newly asked, to be tried again, or interrupted."""
        return self.heading is not None and self.leg is None and (self.status == "running" or self.is_reopenable)

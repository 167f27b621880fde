"""What the loop tells whoever started it, and what it may be told in return: to stop."""

from dataclasses import dataclass, field

from trm.data.format.manifest import SplitName


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step."""

    step: int
    """Optimizer steps made since the run's start."""
    until_steps: int
    """Step at which this call of the loop ends."""
    train_flops: float
    """Training FLOPs spent since the run's start."""
    seconds: float
    """Seconds that this call of the loop has trained."""
    steps_per_second: float
    """Speed of this call."""
    loss: float
    """Mean loss a row when the sums were last fetched from the device; NaN before."""
    lr: float
    """Learning rate of the backbone at this step."""

    @property
    def seconds_left(self) -> float:
        """Training seconds until `until_steps` at this speed."""
        return (self.until_steps - self.step) / self.steps_per_second


@dataclass(frozen=True)
class RunReport:
    """One evaluation of a run, a line of its `metrics.jsonl`."""

    step: int
    """Optimizer steps since the run's start."""
    total_steps: int
    """Steps of the whole run."""
    train_flops: float
    """Training FLOPs since the run's start."""
    validation: dict[str, float]
    """What the evaluation on validation gives; empty where the run does not score it."""
    training: dict[str, float]
    """Means over the steps since the last report."""
    seconds: dict[str, float]
    """Seconds of this process so far: `training`, `evaluation`, `other`."""
    seconds_left: float
    """Seconds until the run ends, evaluations included, at the speed so far."""
    is_best: bool
    """Whether no earlier evaluation of the run was better; the last weights are the best of a run that is scored at its end."""
    test: dict[str, float] = field(default_factory=dict)
    """What the evaluation on test gives; empty where the run does not score it."""
    label: str = "validation"
    """What was scored, and what the figures are worth."""
    at: float = 0.0
    """Unix seconds."""

    @property
    def split(self) -> SplitName | None:
        """The split that was scored; None: nothing was."""
        return "validation" if self.validation else "test" if self.test else None

    @property
    def scores(self) -> dict[str, float]:
        """What the evaluation gives, whatever was scored; empty where nothing was."""
        return self.validation or self.test


class Reporter:
    """Hears what happens, and says nothing; derive from it to show progress or to stop a run.

    The loop calls it in the leader and in every other worker of a gang alike; what one of them answers holds for all.
    """

    def on_step(self, progress: Progress) -> bool:
        """Called after every optimizer step, so it must be cheap; True asks to stop."""
        return False

    def on_evaluation(self, done: int, total: int) -> bool:
        """Called after every batch of an evaluation, `done` of `total`; True asks to stop."""
        return False

    def on_report(self, report: RunReport) -> None:
        """Called by the leader of a whole run after every evaluation."""


SILENT = Reporter()
"""Hears and says nothing."""

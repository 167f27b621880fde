"""What a training loop is fed with: batches of puzzles, episodes, or whatever else its loss can read."""

from typing import Any, Protocol, runtime_checkable

from trm.data.batches.plan import Position

Item = Any
"""What one optimizer step is fed with; only the loss looks into it (`Loss.arrays`)."""


@runtime_checkable
class Feed(Protocol):
    """This worker's share of what every step takes, a function of the step: the batch plans of `trm.data` are such."""

    def batch(self, step: int) -> Item:
        """What `step` (from 0) takes."""

    def position(self) -> Position:
        """Where the next step begins: after the one asked for last. It goes to the checkpoint."""

    def restore(self, position: Position) -> None:
        """Makes what comes from `position` on cheap to reach; CheckpointError when it is another feed's."""

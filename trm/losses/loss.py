"""What a loss is to the step that makes its gradients: it reads a batch, says how it goes backward, and names its parts."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from trm.distributed import Gang
from trm.models.halting import Carry
from trm.models.puzzle_embedding import PuzzleEmbedding

ROWS = "rows"
"""Count of the rows of the batch, that a metric is a mean over: every loss has it."""


@dataclass(frozen=True)
class Pass:
    """One backward pass of an update; gradients of several add up, unless the loss takes them away in between."""

    loss: Tensor
    """() mean over this worker's rows: workers' gradients are averaged."""
    keeps_graph: bool = False
    """Whether a later pass goes through the same forward pass once more."""


@dataclass(frozen=True)
class Learned:
    """What an update was made from, when all its passes are made."""

    carry: Carry
    """What the slots hold from here on."""
    sums: Mapping[str, Tensor]
    """() each, by the names in `Loss.metrics`, and the counts that these are means over but for `ROWS`."""
    passes: int = 1
    """Supervision steps of every slot that the sums are of."""


@runtime_checkable
class Tally(Protocol):
    """Keeps how often each base puzzle was answered, and how often rightly."""

    def add(self, groups: Tensor, refilled: Tensor, halted: Tensor, is_right: Tensor) -> None:
        """Counts a supervision step: slots that took a puzzle of `groups` before it, those that halted after it and were right."""


@dataclass(frozen=True)
class Work:
    """What an update is made from, all of it on the device: fresh arrays, the slots, the network."""

    arrays: Mapping[str, Tensor]
    """What `Loss.arrays` gave for this step."""
    carry: Carry
    """What the slots hold."""
    model: Any
    """The network, for forward passes that learn nothing."""
    network: nn.Module
    """The network as it is trained: in a gang its backward pass averages the gradients of all workers."""
    table: PuzzleEmbedding | None
    """The puzzle embedding; None where the network has none."""
    learns_rows: bool = True
    """Whether the puzzle embedding learns."""
    touched: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Identifiers and rows of the puzzle embedding that `rows` lent; the update reads their gradients."""

    tally: Tally | None = None
    """What keeps the answers of each puzzle; None where nobody asks for them."""

    def answered(self, refilled: Tensor, halted: Tensor, is_right: Tensor) -> None:
        """Tells of a supervision step which slots took a fresh puzzle before it, halted after it, and were right, (batch,) bool."""
        if self.tally is not None:
            self.tally.add(self.arrays["groups"], refilled, halted, is_right)

    def rows(self, identifiers: Tensor) -> Tensor | None:
        """Rows of the puzzle embedding (batch, ndim) whose gradients will update it, if it learns; None where there is none."""
        if self.table is None:
            return None
        if not self.learns_rows:
            return self.table.rows(identifiers)
        rows = self.table.rows(identifiers, requires_grad=True)
        self.touched.append((identifiers, rows))
        return rows


@runtime_checkable
class Loss(Protocol):
    """How a network learns from what it is fed; an item of the feed is whatever its loss can read."""

    @property
    def metrics(self) -> Mapping[str, str]:
        """Name of a sum that training reports -> the count that it is a mean over, `ROWS` or a sum of the loss's own.

        `loss`, what the passes add up to, is among them.
        """

    def arrays(self, item: Any, step: int, gang: Gang) -> dict[str, np.ndarray]:
        """What the device needs of an item of the feed, by name, this worker's share; the same names and shapes at every step.

        Draws belong here, keyed by (seed, step, slot); and the keys of what the device draws (`trm.models.keyed_draws`).
        """

    def passes(self, work: Work) -> Generator[Pass, None, Learned]:
        """One update: every pass yielded is made backward before the loss goes on, which may read and change gradients then.

        On CUDA it runs while a graph is recorded: no value of a tensor may be asked for.
        """

    def of_answers(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of answers alone, (batch,) a value a row: what a validation calls `loss`."""

"""What an outbox asks of a tracking store, whatever store that is."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from trm.search.journal.events import SweepStarted
from trm.search.space.space import SearchSpace
from trm.tracking.pages import Pages
from trm.tracking.values import Held, RunUpdate

Say = Callable[[Literal["problem", "refused", "recovered", "again", "sent", "left"], str], None]


class Vanished(Exception):
    """Runs that the store had are gone; what they had goes out again."""


@runtime_checkable
class Store(Protocol):
    """Where runs are kept. Every call may be repeated after a failure, and must then change nothing that was done already.

    A call raises when the store cannot be reached, and `Vanished` when a run of the sweep is there no more.
    """

    def held(self, sweep: SweepStarted) -> dict[int | None, Held]:
        """The sweep's runs that the store has, and how far each of them is."""

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        """Take in the updates, in their order."""

    def pages(self, sweep: SweepStarted) -> Pages:
        """Where its runs are shown."""

    def describe(self, sweep: SweepStarted, note: str, space: SearchSpace) -> None:
        """Make `note` the description of the sweep's run, unless a person changed it, and have a view of its trials."""

    def files(self, sweep: SweepStarted) -> dict[str, int]:
        """The files of the sweep's run that the store has, by their paths there, with their sizes in bytes."""

    def upload(self, sweep: SweepStarted, file: Path, folder: str) -> int:
        """Keep a file of the sweep under `folder` ("" for the top) of the sweep's run; its bytes as they are kept."""

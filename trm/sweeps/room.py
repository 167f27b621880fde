"""Room on the sweep's disk: for the next checkpoints, and for the journal; old checkpoints give way first."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from trm.files.disk import free_bytes, full_text, in_units, is_disk_full
from trm.search.state import SweepState
from trm.sweeps.checkpoints import CheckpointRetention

T = TypeVar("T")


class Room:
    """Looks whether there is room, makes some by `keep` where there is none, and tells once when even that is too little."""

    def __init__(self, state: SweepState, folder: Path, keeper: CheckpointRetention, on_full: Callable[[str], None]) -> None:
        """`on_full` is told in words how full the disk is, the first time."""
        self._state, self._folder, self._keeper, self._on_full = state, folder, keeper, on_full
        self.full: str | None = None
        """How full the disk is, once it was found too full to go on."""

    def durably(self, write: Callable[[], T]) -> T | None:
        """What `write` returns; None after the disk was found full, and pruning did not help."""
        for is_last in (False, True):
            try:
                return write()
            except OSError as error:
                if not is_disk_full(error):
                    raise
                if is_last or not self._keeper.prune():
                    self.give_up(str(error))
                    return None
        return None

    def has_room(self, trial: int, running: Iterable[int]) -> bool:
        """Whether checkpoints of the running trials and, twice, of `trial`, which is to run, find room; gives up when not."""
        needed = self._needed_bytes(trial, running)
        if free_bytes(self._folder) >= needed or self._is_made(needed):
            return True
        self.give_up(f"the next checkpoints need {in_units(needed)}")
        return False

    def makes_room(self, trial: int, running: Iterable[int], error: str, where: str) -> bool:
        """Whether a leg of `trial` that met a full disk, with `error`, finds room after pruning; gives up when not.

        Where checkpoints are objects it was no disk of ours, but that of a worker on the nodes `where`, which has copies of some.
        """
        if not self._keeper.is_on_disk:
            self._give_up_with(f"the disk of a worker on {where or 'an unknown node'} is full: {error}")
            return False
        needed = self._needed_bytes(trial, running)
        if self._is_made(needed):
            return True
        self.give_up(f"the next checkpoints need {in_units(needed)} ({error})")
        return False

    def give_up(self, why: str) -> None:
        """The disk is too full to go on, for that reason."""
        self._give_up_with(full_text(self._folder, why))

    def _give_up_with(self, full: str) -> None:
        if self.full is None:
            self.full = full
            self._on_full(full)

    def _is_made(self, needed: int) -> bool:
        return bool(self._keeper.prune()) and free_bytes(self._folder) >= needed

    def _needed_bytes(self, trial: int, running: Iterable[int]) -> int:
        if not self._keeper.is_on_disk:
            return 0
        return sum(self._state.trials[number].asked.checkpoint_bytes for number in (trial, *running, trial))

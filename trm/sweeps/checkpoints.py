"""Which checkpoints stay: what a leg may still start from, always; what was superseded, never; the rest as `keep` says."""

import contextlib
import os
from pathlib import Path

from trm.files.atomic import remove_folder, remove_hidden
from trm.files.contained import inside
from trm.search.findings.confirmed import best_run
from trm.search.journal.trial import ENDED, Trial
from trm.search.state import SweepState
from trm.training.leg import outcome_beside

CHECKPOINT_MARK = "meta.json"
"""A folder with this file is a whole checkpoint."""


class CheckpointRetention:
    """Deletes what is not needed below `folder`/trials. It looks again only at trials of which it was told."""

    def __init__(self, state: SweepState, folder: Path) -> None:
        """All trials are looked at when `prune` is called first."""
        self._state, self._folder = state, folder
        self._changed = set(range(len(state.trials)))
        self._bytes: dict[int, int] = {}
        """Bytes of the checkpoints of trials that have ended."""

    def note(self, trial: int) -> None:
        """Something happened to the trial."""
        self._changed.add(trial)

    def prune(self) -> int:
        """Delete what may go; the bytes that this gave back.

        A trial that was stopped where it rested may be taken up again by a sweep that goes on with more compute: without its
        checkpoint it trains from its start. One that was cut short on its way has not ended.
        """
        state = self._state
        needed = state.needed_checkpoints()
        freed = 0
        for number in sorted(self._changed):
            trial = state.trials[number]
            if trial.leg is not None:
                continue  # its own leg writes there, and tidies up
            freed += self._prune_superseded(trial, needed)
            self._bytes.pop(number, None)
            if _has_ended(trial):
                self._bytes[number] = folder_bytes(trial_folder(self._folder, number))
            self._changed.discard(number)
        return freed + self._prune_ended(needed)

    def _prune_superseded(self, trial: Trial, needed: set[str]) -> int:
        """Older rungs, attempts that a result replaced, what killed writers left; of a trial that is over all but its result."""
        folder = trial_folder(self._folder, trial.number)
        reached = trial.result.steps if trial.result is not None else -1
        is_done = _has_ended(trial) and not trial.is_reopenable
        remove_hidden(folder)
        freed = 0
        for path in folder.glob("step-*-attempt-*[0-9]"):
            name = path.relative_to(self._folder).as_posix()
            if (is_done or step_of(path) <= reached) and name != trial.checkpoint and name not in needed:
                freed += _delete(path)
        if is_done:
            for path in folder.glob("step-*.json"):
                if not path.with_suffix("").exists():
                    path.unlink()
            with contextlib.suppress(OSError):  # something is left
                folder.rmdir()
        return freed

    def _prune_ended(self, needed: set[str]) -> int:
        keep = self._state.space.keep
        if keep.best is None and keep.bytes is None:
            return 0
        ranked = [trial.number for trial in self._state.leaderboard()]
        place = {number: index for index, number in enumerate(ranked)}
        worst_first = sorted((number for number, size in self._bytes.items() if size), key=lambda n: -place.get(n, len(ranked)))
        lenders = {Path(name).parent.name for name in needed}
        held = self._held(ranked)
        free = [n for n in worst_first if trial_folder(self._folder, n).name not in lenders and n not in held]
        total = sum(self._bytes.values()) + (self._open_bytes() if keep.bytes is not None else 0)
        freed = 0
        for number in free:
            is_too_much = keep.bytes is not None and total - freed > keep.bytes
            if is_too_much or (keep.best is not None and place.get(number, len(ranked)) >= keep.best):
                freed += self._forget(number)
        return freed

    def _held(self, ranked: list[int]) -> set[int]:
        """Trials whose weights may yet be exported: the best; of every confirmed one its best run: more seeds may make it win."""
        runs = [best_run(self._state, number) for number in self._state.confirmations]
        return {run.number for run in runs if run is not None} | set(ranked[:1])

    def _open_bytes(self) -> int:
        opened = (trial.number for trial in self._state.trials if not _has_ended(trial))
        return sum(folder_bytes(trial_folder(self._folder, number)) for number in opened)

    def _forget(self, number: int) -> int:
        folder = trial_folder(self._folder, number)
        self._bytes[number] = 0
        freed = folder_bytes(folder)
        remove_folder(folder)
        return freed


def _has_ended(trial: Trial) -> bool:
    return trial.status in ENDED and not trial.is_waiting


def trial_folder(folder: Path, trial: int) -> Path:
    """Where a trial's checkpoints lie in the sweep folder. FolderError when a link leads out of it."""
    return inside(folder, "trials", f"{trial:04d}")


def puzzles_file(folder: Path, trial: int) -> Path:
    """Where the scores of every single puzzle of a confirmation run lie: apart from its checkpoints, which `keep` may delete."""
    return inside(folder, "confirmation", f"{trial:04d}.parquet")


def curves_folder(folder: Path) -> Path:
    """Where the training curves of a sweep's trials lie, a Parquet file a trial: together they are one table."""
    return inside(folder, "curves")


def curve_file(folder: Path, trial: int) -> Path:
    """Where the training curve of a trial lies: apart from its checkpoints, which `keep` may delete."""
    return inside(folder, "curves", f"{trial:04d}.parquet")


def step_of(checkpoint: Path) -> int:
    """The optimizer step of a checkpoint, from its name."""
    return int(checkpoint.name.split("-")[1])


def clear_unfinished(folder: Path) -> None:
    """Remove the halves of checkpoints that a killed driver's legs left; call it with the lease held, before the first leg."""
    trials = inside(folder, "trials")
    for place in (trials, *trials.glob("[0-9]*"), curves_folder(folder)):
        remove_hidden(place)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below the folder, which may vanish meanwhile."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_size
    return total


def _delete(checkpoint: Path) -> int:
    """Remove the checkpoint first, then its outcome, which counts for nothing alone."""
    size = folder_bytes(checkpoint)
    remove_folder(checkpoint)
    outcome_beside(checkpoint).unlink(missing_ok=True)
    return size

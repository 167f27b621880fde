"""Which checkpoints stay: what a leg may still start from, always; what was superseded, never; the rest as `keep` says."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from trm.files.daemon_calls import begun
from trm.search.findings.confirmed import best_run
from trm.search.journal.trial import ENDED, Trial
from trm.search.state import SweepState
from trm.sweeps.checkpoint_stores import Superseded, checkpoint_store
from trm.sweeps.trial_files import trial_name


class CheckpointRetention:
    """Deletes what is not needed. It looks again only at trials of which it was told."""

    def __init__(self, state: SweepState, folder: Path, work: "Immediately | InBackground | None" = None) -> None:
        """Of the sweep in `folder`; all trials are looked at when `prune` is called first. `work` does it: by
        default at once on a disk, in the background where an object store answers."""
        self._state, self._store = state, checkpoint_store(state.space, folder, state.name)
        self._work = work or (Immediately() if self._store.is_on_disk else InBackground())
        self._changed = set(range(len(state.trials)))
        self._under_way: set[int] = set()
        """Trials of the last piece of work, until it is known to be done: of one that failed they are looked at again."""
        self._bytes: dict[int, int] = {}
        """Bytes of the checkpoints of trials that have ended."""

    @property
    def is_on_disk(self) -> bool:
        """Whether checkpoints take room where the sweep's folder lies."""
        return self._store.is_on_disk

    def note(self, trial: int) -> None:
        """Something happened to the trial."""
        self._changed.add(trial)

    def prune(self) -> int:
        """Delete what may go; the bytes that this gave back, of work in the background those that are known by now.

        A trial that was stopped where it rested may be taken up again by a sweep that goes on with more compute: without its
        checkpoint it trains from its start. One that was cut short on its way has not ended.
        """
        freed, needed = self._take(), self._state.needed_checkpoints()
        if superseded := [] if self._work.is_busy else self._superseded(needed):
            freed += self._begun({one.trial for one in superseded}, lambda: self._tidied(superseded))
        if worst := [] if self._work.is_busy else self._too_many(needed):
            self._bytes |= dict.fromkeys(worst, 0)
            freed += self._begun(set(worst), lambda: Pruned(sum(self._store.forget(number) for number in worst)))
        return freed

    def _begun(self, trials: set[int], job: Callable[[], "Pruned"]) -> int:
        """What the work on these trials freed, if that is known at once."""
        self._changed -= trials
        self._under_way = trials
        with self._or_again():
            self._work.start(job)
        return self._take()

    @contextlib.contextmanager
    def _or_again(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._changed |= self._under_way
            raise

    def _take(self) -> int:
        with self._or_again():
            done = self._work.take()
        if done is None:
            return 0
        for number, size in done.bytes.items():
            self._bytes.pop(number, None)
            if _has_ended(self._state.trials[number]):
                self._bytes[number] = size
        return done.freed

    def _superseded(self, needed: set[str]) -> list[Superseded]:
        """Of every trial that changed, but for those with a leg: it writes there, and tidies up."""
        trials = [self._state.trials[number] for number in sorted(self._changed)]
        return [_superseded(trial, needed) for trial in trials if trial.leg is None]

    def _tidied(self, superseded: list[Superseded]) -> "Pruned":
        freed = sum(self._store.tidy(one) for one in superseded)
        return Pruned(freed, {one.trial: self._store.bytes(one.trial) for one in superseded})

    def _too_many(self, needed: set[str]) -> list[int]:
        """Ended trials whose checkpoints go by `keep`, worst first."""
        keep = self._state.space.keep
        if keep.best is None and keep.bytes is None:
            return []
        ranked = [trial.number for trial in self._state.leaderboard()]
        place = {number: index for index, number in enumerate(ranked)}
        worst_first = sorted((number for number, size in self._bytes.items() if size), key=lambda n: -place.get(n, len(ranked)))
        lenders = {Path(name).parent.name for name in needed}
        held = self._held(ranked)
        free = [number for number in worst_first if Path(trial_name(number)).name not in lenders and number not in held]
        total = sum(self._bytes.values()) + (self._open_bytes() if keep.bytes is not None else 0)
        going = list[int]()
        for number in free:
            is_too_much = keep.bytes is not None and total > keep.bytes
            if is_too_much or (keep.best is not None and place.get(number, len(ranked)) >= keep.best):
                going.append(number)
                total -= self._bytes[number]
        return going

    def _held(self, ranked: list[int]) -> set[int]:
        """Trials whose weights may yet be exported: the best; of every confirmed one its best run: more seeds may make it win."""
        runs = [best_run(self._state, number) for number in self._state.confirmations]
        return {run.number for run in runs if run is not None} | set(ranked[:1])

    def _open_bytes(self) -> int:
        return sum(self._store.bytes(trial.number) for trial in self._state.trials if not _has_ended(trial))


@dataclass(frozen=True)
class Pruned:
    """What a piece of the retention's work came to."""

    freed: int
    bytes: dict[int, int] = field(default_factory=dict)
    """Trial -> bytes of its checkpoints."""


class Immediately:
    """Does the work while one waits: on a disk it takes no time."""

    is_busy = False

    def __init__(self) -> None:
        self._done: Pruned | None = None

    def start(self, job: Callable[[], Pruned]) -> None:
        """Does it."""
        self._done = job()

    def take(self) -> Pruned | None:
        """What the last piece came to, once."""
        done, self._done = self._done, None
        return done


class InBackground:
    """Does the work in a thread, a piece at a time, so that no leg waits for an object store."""

    def __init__(self) -> None:
        self._piece: Future[Pruned] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a piece is on its way."""
        return self._piece is not None

    def start(self, job: Callable[[], Pruned]) -> None:
        """Begins it."""
        self._piece = begun(job, "retention")

    def take(self) -> Pruned | None:
        """What the last piece came to, once it is done; raises what it raised."""
        if self._piece is None or not self._piece.done():
            return None
        piece, self._piece = self._piece, None
        return piece.result()


def _superseded(trial: Trial, needed: set[str]) -> Superseded:
    """Older rungs, attempts that a result replaced; of a trial that is over all but its result."""
    reached = trial.result.steps if trial.result is not None else -1
    kept = needed | ({trial.checkpoint} if trial.checkpoint is not None else set())
    return Superseded(trial.number, reached, _has_ended(trial) and not trial.is_reopenable, frozenset(kept))


def _has_ended(trial: Trial) -> bool:
    return trial.status in ENDED and not trial.is_waiting

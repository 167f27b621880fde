"""The journal's way out to a tracking store: what was sent is an offset into it, and what a store did not take is tried again."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pydantic import TypeAdapter

from trm.atomic import write_text_atomic
from trm.contained import inside
from trm.errors import FolderError, InputError
from trm.redaction import in_addresses, redacted, shortened
from trm.run_updates import RunUpdate, Translator, merged
from trm.search.events import SweepStarted
from trm.search.journal import Entry, read_events

Say = Callable[[Literal["problem", "refused", "recovered", "left"], str], None]

EVENTS_AT_A_TIME = 50
LAST_TRY_SECONDS = 3.0
"""For a store that does not answer when the sweep ends; an exit does not wait for it."""
RETRY_SECONDS = (2.0, 4.0, 8.0, 16.0, 30.0)
SWEEP_FILES = (
    "sweep.yaml",
    "leaderboard.json",
    "audit.json",
    "importance.json",
    "trials.parquet",
    "curves.png",
    "front.png",
    "confirmation.png",
    "importance.png",
    "depth_map.png",
    "journal.jsonl",
    "best/*",
)
"""What the sweep's run gets as artifacts; small files stand first."""


def cause_of(error: BaseException) -> str:
    """The error at the bottom of a chain, on one line of bearable length and without secrets."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return shortened(redacted(f"{type(error).__name__}: {error}"), 300)


@runtime_checkable
class Store(Protocol):
    """Where runs are kept. Every call may be repeated after a failure, and must then change nothing that was done already."""

    def send(self, sweep: SweepStarted, updates: list[RunUpdate]) -> None:
        """Take in the updates, in their order; raises when the store cannot be reached."""

    def upload(self, file: Path, folder: str) -> None:
        """Keep a file of the sweep under `folder` ("" for the top) of the sweep's run."""


@dataclass
class OutboxState:
    """What went out, and where to: `tracking.json` of a sweep folder."""

    uri: str = ""
    """The store's address without its secrets."""
    store: str = ""
    """Digest of that: another store starts from the beginning."""
    experiment: str = ""
    mode: Literal["max", "min"] = "max"
    sent: int = 0
    """Journal events that the store took."""
    artifacts: dict[str, list[int]] = field(default_factory=dict)
    """Size and time of change of every file as it was uploaded."""

    @classmethod
    def load(cls, folder: Path, uri: str, experiment: str, mode: Literal["max", "min"]) -> "OutboxState":
        """The state of the sweep folder for this store and experiment; a fresh one when they are new to it."""
        shown = in_addresses(uri)  # a password that changes leaves the store what it is
        whole, public = (hashlib.sha256(f"{text}\n{experiment}".encode()).hexdigest()[:16] for text in (uri, shown))
        found = cls.read(folder)
        if found is None or found.store not in (public, whole):
            return cls(shown, public, experiment, mode)
        return replace(found, store=public)

    @classmethod
    def read(cls, folder: Path) -> "OutboxState | None":
        """What the sweep folder's note says, whatever store it is about; None without one that can be understood."""
        try:
            found = STATE.validate_json(inside(folder, "tracking.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if found.experiment else None

    def save(self, folder: Path) -> None:
        """Replace the file, durably."""
        write_text_atomic(folder / "tracking.json", json.dumps(asdict(self), indent=1) + "\n")


STATE = TypeAdapter(OutboxState)


class Outbox:
    """Follows the journal of one sweep folder and gives it to a store, in order, each event once."""

    def __init__(
        self, folder: Path, store: Store, state: OutboxState, say: Say, *, is_driven: bool, keeps_note: bool = True
    ) -> None:
        """`keeps_note`: whether what was sent is written down in the folder; not by one who may only read it."""
        self._folder, self._store, self._state, self._say = folder, store, state, say
        self._keeps_note = keeps_note
        self._journal = folder / "journal.jsonl"
        self._last: Entry | int = 0
        self._is_corrupt = False
        self._translator = Translator(state.mode)
        self._sweep: SweepStarted | None = None
        self._waiting: list[tuple[int, list[RunUpdate]]] = []
        self._is_driven = is_driven
        self._failures = 0
        self._next_try = 0.0

    @property
    def waiting(self) -> int:
        """Events that were read and not yet taken by the store."""
        return len(self._waiting)

    def forward(self) -> bool:
        """Send what is new; True when nothing is left to send. After a failure, nothing is tried until a pause has passed."""
        self._read_new()
        if self._sweep is None or time.monotonic() < self._next_try:
            return not self._waiting
        if self._is_driven and self._state.sent:
            # The last writer may have called the sweep interrupted after it had sent this driver's first events.
            self._is_driven = not self._attempt(lambda: self._send(self._translator.driven(time.time())))
        while self._waiting and time.monotonic() >= self._next_try:
            chunk = self._waiting[:EVENTS_AT_A_TIME]
            if self._attempt(lambda chunk=chunk: self._send([update for _, updates in chunk for update in updates])):  # type: ignore[misc]
                self._state.sent = chunk[-1][0]
                self._note()
                del self._waiting[: len(chunk)]
        return not self._waiting

    def _read_new(self) -> None:
        if self._is_corrupt or not self._journal.exists():
            return
        try:
            for entry in read_events(self._journal, self._last):
                if self._sweep is None and isinstance(entry.event, SweepStarted):
                    self._sweep = entry.event
                updates = self._translator.updates(entry.event)
                if entry.n >= self._state.sent:
                    self._waiting.append((entry.n + 1, updates))
                self._last = entry
        except InputError as error:  # the driver says the same and stops
            self._is_corrupt = True
            self._say("problem", str(error))

    def finish(self, deadline: float) -> bool:
        """Send all there is, the last word on the runs and the sweep's files; False when time.monotonic() reached `deadline`."""
        if self._failures:
            deadline, self._next_try = min(deadline, time.monotonic() + LAST_TRY_SECONDS), 0.0
        while not self.forward():
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(0.2, max(0.0, self._next_try - time.monotonic())))
        if self._sweep is None:
            return True
        last_words = self._translator.interrupted(time.time())
        jobs: list[Callable[[], None]] = [lambda: self._send(last_words)] if last_words else []
        jobs += [lambda path=path: self._upload(path) for path in self._changed_files()]  # type: ignore[misc]
        return all(self._until_done(job, deadline) for job in jobs)

    def _until_done(self, job: Callable[[], None], deadline: float) -> bool:
        while not self._attempt(job):
            if time.monotonic() >= deadline:
                return False
            time.sleep(max(0.0, min(self._next_try, deadline) - time.monotonic()))
        return True

    def _send(self, updates: list[RunUpdate]) -> None:
        assert self._sweep is not None
        self._store.send(self._sweep, merged(updates))

    def _attempt(self, job: Callable[[], None]) -> bool:
        try:
            job()
        except Exception as error:  # the edge: whatever a store raises, the sweep goes on
            if self._failures == 0:
                self._say("problem", cause_of(error))
            self._next_try = time.monotonic() + RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
            self._failures += 1
            return False
        if self._failures:
            self._say("recovered", f"after {self._failures} failures")
        self._failures, self._next_try = 0, 0.0
        return True

    def _changed_files(self) -> list[Path]:
        found = [path for pattern in SWEEP_FILES for path in sorted(self._folder.glob(pattern)) if self._is_own(path)]
        return [path for path in found if self._state.artifacts.get(self._name(path)) != _mark(path)]

    def _note(self) -> None:
        if self._keeps_note:
            self._state.save(self._folder)

    def _is_own(self, path: Path) -> bool:
        """Whether it is a file of the sweep, and no link to somebody's."""
        try:
            return inside(self._folder, self._name(path)).is_file()
        except FolderError:
            return False

    def _upload(self, path: Path) -> None:
        mark = _mark(path)
        name = self._name(path)
        self._store.upload(path, name.rpartition("/")[0])
        self._state.artifacts[name] = mark
        self._note()

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()


def _mark(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]

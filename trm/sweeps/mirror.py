"""A sweep's journal, tables and `best/` as objects beside its checkpoints: any machine can go on with it, and one at a time does.

The journal becomes segments, `journal/0000000123.jsonl` from its line 123 on, each created and never replaced. Drivers that know
the same lines contend for one name, and the store lets one of them have it: whose segment is refused has lost the sweep. Nothing
follows from a line before its segment is there (`SweepLog.publish`), so two drivers never both decide, whatever their clocks and
leases say. `driver.json`, which a living driver rewrites, only spares people that fight.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import asdict
from pathlib import Path

from trm.console.long_work import shown
from trm.console.redaction import reason_of
from trm.console.streams import say
from trm.errors import CheckpointError, InterruptedRun, StoreSilent, SweepError, TRMError
from trm.files.daemon_calls import begun
from trm.files.objects import Objects
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Holder
from trm.search.log import FILE as JOURNAL
from trm.search.space.space import SearchSpace
from trm.sweeps.checkpoint_stores import objects_url
from trm.sweeps.mirror_objects import (
    BEAT_SECONDS,
    FIRST_FILES,
    first_file,
    is_apart,
    is_mirrored,
    journal_of,
    require_undriven,
    segment_name,
)

COPY_SECONDS = 30.0
"""Tables that changed are copied so often."""
PATIENCE_SECONDS = 60.0
"""A store that does not answer is tried again for so long; then the driver leaves, to be resumed."""
SHORT_SECONDS = 2.0
"""After so long it is said that the store is waited for; one that was given up is waited for so long at the driver's end."""
SLICE_SECONDS = 0.25
"""Who waits for the store looks so often at what else is to be done."""


class Mirror:
    """Of one driver, whose lease on the folder is `holder`; threads beat and copy while it is entered."""

    def __init__(self, objects: Objects, folder: Path, holder: Holder) -> None:
        self._objects, self._folder, self._holder = objects, folder, holder
        self._there = (0, 0)
        """Lines and bytes of the journal that are there; written by one thread at a time, read by others."""
        self._is_lost = self._is_given_up = False
        self.on_wait: Callable[[], None] = lambda: None
        """Called again and again while the store is waited for; what it raises ends the waiting, and this driver."""
        self._pushing: Future[None] | None = None
        """The one try that is on its way: also one whose waiter left."""
        self._copied: dict[str, tuple[int, int]] = {}
        self._stop, self._beats = threading.Event(), 0
        self._threads: list[Future[None]] = []

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if not self._threads:
            return
        _, late = wait(self._threads, SHORT_SECONDS if self._is_given_up else PATIENCE_SECONDS)
        if not late and not self._is_given_up:
            with contextlib.suppress(TRMError, OSError):
                begun(self._end, "mirror").result()

    def check(self) -> None:
        """SweepError when another driver was found to have the sweep."""
        if self._is_lost:
            raise _lost(self._objects)

    def go_on(self) -> None:
        """Begin where the objects are; SweepError unless what is there is the beginning of the folder's journal."""
        there, here = journal_of(self._objects), (self._folder / JOURNAL).read_bytes()
        if not here.startswith(there):
            raise SweepError(
                f"the sweep went on from {self._objects.url} elsewhere: its journal is not that of {self._folder} any more",
                remedy=f"go on with `--resume {self._objects.url}` and another --storage",
            )
        if here and not there:
            say(
                f"no journal of this sweep lies at {self._objects.url}: that of {self._folder} is written there from its first line"
            )
        self._there = there.count(b"\n"), len(there)

    def publish(self) -> None:
        """Have all of the journal there. SweepError when another driver took the sweep, InterruptedRun when the store is silent."""
        self.check()
        began = time.monotonic()
        patience = SHORT_SECONDS if self._is_given_up else PATIENCE_SECONDS
        self._is_given_up = True  # unless it comes to its end
        is_told = False
        while True:
            is_fresh = self._pushing is None
            work = self._pushing = self._pushing or begun(self._push, "journal's mirror")
            while not wait([work], SLICE_SECONDS).done:
                is_told = self._waited(began, patience, is_told, "no answer yet")
            self._pushing = None
            error = work.exception()
            if error is None and is_fresh:
                break
            if error is None:
                continue  # one that began before the journal was what it is now
            if not isinstance(error, CheckpointError | FileNotFoundError):
                raise error
            is_told = self._waited(began, patience, is_told, reason_of(error))
            time.sleep(1.0)
        if is_told:
            say(f"{self._objects.url} answers")
        self._is_given_up = False
        if not self._threads:
            self._threads = [begun(self._beat, "mirror's heart"), begun(self._copies, "mirror's copies")]

    def _push(self) -> None:
        count, end = self._there
        with (self._folder / JOURNAL).open("rb") as file:
            file.seek(end)
            data = file.read()
        if count == 0 and data:
            self._put_first_files(data)
        while data:
            name = segment_name(count)
            there = data if self._objects.create(name, data) else self._objects.read(name)
            if not data.startswith(there):
                self._is_lost = True
                raise _lost(self._objects)
            # Else it is ours, of a try whose answer was lost: nobody else has the same clock, process and driver in its lines.
            count, end, data = count + there.count(b"\n"), end + len(there), data[len(there) :]
            self._there = count, end

    def _put_first_files(self, journal: bytes) -> None:
        """What a sweep cannot go on without is there before it has begun, apart from what others who begin it write."""
        for name in FIRST_FILES:
            if (self._folder / name).is_file():
                self._objects.put(first_file(journal, name), self._folder / name)

    def _waited(self, began: float, patience: float, is_told: bool, why: str) -> bool:
        """Whether the waiting has been told of. InterruptedRun when it was long enough."""
        seconds = time.monotonic() - began
        if seconds > patience:
            raise InterruptedRun(f"{self._objects.url}: {why}; resume it when the store answers")
        if not is_told and seconds > SHORT_SECONDS:
            say(f"waiting for {self._objects.url}: {why}")
            is_told = True
        self.on_wait()
        return is_told

    # The threads ------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Alone: who is slow to copy is not dead."""
        while not self._is_lost:
            with contextlib.suppress(TRMError, OSError):  # a silent store: `publish` finds a lasting one
                if self._is_taken():
                    return
                self._tell(is_over=False)
            if self._stop.wait(BEAT_SECONDS):
                return

    def _copies(self) -> None:
        while not self._is_lost:
            with contextlib.suppress(TRMError, OSError):
                self._copy()
            if self._stop.wait(COPY_SECONDS):
                return

    def _end(self) -> None:
        if not self._is_taken():
            self._copy()
            self._tell(is_over=True)

    def _is_taken(self) -> bool:
        """Whether another driver wrote the segment that ours would be.

        What a try wrote that looked as if it had failed, or one that is on its way, is ours: `publish` will find it so too.
        """
        count, end = self._there
        with contextlib.suppress(FileNotFoundError):
            there = self._objects.read(segment_name(count))
            with (self._folder / JOURNAL).open("rb") as file:
                file.seek(end)
                self._is_lost = self._is_lost or file.read(len(there)) != there
        return self._is_lost

    def _tell(self, *, is_over: bool) -> None:
        self._beats += 1
        told = {**asdict(self._holder), "beat": self._beats, "is_over": is_over}
        self._objects.write(LEASE, json.dumps(told).encode())

    def _copy(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if is_apart(name) or path.is_symlink() or not path.is_file():
                continue
            try:
                about = path.stat()
                if self._copied.get(name) != (about.st_mtime_ns, about.st_size):
                    self._objects.put(name, path)
                    self._copied[name] = (about.st_mtime_ns, about.st_size)
            except StoreSilent:  # all of them, the next time
                raise
            except (FileNotFoundError, CheckpointError):  # replaced this moment, or the next time
                continue


def mirror_url(space: SearchSpace, name: str) -> str | None:
    """Where the sweep called `name` is mirrored; None where it is not."""
    return objects_url(space, name) if space.storage.mirror else None


@contextlib.contextmanager
def mirrored(space: SearchSpace, folder: Path, holder: Holder, *, is_resume: bool) -> Iterator[Mirror | None]:
    """The mirror of the sweep in `folder`, while entered; None where it has none.

    SweepError when the store cannot tell two drivers apart, when a living one has the sweep, or when a new one finds it begun.
    """
    if (url := mirror_url(space, begun_name(folder) if is_resume else folder.name)) is None:
        yield None
        return
    objects = Objects(url)
    with shown(f"asking {url}", say):
        _require_fence(objects, holder, is_resume=is_resume)
    require_undriven(objects)
    if not is_resume and is_mirrored(url):
        raise SweepError(f"a sweep of that name is at {url}", remedy=f"go on with it by `--resume {url}`, or give another --name")
    with Mirror(objects, folder, holder) as mirror:
        yield mirror


def begun_name(folder: Path) -> str:
    """The name under which the sweep in `folder` began, whatever the folder is called now."""
    first = next((entry.event for entry in read_events(folder / JOURNAL)), None)
    return first.name if isinstance(first, SweepStarted) else folder.name


def _require_fence(objects: Objects, holder: Holder, *, is_resume: bool) -> None:
    """SweepError unless the store is one. A mirrored sweep stays so: a mirror left behind could be gone on with elsewhere."""
    name = f".fence-{holder.fence}-{time.time_ns()}"
    is_kept = objects.is_fence and objects.create(name, b"1") and not objects.create(name, b"2")
    objects.remove([name])
    if not is_kept:
        raise SweepError(
            f"a mirrored sweep needs a store that refuses to write an object twice, as S3 does: {objects.url} does not",
            remedy="it did when this sweep began: mend the store, or begin another sweep with --set storage.mirror=false"
            if is_resume
            else "--set storage.mirror=false keeps the journal in the sweep's folder alone",
        )


def _lost(objects: Objects) -> SweepError:
    return SweepError(f"{objects.url} was taken over by another driver", remedy="let that one go on")

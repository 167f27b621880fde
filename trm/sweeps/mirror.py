"""A sweep's journal, tables and `best/` as objects beside its checkpoints: any machine can go on with it, and one at a time does.

The journal becomes segments, `journal/0000000123.jsonl` from its line 123 on, each created and never replaced. Drivers that know
the same lines contend for one name, and the store lets one of them have it: whose segment is refused has lost the sweep. Nothing
follows from a line before its segment is there (`SweepLog.publish`), so two drivers never both decide, whatever their clocks and
leases say. `driver.json`, which a living driver rewrites, only spares people that fight.
"""

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from trm.console.long_work import shown
from trm.console.redaction import reason_of
from trm.console.streams import say
from trm.errors import CheckpointError, InterruptedRun, StoreSilent, SweepDriven, SweepError, TRMError
from trm.files.atomic import make_folders, replacing, write_bytes_atomic
from trm.files.contained import inside
from trm.files.daemon_calls import begun
from trm.files.objects import Objects
from trm.search.journal.events import SweepStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Holder, Lease, lives_here
from trm.search.log import FILE as JOURNAL
from trm.search.space.recorded import SWEEP_FILE
from trm.search.space.space import SearchSpace
from trm.sweeps.checkpoint_stores import objects_url
from trm.sweeps.folder import DATASET_FILE, DATASETS_FILE
from trm.sweeps.places import SCRATCH_FOLDERS
from trm.sweeps.trial_files import COLLECTED

BEAT_SECONDS = 10.0
BEATS_MISSED = 3
"""A driver elsewhere is dead whose `driver.json` stays as it is for so many beats."""
COPY_SECONDS = 30.0
"""Tables that changed are copied so often."""
PATIENCE_SECONDS = 60.0
"""A store that does not answer is tried again for so long; then the driver leaves, to be resumed."""
SHORT_SECONDS = 2.0
"""After so long it is said that the store is waited for; one that was given up is waited for so long at the driver's end."""
SLICE_SECONDS = 0.25
"""Who waits for the store looks so often at what else is to be done."""
SEGMENT = re.compile(r"journal/(\d{10})\.jsonl")
FIRST_FILES = (SWEEP_FILE, DATASET_FILE, DATASETS_FILE)
OWN_FOLDERS = (*SCRATCH_FOLDERS, "trials", "begun", *COLLECTED)
"""Objects already, or of no use elsewhere."""
_HOLDER = TypeAdapter(Holder)
_still: set[tuple[Holder, bool, int]] = set()
"""Drivers, with their last beats, that this process has seen stand still."""


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
        there, here = _journal_of(self._objects), (self._folder / JOURNAL).read_bytes()
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
            name = _segment(count)
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
                self._objects.put(_first_file(journal, name), self._folder / name)

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
            there = self._objects.read(_segment(count))
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
            if _is_apart(name) or path.is_symlink() or not path.is_file():
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


def is_mirrored(url: str) -> bool:
    """Whether a sweep began there."""
    with shown(f"asking {url}", say):
        return bool(Objects(url).sizes("journal"))


def is_owned(url: str, folder: Path, *, is_mirror: bool) -> bool:
    """Whether the objects at `url` are of the sweep as it stands in `folder`, not of one that went on from them elsewhere.

    Those of a sweep that has no mirror are its own unless a journal lies there.
    """
    there = _journal_of(Objects(url))
    return is_mirror == bool(there) and (folder / JOURNAL).read_bytes().startswith(there)


def fetch(url: str, folder: Path) -> None:
    """Have the sweep at `url` in `folder`, as far as it got; SweepError when there is none, and when it is here already."""
    objects = Objects(url)
    if (folder / JOURNAL).exists():
        raise SweepError(
            f"{folder} is there", remedy=f"go on with it by `--resume --name {folder.name}`, or give another --storage"
        )
    require_undriven(objects)
    journal = _journal_of(objects)
    if not journal:
        raise SweepError(f"there is no sweep at {url}", remedy="give the URL that storage.checkpoints and --name come to")
    make_folders(folder)
    _bring(objects, journal, folder)


def catch_up(url: str, folder: Path) -> None:
    """Have in `folder` what was journaled elsewhere since the sweep at `url` was driven there.

    Nothing happens where the folder's journal is no mere beginning of that one: then it holds lines that nobody else knows.
    """
    objects, path = Objects(url), folder / JOURNAL
    with shown(f"asking {url}", say):
        there = _journal_of(objects)
    if not _is_behind(path.read_bytes(), there):
        return
    with Lease(folder, say, waits=True):
        require_undriven(objects)
        journal = _journal_of(objects)
        if _is_behind(path.read_bytes(), journal):
            say(f"the sweep went on from {url} elsewhere: {folder} gets what is newer there")
            _bring(objects, journal, folder)


def _is_behind(here: bytes, there: bytes) -> bool:
    """Whether a journal, but for a line that was not finished, is the beginning of a longer one."""
    whole = here[: here.rfind(b"\n") + 1]
    return there.startswith(whole) and len(there) > len(whole)


def _bring(objects: Objects, journal: bytes, folder: Path) -> None:
    names = objects.sizes("")
    copies = {name: name for name in names if not _is_apart(name) and SEGMENT.fullmatch(name) is None}
    first = {name: _first_file(journal, name) for name in FIRST_FILES if _first_file(journal, name) in names}
    for name, there in (first | copies).items():
        path = inside(folder, *name.split("/"))
        make_folders(path.parent)
        with contextlib.suppress(FileNotFoundError), replacing(path) as temporary:
            objects.get(there, temporary)
    write_bytes_atomic(folder / JOURNAL, journal)  # last: what has one is a sweep


def require_undriven(objects: Objects) -> None:
    """SweepError when a living driver has the sweep; of one elsewhere that is told by looking for a while whether it beats."""
    before = _driver_of(objects)
    if before is None or before[1] or before in _still:
        return
    holder = before[0]
    lives = lives_here(holder)
    if lives is None:
        seconds = BEAT_SECONDS * BEATS_MISSED
        say(f"{objects.url} was driven by process {holder.pid} on {holder.host}: looking {seconds:.0f} s for its heartbeat")
        until = time.monotonic() + seconds
        while time.monotonic() < until and not lives:
            time.sleep(BEAT_SECONDS / 10)
            lives = (now := _driver_of(objects)) is not None and now != before and not now[1]
    if lives:
        raise SweepDriven(f"{objects.url} is driven by process {holder.pid} on {holder.host}", remedy="wait for it or stop it")
    _still.add(before)


def _driver_of(objects: Objects) -> tuple[Holder, bool, int] | None:
    """Who drove last, whether in order to the end, and its last beat."""
    try:
        told = json.loads(objects.read(LEASE))
        beat, is_over = int(told.pop("beat")), bool(told.pop("is_over"))
        return _HOLDER.validate_python(told), is_over, beat
    except FileNotFoundError:
        return None
    except CheckpointError:  # a ValueError too
        raise
    except (ValueError, KeyError, AttributeError) as error:
        raise SweepError(f"{objects.url}/{LEASE} is no driver's ({reason_of(error)})", remedy="remove it if none drives") from error


def _journal_of(objects: Objects) -> bytes:
    """The lines of all segments that follow one another."""
    names = {int(match[1]): name for name in objects.sizes("journal") if (match := SEGMENT.fullmatch(name))}
    journal, count, segments = bytearray(), 0, objects.read_all(names.values())
    while count in names:
        data = segments[names[count]]
        journal += data
        count += data.count(b"\n")
    return bytes(journal)


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


def _segment(count: int) -> str:
    return f"journal/{count:010d}.jsonl"


def _first_file(journal: bytes, name: str) -> str:
    """The file as it was when the sweep of this journal began: of two who begin at once each has names of its own."""
    line = journal.partition(b"\n")[0]
    return f"begun/{hashlib.sha256(line).hexdigest()[:16]}/{name}"


def _is_apart(name: str) -> bool:
    """Whether a file or an object is no copy: hidden, a lease, the journal and what was cut out of it, what is an object itself."""
    first, _, rest = name.partition("/")
    is_hidden = any(part.startswith(".") for part in name.split("/"))
    return is_hidden or (bool(rest) and first in OWN_FOLDERS) or (not rest and (first == LEASE or first.startswith(JOURNAL)))


def _lost(objects: Objects) -> SweepError:
    return SweepError(f"{objects.url} was taken over by another driver", remedy="let that one go on")

"""What lies of a mirrored sweep among the objects: its journal in segments, who drives it, its files; brought here on demand."""

import contextlib
import hashlib
import json
import re
import time
from pathlib import Path

from pydantic import TypeAdapter

from trm.console.long_work import shown
from trm.console.redaction import reason_of
from trm.console.streams import say
from trm.errors import CheckpointError, SweepDriven, SweepError
from trm.files.atomic import make_folders, replacing, write_bytes_atomic
from trm.files.contained import inside
from trm.files.objects import Objects
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Holder, Lease, lives_here
from trm.search.log import FILE as JOURNAL
from trm.search.space.recorded import SWEEP_FILE
from trm.sweeps.folder import DATASET_FILE, DATASETS_FILE
from trm.sweeps.places import SCRATCH_FOLDERS
from trm.sweeps.trial_files import COLLECTED

BEAT_SECONDS = 10.0
BEATS_MISSED = 3
"""A driver elsewhere is dead whose `driver.json` stays as it is for so many beats."""
SEGMENT = re.compile(r"journal/(\d{10})\.jsonl")
FIRST_FILES = (SWEEP_FILE, DATASET_FILE, DATASETS_FILE)
OWN_FOLDERS = (*SCRATCH_FOLDERS, "trials", "begun", *COLLECTED)
"""Objects already, or of no use elsewhere."""
_HOLDER = TypeAdapter(Holder)
_still: set[tuple[Holder, bool, int]] = set()
"""Drivers, with their last beats, that this process has seen stand still."""


def is_mirrored(url: str) -> bool:
    """Whether a sweep began there."""
    with shown(f"asking {url}", say):
        return bool(Objects(url).sizes("journal"))


def is_owned(url: str, folder: Path, *, is_mirror: bool) -> bool:
    """Whether the objects at `url` are of the sweep as it stands in `folder`, not of one that went on from them elsewhere.

    Those of a sweep that has no mirror are its own unless a journal lies there.
    """
    there = journal_of(Objects(url))
    return is_mirror == bool(there) and (folder / JOURNAL).read_bytes().startswith(there)


def fetch(url: str, folder: Path) -> None:
    """Have the sweep at `url` in `folder`, as far as it got; SweepError when there is none, and when it is here already."""
    objects = Objects(url)
    if (folder / JOURNAL).exists():
        raise SweepError(
            f"{folder} is there", remedy=f"go on with it by `--resume --name {folder.name}`, or give another --storage"
        )
    require_undriven(objects)
    journal = journal_of(objects)
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
        there = journal_of(objects)
    if not _is_behind(path.read_bytes(), there):
        return
    with Lease(folder, say, waits=True):
        require_undriven(objects)
        journal = journal_of(objects)
        if _is_behind(path.read_bytes(), journal):
            say(f"the sweep went on from {url} elsewhere: {folder} gets what is newer there")
            _bring(objects, journal, folder)


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


def _is_behind(here: bytes, there: bytes) -> bool:
    """Whether a journal, but for a line that was not finished, is the beginning of a longer one."""
    whole = here[: here.rfind(b"\n") + 1]
    return there.startswith(whole) and len(there) > len(whole)


def _bring(objects: Objects, journal: bytes, folder: Path) -> None:
    names = objects.sizes("")
    copies = {name: name for name in names if not is_apart(name) and SEGMENT.fullmatch(name) is None}
    first = {name: first_file(journal, name) for name in FIRST_FILES if first_file(journal, name) in names}
    for name, there in (first | copies).items():
        path = inside(folder, *name.split("/"))
        make_folders(path.parent)
        with contextlib.suppress(FileNotFoundError), replacing(path) as temporary:
            objects.get(there, temporary)
    write_bytes_atomic(folder / JOURNAL, journal)  # last: what has one is a sweep


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


def journal_of(objects: Objects) -> bytes:
    """The lines of all segments that follow one another."""
    names = {int(match[1]): name for name in objects.sizes("journal") if (match := SEGMENT.fullmatch(name))}
    journal, count, segments = bytearray(), 0, objects.read_all(names.values())
    while count in names:
        data = segments[names[count]]
        journal += data
        count += data.count(b"\n")
    return bytes(journal)


def segment_name(count: int) -> str:
    """The object of the journal from its line `count` on."""
    return f"journal/{count:010d}.jsonl"


def first_file(journal: bytes, name: str) -> str:
    """The file as it was when the sweep of this journal began: of two who begin at once each has names of its own."""
    line = journal.partition(b"\n")[0]
    return f"begun/{hashlib.sha256(line).hexdigest()[:16]}/{name}"


def is_apart(name: str) -> bool:
    """Whether a file or an object is no copy: hidden, a lease, the journal and what was cut out of it, what is an object itself."""
    first, _, rest = name.partition("/")
    is_hidden = any(part.startswith(".") for part in name.split("/"))
    return is_hidden or (bool(rest) and first in OWN_FOLDERS) or (not rest and (first == LEASE or first.startswith(JOURNAL)))

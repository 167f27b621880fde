"""The lease on a sweep folder: one driver at a time, told apart by host, process and a number that only grows."""

import contextlib
import functools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from trm.errors import FolderError, SweepDriven, SweepError, SweepHeld
from trm.files.atomic import locked, remove_folder, write_bytes_atomic
from trm.files.contained import regular
from trm.files.json_files import read_json

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
BEATS_MISSED = 2.5
"""So many heartbeats a heart is looked at that is old by its date, before it counts as still: a file server's clock may jump."""
LOOK_SECONDS = 0.25
FILE = "driver.json"
NO_LEASE = "delete it if no driver runs on this folder"
MOST_DRIVERS = 10**12
"""Beyond it no folder comes by being driven; a line of the journal has room for it."""


@dataclass(frozen=True)
class Holder:
    """Who holds a folder. A released lease stays as a file, with `pid` 0, so that the fence goes on growing."""

    host: str
    boot: str
    """Identity of the running kernel and of its process numbers: two machines, or two containers, of one name differ in it."""
    pid: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    process_started: str
    """Start time of the process in clock ticks since boot, so that a reused pid is not taken for the driver."""
    fence: Annotated[int, Field(ge=0, lt=MOST_DRIVERS, strict=True)]

    @staticmethod
    def this_process(fence: int) -> "Holder":
        """The calling process."""
        return Holder(socket.gethostname(), _boot(), os.getpid(), _process_started(os.getpid()), fence)

    @property
    def name(self) -> str:
        """host:pid."""
        return f"{self.host}:{self.pid}"


_HOLDER = TypeAdapter(Holder)


class Lease:
    """Held from construction to `release`; a thread beats the heart of it.

    A driver on this machine is known to be dead as soon as its process is gone; one on another machine when its heart stands
    still while we look, by our own clock: for BEATS_MISSED heartbeats where its last beat is older than STALE_SECONDS by the file
    system's clock, for STALE_SECONDS where that date lies in the future and tells nothing.
    """

    def __init__(self, folder: str | Path, say: Callable[[str], None] = lambda text: None, *, waits: bool = False) -> None:
        """Takes the lease on `folder`; SweepError that names host and process when a living driver has it.

        `say` is told when that takes a while. Who `waits` looks at the heart of a driver elsewhere until it is stale, where others
        are refused because it beat a moment ago. FileNotFoundError when the folder is gone.
        """
        self.path = Path(folder) / FILE
        self.holder = self._taken(say, waits=waits)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def _taken(self, say: Callable[[str], None], *, waits: bool) -> Holder:
        dead: tuple[Holder, _Heart] | None = None
        while True:
            with _one_at_a_time(self.path):
                before = read_holder(self.folder)
                seconds = None if before is None or self._is(dead, before) else _doubt(before, self.path, waits=waits)
                if seconds is None or before is None:
                    holder = Holder.this_process((before.fence if before else 0) + 1)
                    write_bytes_atomic(self.path, _line(holder))
                    return holder
                heart = _heart(self.path)
            say(f"{self.folder} was driven by process {before.pid} on {before.host}: looking {seconds:.0f} s for its heartbeat")
            if not _stands_still(self.path, heart, seconds):
                raise _held(before, "its heart beats", self.folder)
            dead = before, heart

    def _is(self, dead: "tuple[Holder, _Heart] | None", holder: Holder) -> bool:
        """Whether this is the holder whose heart was seen to stand still."""
        return dead == (holder, _heart(self.path))

    @property
    def folder(self) -> Path:
        """What it is on."""
        return self.path.parent

    @property
    def fence(self) -> int:
        """Grows with every driver of the folder."""
        return self.holder.fence

    def check(self) -> None:
        """SweepError when another driver has taken the folder since; call before every write."""
        if self._is_as_written():
            return
        now = read_holder(self.path.parent)
        if now != self.holder:
            other = "nobody" if now is None else f"process {now.pid} on {now.host}"
            raise SweepError(
                f"{self.path.parent} was taken over by {other} while this driver was silent", remedy="let that one go on"
            )

    def _is_as_written(self) -> bool:
        """Whether its file holds what we wrote there, to the byte: every event asks twice, and need not have it understood."""
        try:
            handle = regular(str(self.path), os.O_RDONLY)
        except (OSError, FolderError):
            return False
        try:
            line = _line(self.holder)
            return os.read(handle, len(line) + 1) == line
        except OSError:
            return False
        finally:
            os.close(handle)

    def release(self) -> None:
        """Gives the folder back, if it is still ours."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError, SweepError), _one_at_a_time(self.path):  # a full disk: our end gives it back
            if read_holder(self.folder) == self.holder:
                write_bytes_atomic(self.path, _line(replace(self.holder, pid=0)))

    def discard(self) -> None:
        """Removes the folder, with all that is in it, if it is still ours: nobody else can take it while it goes."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError, SweepError), _one_at_a_time(self.path):
            if read_holder(self.folder) == self.holder:
                remove_folder(self.folder)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                if read_holder(self.path.parent) != self.holder:
                    return
                os.utime(self.path, follow_symlinks=False)
            except (OSError, SweepError):  # a moment's trouble of a network file system; `check` finds a lasting one
                continue

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def read_holder(folder: str | Path) -> Holder | None:
    """Who holds `folder` or held it last; None when nobody ever did. SweepError when the file cannot be understood."""
    path = Path(folder) / FILE
    try:
        return _HOLDER.validate_python(read_json(path, dict, error=SweepError, remedy=NO_LEASE))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SweepError(f"{path} is not a lease: {where}: {first['msg']}", remedy=NO_LEASE) from error


def is_held(folder: str | Path) -> bool:
    """Whether a living driver holds `folder`, as far as can be told in a moment."""
    holder, path = read_holder(folder), Path(folder) / FILE
    if holder is None or holder.pid == 0:
        return False
    if _is_here(holder):
        return _runs_here(holder)
    age = _age_seconds(path)
    if age < -HEARTBEAT_SECONDS:  # its date tells nothing
        return not _stands_still(path, _heart(path), BEATS_MISSED * HEARTBEAT_SECONDS)
    return age < STALE_SECONDS


def lives_here(holder: Holder) -> bool | None:
    """Whether the holder's process runs; None where it is, or was, on another machine."""
    return _runs_here(holder) if _is_here(holder) else None


@functools.lru_cache(maxsize=4)
def _line(holder: Holder) -> bytes:
    """What the file of a lease holds."""
    return json.dumps(asdict(holder)).encode() + b"\n"


_Heart = tuple[int, int]
"""What a beat changes of the lease's file, or a new holder: the time of its last change, and its inode."""


def _doubt(holder: Holder, path: Path, *, waits: bool) -> float | None:
    """Seconds to look at the heart of a holder of whom nobody knows whether he lives; None: he is dead. SweepError: he lives."""
    if holder.pid == 0:
        return None
    if _is_here(holder):
        if _runs_here(holder):
            raise _held(holder, "it runs on this machine", path.parent, SweepHeld)
        return None
    age = _age_seconds(path)
    if age < -HEARTBEAT_SECONDS:
        return STALE_SECONDS
    if age < STALE_SECONDS and not waits:
        raise _held(holder, f"its heart beat {max(0.0, age):.0f} s ago", path.parent)
    return max(BEATS_MISSED * HEARTBEAT_SECONDS, STALE_SECONDS - age)


def _held(holder: Holder, why: str, folder: Path, kind: type[SweepHeld] = SweepDriven) -> SweepHeld:
    return kind(
        f"{folder} is held by a living driver, process {holder.pid} on {holder.host} ({why})",
        remedy=f"wait for it or stop it; a driver that died elsewhere loses the folder after {STALE_SECONDS:.0f} s",
    )


def _is_here(holder: Holder) -> bool:
    return holder.host == socket.gethostname() and holder.boot == _boot()


def _runs_here(holder: Holder) -> bool:
    return _process_started(holder.pid) == holder.process_started and _exists(holder.pid)


def _heart(path: Path) -> _Heart:
    """The heart's last beat. The file is opened for it: a network file system then asks its server, not its memory."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
    return status.st_mtime_ns, status.st_ino


def _stands_still(path: Path, heart: _Heart, seconds: float) -> bool:
    """Whether the heart does not beat for so many seconds of our own clock, from now on."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(LOOK_SECONDS, seconds / 10))
        if _heart(path) != heart:
            return False
    return True


def _age_seconds(path: Path) -> float:
    """Age of a file by its own file system's clock, which may differ from ours."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.clock")
    try:
        probe.touch()
        return probe.stat().st_mtime - _heart(path)[0] / 1e9
    except OSError:  # one who may only look, or a full disk
        return time.time() - _heart(path)[0] / 1e9
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """The lease's own lock; SweepError when another user made its file and lets nobody else open it."""
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock))
        except PermissionError as error:
            raise SweepError(
                f"{path.parent} must be writable, and {lock} cannot be opened ({error.strerror})",
                remedy="ask its owner for `chmod -R g+rwX` there and a umask of 002, or give another folder",
            ) from error
        yield


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _process_started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # dead, though nobody has fetched its exit code
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""

"""The lease on a sweep folder: one driver at a time, told apart by host, process and a number that only grows."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from trm.atomic import write_text_atomic
from trm.contained import regular
from trm.errors import SweepError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
FILE = "driver.json"


@dataclass(frozen=True)
class Holder:
    """Who holds a folder. A released lease stays as a file, with `pid` 0, so that the fence goes on growing."""

    host: str
    boot: str
    """Identity of the running kernel and of its process numbers: two machines, or two containers, of one name differ in it."""
    pid: int
    process_started: str
    """Start time of the process in clock ticks since boot, so that a reused pid is not taken for the driver."""
    fence: int

    @staticmethod
    def this_process(fence: int) -> "Holder":
        """The calling process."""
        return Holder(socket.gethostname(), _boot(), os.getpid(), _process_started(os.getpid()), fence)

    @property
    def name(self) -> str:
        """host:pid."""
        return f"{self.host}:{self.pid}"


class Lease:
    """Held from construction to `release`; a thread beats the heart of it.

    A driver on this machine is known to be dead as soon as its process is gone; one on another machine when its heart
    has not beaten for STALE_SECONDS of the file system's clock.
    """

    def __init__(self, folder: str | Path) -> None:
        """Takes the lease on `folder`; SweepError that names host and process when a living driver has it."""
        self.path = Path(folder) / FILE
        with _one_at_a_time(self.path):
            before = read_holder(folder)
            if before is not None and (why := _alive(before, self.path)):
                raise SweepError(
                    f"{folder} is held by a living driver, process {before.pid} on {before.host} ({why})",
                    remedy=f"wait for it or stop it; a driver that died elsewhere loses the folder after {STALE_SECONDS:.0f} s",
                )
            self.holder = Holder.this_process((before.fence if before else 0) + 1)
            write_text_atomic(self.path, json.dumps(asdict(self.holder)) + "\n")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    @property
    def fence(self) -> int:
        """Grows with every driver of the folder."""
        return self.holder.fence

    def check(self) -> None:
        """SweepError when another driver has taken the folder since; call before every write."""
        now = read_holder(self.path.parent)
        if now != self.holder:
            other = "nobody" if now is None else f"process {now.pid} on {now.host}"
            raise SweepError(
                f"{self.path.parent} was taken over by {other} while this driver was silent", remedy="let that one go on"
            )

    def release(self) -> None:
        """Gives the folder back, if it is still ours."""
        self._stop.set()
        self._thread.join()
        with _one_at_a_time(self.path):
            if read_holder(self.path.parent) == self.holder:
                with contextlib.suppress(OSError):  # a full disk: the end of this process gives it back
                    write_text_atomic(self.path, json.dumps({**asdict(self.holder), "pid": 0}) + "\n")

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
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SweepError(f"{path} is not a lease: {error}", remedy="delete it if no driver runs on this folder") from error


def is_held(folder: str | Path) -> bool:
    """Whether a living driver holds `folder`."""
    holder = read_holder(folder)
    return holder is not None and bool(_alive(holder, Path(folder) / FILE))


def _alive(holder: Holder, path: Path) -> str:
    """Why the holder counts as living; empty when it does not."""
    if holder.pid == 0:
        return ""
    if holder.host == socket.gethostname() and holder.boot == _boot():
        is_same = _process_started(holder.pid) == holder.process_started and _exists(holder.pid)
        return "it runs on this machine" if is_same else ""
    age = _age_seconds(path)
    return f"its heart beat {age:.0f} s ago" if age < STALE_SECONDS else ""


def _age_seconds(path: Path) -> float:
    """Age of a file by its own file system's clock, which may differ from ours."""
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.clock")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:  # one who may only look, or a full disk
        return time.time() - path.stat().st_mtime
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with open(path.with_name(f".{path.name}.lock"), "a", opener=regular) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
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

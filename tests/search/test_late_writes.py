"""What a driver that was replaced still had on its way counts for nothing, wherever and however late it arrives."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from search_simulator import cost_of
from sweep_cases import events_of, space

from trm.errors import SweepError
from trm.search.journal import lease as lease_module
from trm.search.journal.events import Event, SlotsChanged
from trm.search.journal.journal import Journal, read_events, set_aside, unread
from trm.search.journal.lease import Lease
from trm.search.journal.lines import line_of
from trm.search.log import FILE, SweepLog
from trm.search.search import Search

LATE = """
import os, sys
from pathlib import Path
from search_simulator import cost_of
from sweep_cases import space
from trm.search.journal import lease
from trm.search.journal.journal import Journal
from trm.search.search import Search
from trm.search.log import SweepLog
lease.socket.gethostname = lambda: "elsewhere"
lease.HEARTBEAT_SECONDS = 0.05
folder, held_up, count = Path(sys.argv[1]), sys.argv[2], 0
held = lease.Lease(folder)
log = SweepLog(folder, Search(space(), cost_of), guard=held.check)
log.start(0.0, driver="elsewhere:1", fence=held.fence, slots=1, versions={})
write, fsync = Journal._write, os.fsync
def wait():
    print("held up", flush=True)
    sys.stdin.readline()
def late_write(journal, data):
    if held_up == "before":
        wait()
        return write(journal, data)
    journal._file.write(data[: len(data) // 2])
    wait()
    journal._file.write(data[len(data) // 2 :])
    fsync(journal._file.fileno())
Journal._write = late_write
try:
    log.change_slots(1.0, 5)
    print("written", flush=True)
except Exception as error:
    print(error, flush=True)
"""


@contextmanager
def held_up_driver(folder: Path, where: str) -> Iterator[subprocess.Popen[str]]:
    """A driver elsewhere that found the lease its own and hangs in its write, silent."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests / "fixtures"), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", LATE, str(folder), where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held up\n"
        process.send_signal(signal.SIGSTOP)
        yield process
        process.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.1)


def taken_over(folder: Path) -> Lease:
    deadline = time.monotonic() + 60
    while True:
        try:
            return Lease(folder)
        except SweepError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def begun(folder: Path, lease: Lease, *slots: int) -> SweepLog:
    log = SweepLog(folder, Search(space(), cost_of), guard=lease.check)
    log.start(2.0, driver="here:1", fence=lease.fence, slots=1, versions={})
    for number in slots:
        log.change_slots(3.0, number)
    return log


@pytest.mark.parametrize("where", ["before", "within"])
@pytest.mark.usefixtures("impatient")
def test_a_write_that_hung_while_another_took_over_counts_for_nothing(tmp_path: Path, where: str) -> None:
    with held_up_driver(tmp_path, where) as late, taken_over(tmp_path) as lease:
        log = begun(tmp_path, lease, 2)
        late.send_signal(signal.SIGCONT)
        answer, _ = late.communicate("\n", timeout=30)
        assert f"was taken over by process {os.getpid()}" in answer
        log.change_slots(4.0, 3)
        log.journal.close()
    assert [event.slots for event in events_of(tmp_path) if isinstance(event, SlotsChanged)] == [2, 3]
    assert [entry.fence for entry in read_events(tmp_path / FILE)] == [1, 1, 2, 2, 2]
    kinds = [path.name for path in set_aside(tmp_path / FILE)]
    assert kinds == ([] if where == "before" else [f"{FILE}.torn-1"])


def change(number: int) -> Event:
    return SlotsChanged(slots=number, at=9.0)


LATE_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a line": lambda journal: journal + line_of(2, 1, change(9)),
    "a line in turn": lambda journal: journal + line_of(5, 1, change(9)),
    "two lines": lambda journal: journal + line_of(2, 1, change(9)) + line_of(3, 1, change(9)),
    "half a line": lambda journal: journal + line_of(2, 1, change(9))[:40],
    "over the newer ones": lambda journal: journal[:-50] + line_of(2, 1, change(9)),
    "its own whole file": lambda journal: journal[: journal.index(b"\n") + 1] + line_of(1, 1, change(9)),
    "nothing at all": lambda journal: b"",
}


@pytest.mark.parametrize("what", LATE_BYTES)
@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.usefixtures("impatient")
def test_the_driver_that_holds_the_lease_mends_what_arrives_by_the_name(tmp_path: Path, what: str, *, replaces: bool) -> None:
    with Lease(tmp_path) as first:
        begun(tmp_path, first).journal.close()
    said: list[str] = []
    with Lease(tmp_path) as lease:
        log = SweepLog(tmp_path, Search(space(), cost_of), guard=lease.check, say=said.append)
        log.start(2.0, driver="here:1", fence=lease.fence, slots=1, versions={})
        log.change_slots(3.0, 2)
        log.change_slots(3.0, 3)
        path = tmp_path / FILE
        late = LATE_BYTES[what](path.read_bytes())
        if replaces or not late.startswith(path.read_bytes()):
            (tmp_path / "late").write_bytes(late)
            (tmp_path / "late").replace(path)
        else:
            path.write_bytes(late)
        log.change_slots(4.0, 4)
        log.change_slots(5.0, 5)
        log.journal.close()
    assert [event.slots for event in events_of(tmp_path) if isinstance(event, SlotsChanged)] == [2, 3, 4, 5]
    assert unread(path) == []
    assert len(said) == (what != "nothing at all")


def test_late_lines_that_nobody_mended_are_dropped_and_told(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    for fence, count in ((1, 2), (2, 2)):
        journal.fence = fence
        journal.append(*[change(journal.count + place) for place in range(count)])
    journal.close()
    whole = path.read_bytes()
    newer = line_of(4, 2, change(4))
    for late in (line_of(2, 1, change(9)), line_of(4, 1, change(9)), line_of(2, 1, change(9))[:40]):
        path.write_bytes(whole + late + newer)
        assert [entry.event for entry in read_events(path)] == [change(number) for number in range(5)]
        assert [entry.n for entry in read_events(path, list(read_events(path))[3])] == [4]
        (left,) = unread(path)
        assert (left.kind, left.start, left.end) == ("late", len(whole), len(whole) + len(late))
    again = Journal(path, guard=lambda: None)
    again.append(change(5))
    again.close()
    assert path.read_bytes() == whole + newer + line_of(5, 2, change(5))
    assert (tmp_path / "j.late-1").read_bytes() == late


def test_a_newline_that_is_gone_is_no_late_line(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(line_of(0, 1, change(0)) + line_of(1, 1, change(1))[:-1] + line_of(2, 1, change(2)))
    with pytest.raises(SweepError, match="corrupt at byte"):
        list(read_events(path))


def test_the_fence_grows_though_the_lease_was_deleted(tmp_path: Path) -> None:
    for number, fence in ((2, 7), (3, 1), (4, 1)):
        log = SweepLog(tmp_path, Search(space(), cost_of))
        log.start(2.0, driver="here:1", fence=fence, slots=1, versions={})
        log.change_slots(3.0, number)
        log.journal.close()
    assert [event.slots for event in events_of(tmp_path) if isinstance(event, SlotsChanged)] == [2, 3, 4]
    assert [entry.fence for entry in read_events(tmp_path / FILE)] == [7, 7, 7, 8, 8, 9, 9]

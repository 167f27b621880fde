"""The lease: a living driver keeps its folder, a dead one loses it, and the fence only grows."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from trm.errors import FolderError, SweepError
from trm.search.journal import lease as module
from trm.search.journal.lease import FILE, STALE_SECONDS, Holder, Lease, is_held, read_holder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart is looked at for a quarter of a second, not for 12."""
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)


def put(folder: Path, holder: Holder, age_seconds: float = 0.0) -> None:
    (folder / FILE).write_text(json.dumps(asdict(holder)))
    then = time.time() - age_seconds
    os.utime(folder / FILE, (then, then))


def test_a_living_driver_keeps_its_folder_and_is_named(tmp_path: Path) -> None:
    with Lease(tmp_path) as lease:
        assert is_held(tmp_path)
        with pytest.raises(SweepError, match=rf"held by a living driver, process {os.getpid()} on {lease.holder.host}"):
            Lease(tmp_path)
        lease.check()
    assert not is_held(tmp_path)


def test_the_fence_grows_with_every_driver(tmp_path: Path) -> None:
    fences = []
    for _ in range(3):
        with Lease(tmp_path) as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]


def test_a_killed_driver_of_this_machine_loses_the_folder_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from trm.search.journal.lease import Lease; "
        "Lease(sys.argv[1]); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(SweepError, match=f"process {process.pid} on"):
        Lease(tmp_path)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, but its exit code was not fetched: a zombie
    with Lease(tmp_path) as lease:
        assert lease.fence == 2
    process.wait()
    process.stdout.close()
    with Lease(tmp_path) as lease:
        assert lease.fence == 3


def test_a_reused_process_number_is_not_the_driver(tmp_path: Path) -> None:
    put(tmp_path, replace(Holder.this_process(4), process_started="1"))
    with Lease(tmp_path) as lease:
        assert lease.fence == 5


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"boot": "another kernel"}])
def test_a_driver_elsewhere_is_judged_by_its_heart(tmp_path: Path, change: dict[str, str]) -> None:
    elsewhere = replace(Holder.this_process(1), **change)  # type: ignore[arg-type]
    put(tmp_path, elsewhere, age_seconds=STALE_SECONDS / 2)
    with pytest.raises(SweepError, match=r"its heart beat 3\d s ago"):
        Lease(tmp_path)
    put(tmp_path, elsewhere, age_seconds=STALE_SECONDS + 1)
    with Lease(tmp_path) as lease:
        assert lease.fence == 2


def test_a_driver_that_was_replaced_may_write_no_more(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    lease.check()
    lease.path.write_text(json.dumps(asdict(lease.holder), indent=1))  # in whatever words, it is ours
    lease.check()
    put(tmp_path, Holder("elsewhere", "x", 7, "1", lease.fence + 1))
    with pytest.raises(SweepError, match="taken over by process 7 on elsewhere"):
        lease.check()
    lease.release()
    holder = read_holder(tmp_path)
    assert holder is not None
    assert holder.pid == 7


def test_the_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    with Lease(tmp_path):
        os.utime(tmp_path / FILE, (1, 1))
        deadline = time.monotonic() + 10
        while (tmp_path / FILE).stat().st_mtime == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.time() - (tmp_path / FILE).stat().st_mtime < 10


def test_a_driver_that_was_replaced_does_not_beat_for_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.3)
    lease = Lease(tmp_path)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", lease.fence + 1), age_seconds=30)
    lease._thread.join(30)
    assert not lease._thread.is_alive()
    assert time.time() - (tmp_path / FILE).stat().st_mtime > 29
    lease.release()


def test_a_file_that_is_no_lease_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(SweepError, match=r"driver.json (must be JSON|is not a lease)"):
        Lease(tmp_path)
    assert read_holder(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "wrong", [{"fence": "x"}, {"fence": None}, {"fence": 1.5}, {"fence": -7}, {"fence": 10**20}, {"pid": 10**30}]
)
def test_a_lease_of_other_values_is_named(tmp_path: Path, wrong: dict[str, object]) -> None:
    """A fence of more digits than a line of the journal has room for would make the journal unreadable."""
    put(tmp_path, Holder("elsewhere", "x", 0, "1", 3), age_seconds=0)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(values | wrong))
    with pytest.raises(SweepError, match=f"driver.json is not a lease: {next(iter(wrong))}: "):
        Lease(tmp_path)


def test_a_busy_interpreter_does_not_stop_the_heart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    with Lease(tmp_path):
        os.utime(tmp_path / FILE, (1, 1))
        deadline, count = time.monotonic() + 30, 0
        while (tmp_path / FILE).stat().st_mtime == 1 and time.monotonic() < deadline:
            for _ in range(20_000):  # a fifth of a second and more that holds the interpreter, as a driver's own work does
                count += sum(range(1000))
        assert time.time() - (tmp_path / FILE).stat().st_mtime < 10


def test_the_age_of_a_heart_is_by_the_clock_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 1), age_seconds=STALE_SECONDS / 2)
    for skew in (-3600.0, 3600.0):
        monkeypatch.setattr(time, "time", lambda skew=skew, clock=time.monotonic: 1.8e9 + clock() + skew)
        assert is_held(tmp_path)


def test_one_who_may_only_look_sees_who_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 1))

    def refuse(path: Path) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(Path, "touch", refuse)
    assert is_held(tmp_path)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 1), age_seconds=STALE_SECONDS + 1)
    assert not is_held(tmp_path)


SUSPENDED = """
import sys, time
from pathlib import Path
from trm.search.journal import lease
from trm.search.journal.events import DriverStarted
from trm.search.journal.journal import Journal
lease.socket.gethostname = lambda: "elsewhere"
lease.HEARTBEAT_SECONDS = 0.05
folder = Path(sys.argv[1])
held = lease.Lease(folder)
journal = Journal(folder / "journal.jsonl", guard=held.check)
journal.append(DriverStarted(driver="elsewhere:1", fence=1, slots=1, at=0))
print("held", flush=True)
sys.stdin.readline()
try:
    journal.append(DriverStarted(driver="elsewhere:1", fence=1, slots=2, at=1))
except Exception as error:
    print(error, flush=True)
"""


def test_a_suspended_driver_that_wakes_up_may_write_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 3.0)
    with subprocess.Popen(
        [sys.executable, "-c", SUSPENDED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(SweepError, match="on elsewhere"):
            Lease(tmp_path)
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while is_held(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        with Lease(tmp_path) as lease:
            before = (tmp_path / "journal.jsonl").read_bytes()
            process.send_signal(signal.SIGCONT)
            answer, _ = process.communicate("\n", timeout=20)
            assert f"was taken over by process {os.getpid()}" in answer
            assert (tmp_path / "journal.jsonl").read_bytes() == before
            lease.check()


@pytest.mark.parametrize("age_seconds", [-86400.0, -120.0, STALE_SECONDS + 1, 86400.0])
def test_a_heart_that_beats_while_we_look_is_alive_whatever_its_date_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_seconds: float
) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 5.0)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 3), age_seconds)
    said: list[str] = []

    def beat() -> None:
        while not said:
            time.sleep(0.01)
        os.utime(tmp_path / FILE)  # the beat that follows on a clock that was set

    heart = threading.Thread(target=beat)
    heart.start()
    with pytest.raises(SweepError, match=r"process 7 on elsewhere .its heart beats"):
        Lease(tmp_path, said.append)
    heart.join()
    assert "looking" in said[0]
    assert read_holder(tmp_path) == Holder("elsewhere", "x", 7, "1", 3)


@pytest.mark.parametrize("age_seconds", [-86400.0, -30.0])
def test_a_dead_driver_whose_file_lies_in_the_future_loses_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_seconds: float
) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 0.5)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 3), age_seconds)
    assert not is_held(tmp_path)
    began = time.monotonic()
    with Lease(tmp_path) as lease:
        assert time.monotonic() - began >= 0.5
        assert lease.fence == 4


def test_a_driver_that_takes_the_folder_while_another_looks_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 5.0)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 3), -86400)
    with pytest.raises(SweepError, match="its heart beats"):
        Lease(tmp_path, lambda text: put(tmp_path, Holder("third", "x", 8, "1", 4)))
    holder = read_holder(tmp_path)
    assert holder is not None
    assert holder.pid == 8


def test_a_link_in_the_locks_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f".{FILE}.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(FolderError, match="links below a folder"):
        Lease(tmp_path)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_folder_is_discarded_only_by_who_holds_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    lease = Lease(tmp_path / "one")
    put(tmp_path / "one", Holder("elsewhere", "x", 7, "1", lease.fence + 1))
    lease.discard()
    assert (tmp_path / "one" / FILE).exists()
    put(tmp_path / "one", replace(lease.holder, pid=0))
    lease = Lease(tmp_path / "one")
    lease.discard()
    assert not (tmp_path / "one").exists()


def test_who_waits_takes_over_from_a_driver_elsewhere_that_died_a_moment_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALE_SECONDS", 1.0)
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 3), age_seconds=0.2)
    with pytest.raises(SweepError, match="its heart beat 0 s ago"):
        Lease(tmp_path)
    began = time.monotonic()
    with Lease(tmp_path, waits=True) as lease:
        assert lease.fence == 4
    assert time.monotonic() - began >= 0.7, "a heart counts as still only when it is stale"


def test_who_waits_for_a_living_driver_is_told_at_its_next_beat(tmp_path: Path) -> None:
    put(tmp_path, Holder("elsewhere", "x", 7, "1", 3))
    with pytest.raises(SweepError, match="its heart beats"):
        Lease(tmp_path, lambda text: os.utime(tmp_path / FILE, (1, 1)), waits=True)

"""Failures told apart on a real Ray: a leg that stands still, one without memory, one that dies; and a disk that is full."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster_cases import events_of, run_job, started, wait_until, write_space

from trm.cluster.connection import connected
from trm.cluster.places import Groups, Places
from trm.cluster.processes import death_of
from trm.cluster.tune_legs import LegRunner, run_legs
from trm.config.run import RunConfig
from trm.search.journal.events import Decided, LegEnded, SweepEnded
from trm.training.leg import LegResult, LegTask

pytestmark = pytest.mark.ray


class Script:
    """A leg source that hands out legs one after the other and writes down what became of them."""

    is_stopping = False
    slots = wants = 1

    def __init__(self, legs: list[str]) -> None:
        self.legs = legs
        self.over: list[str] = []
        self.ends: list[tuple[str, LegResult | None, str | None]] = []

    def next_leg(self) -> LegTask | None:
        if not self.legs:
            return None
        config = RunConfig.model_validate({"data": {"folder": "x"}, "training": {"steps": 1}})
        return LegTask(config, max_steps=1, until_steps=1, puzzles_to=self.legs.pop(0))

    def leg_over(self, task: LegTask) -> None:
        self.over.append(str(task.puzzles_to))

    def leg_returned(self, task: LegTask, result: LegResult | None, error: str | None) -> None:
        self.ends.append((str(task.puzzles_to), result, error))

    def tick(self) -> None:
        pass

    @property
    def is_over(self) -> bool:
        return not self.legs


def leg_function() -> Callable[[dict[str, Any]], None]:
    """A leg in place whose training is played by the script (its act is where a task has its file); it travels by value."""

    def leg(config: dict[str, Any]) -> None:
        from unittest.mock import MagicMock

        from trm.cluster import leg_in_place as legs

        def played(task: LegTask, *others: Any, **named: Any) -> LegResult:
            act: Any = task.puzzles_to
            if act == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if act == "raises":
                raise ValueError("the feed is broken")
            return LegResult(status=act, process=str(os.getpid()))

        legs.do_leg, legs.saved_outcome, legs.answered = played, lambda task: None, lambda question: True
        legs.leg_in_place(config, feed=MagicMock(), board=MagicMock())

    return leg


def test_each_way_to_end_has_its_name_and_a_process_without_memory_is_replaced(tmp_path: Path) -> None:
    script = Script(["completed", "completed", "out_of_memory", "completed", "raises", "dies", "completed"])
    with connected(needs_dashboard=False, address="local"):
        run_legs(script, LegRunner(leg_function(), Places(Groups([{"CPU": 1.0}])), 1), tmp_path / "tune")
        told = [
            (act, outcome.status) if outcome else (act, death_of(error or "", [], set()).status)
            for act, outcome, error in script.ends
        ]
        reasons = {act: death_of(error or "", [], set()).error for act, outcome, error in script.ends if not outcome}
    assert [act for act, _ in told] == ["completed", "completed", "out_of_memory", "completed", "raises", "dies", "completed"]
    assert [status for _, status in told] == [
        *("completed", "completed", "out_of_memory", "completed"),
        *("failed", "lost", "completed"),
    ]
    assert len(script.over) == 5, "each that answered came back, or ended itself"
    assert reasons["raises"] == "ValueError: the feed is broken"
    assert "ended without a word" in reasons["dies"]
    first, second, without, fresh = [outcome.process for _, outcome, _ in script.ends[:4] if outcome]
    assert first == second == without != fresh


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 16 MB; None where nothing may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        is_mounted = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True).returncode == 0
        )
    except OSError:
        is_mounted = False
    yield folder if is_mounted else None
    if is_mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    """Take what is left, while others write too."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def ended(folder: Path) -> list[LegEnded]:
    return [event for event in events_of(folder) if isinstance(event, LegEnded)]


def process_of(leg: LegEnded) -> int:
    return int(str(leg.process).rpartition(":")[2])


def stop_a_busy_process(folder: Path, sweep: subprocess.Popen[str]) -> int:
    """Stop a process that has done a leg and takes time for its next one, until it was ended for that; its number."""
    before: dict[int, float] = {}

    def busy_process() -> int | None:
        for pid in {process_of(leg) for leg in ended(folder) if leg.status == "completed"}:
            with contextlib.suppress(psutil.NoSuchProcess):
                taken = psutil.Process(pid).cpu_times().user
                if taken - before.setdefault(pid, taken) > 0.1:
                    return pid
        return None

    busy = wait_until(busy_process, sweep)
    os.kill(busy, signal.SIGSTOP)
    wait_until(lambda: is_gone(busy), sweep)
    deadline = time.monotonic() + 10  # for the journal to say so; of one that had just done its leg it says nothing
    while time.monotonic() < deadline:
        if any(leg.status != "completed" and str(leg.process).endswith(f":{busy}") for leg in ended(folder)):
            break
        time.sleep(0.05)
    return busy


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_leg_that_stands_still_is_ended_and_a_full_disk_pauses(tmp_path: Path, small_disk: Path | None) -> None:
    space = write_space(tmp_path)
    storage, folder = (small_disk or tmp_path), (small_disk or tmp_path) / "sweep"
    data = f"data={{folder: {tmp_path / 'data' / 'set'}}}"
    code, output = run_job("build_dataset", "datasets/sudoku4x4.yaml", "--out", str(tmp_path / "data" / "set"))
    assert code == 0, output
    options = (str(space), "--storage", str(storage), "--name", "sweep", "--set", data, "--set", "resources.stall_seconds=8")
    options += ("--set", "budget.per_trial=6e10", "--trials", "6")

    with started("sweep", *options) as first:
        wait_until(lambda: bool(ended(folder)), first)
        stopped = [process_of(ended(folder)[0])]
        os.kill(stopped[0], signal.SIGSTOP)  # between two legs
        wait_until(lambda: is_gone(stopped[0]), first)
        while len(stopped) < 2 or not any(leg.status == "stalled" for leg in ended(folder)):
            stopped.append(stop_a_busy_process(folder, first))  # in a leg, but for one that has just ended
        if small_disk is not None:
            fill(small_disk)
        output, _ = first.communicate(timeout=300)
    for pid in stopped:
        assert re.search(rf":{pid}\b.* was ended", output), output
    assert any(leg.status == "stalled" and str(leg.error).startswith("no step for") for leg in ended(folder))

    if small_disk is not None:
        assert first.returncode == 130, output
        assert "is full" in output
        assert "--resume" in output
        assert not any(isinstance(event, SweepEnded) for event in events_of(folder))
        (small_disk / "ballast").unlink()
        code, output = run_job("sweep", *options, "--resume")
        assert code == 0, output
    last = {event.trial: event.status for event in events_of(folder) if isinstance(event, Decided)}
    assert len(last) == 6
    assert set(last.values()) <= {"finished", "stopped"}
    assert {leg.status for leg in ended(folder)} <= {"completed", "stalled", "lost"}
    done = [(leg.trial, leg.rung) for leg in ended(folder) if leg.status == "completed"]
    assert len(done) == len(set(done))

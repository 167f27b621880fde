"""A disk that is full, told to the driver without a cluster: it prunes, tries again, or pauses, and journals nothing of it."""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from bad_input_cases import CONFIG, RECIPE, SPACE, run
from ray.actor import ActorHandle
from rayless import StillGround

from tests.sweeps.test_checkpoints import Sweep
from trm.cluster.connection import Demand
from trm.cluster.driver import Audience, Placement, SweepDriver
from trm.cluster.gauges import SweepGauges
from trm.cluster.processes import WorkerProcess
from trm.cluster.progress_board import RunningLegs
from trm.search.journal.events import Event
from trm.sweeps import room
from trm.sweeps.checkpoints import CheckpointRetention
from trm.sweeps.signals import StopSignals
from trm.terminal.display import SweepDisplay
from trm.terminal.progress import SweepProgress
from trm.training.leg import LegResult, LegTask


class Driven:
    """The driver of a sweep whose legs are played by the test, on a disk with `free` bytes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sweep = Sweep(folder)
        self.free = 10**12
        monkeypatch.setattr(room, "free_bytes", lambda folder: self.free)
        board = MagicMock(spec=ActorHandle)
        board.stop_all = board.ended = board.running = MagicMock()
        signals = MagicMock(spec=StopSignals, is_requested=False, is_grace_over=False)
        self.driver = SweepDriver(
            self.sweep.log,
            folder,
            Placement(Demand(1, 1.0, 0.0), threads=1, slots=1),
            board,
            audience=Audience(MagicMock(spec=SweepDisplay), MagicMock(spec=SweepProgress), None, MagicMock(spec=SweepGauges)),
            signals=signals,
            write_tables=lambda: None,
            ground=StillGround(1),
        )
        self.events: list[Event] = []
        told = self.sweep.log.on_event
        self.sweep.log.on_event = lambda event: (self.events.append(event), told(event))[1]

    def start(self) -> LegTask:
        leg = self.driver.next_leg()
        assert leg is not None
        self.events.clear()
        return leg

    def end(self, leg: LegTask, status: str) -> None:
        values: dict[str, Any] = {}
        if status == "completed":
            values = {"metrics": {"exact_accuracy": 0.5, "loss": 1.0}, "steps": leg.until_steps}
        self.driver.leg_returned(leg, LegResult(status, **values), None)  # type: ignore[arg-type]

    def leave_something_to_prune(self, leg: LegTask) -> None:
        """An ended trial's checkpoint that nothing needs."""
        self.end(leg, "diverged")
        self.sweep.write(leg.trial, 1)


@pytest.fixture
def driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:
    made = Driven(tmp_path, monkeypatch)
    yield made
    made.sweep.log.journal.close()


def full_for(calls: int, write: Callable[..., Any]) -> Callable[..., Any]:
    left = [calls]

    def attempt(*events: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*events)

    return attempt


def test_a_leg_that_met_a_full_disk_counts_for_nothing_and_the_sweep_pauses(driven: Driven) -> None:
    leg = driven.start()
    driven.end(leg, "disk_full")
    assert not driven.events
    assert driven.driver.disk_full is not None
    assert "the next checkpoints need" in driven.driver.disk_full
    assert driven.driver.is_stopping
    assert driven.driver.reason is None
    assert driven.driver.next_leg() is None
    trial = driven.sweep.search.state.trials[0]
    assert (trial.troubles.total(), trial.status) == (0, "running")


def test_a_full_disk_of_a_worker_that_copies_objects_is_told_as_its_own(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointRetention, "is_on_disk", False)
    leg = driven.start()
    driven.driver._legs._says = RunningLegs({}, {leg.leg: [WorkerProcess("node7", "there", 1, "", oom_kills=0)]}, {}, [])
    driven.driver.leg_returned(leg, LegResult("disk_full", error="OSError: No space left on device"), None)
    assert driven.driver.disk_full == "the disk of a worker on node7 is full: OSError: No space left on device"
    assert not driven.events


def test_pruning_first_may_make_the_room_and_then_the_same_leg_runs_again(driven: Driven) -> None:
    driven.leave_something_to_prune(driven.start())
    leg = driven.start()
    driven.end(leg, "disk_full")
    assert driven.driver.disk_full is None
    assert driven.driver.next_leg() == leg
    assert not driven.events


def test_no_leg_starts_without_room_for_its_checkpoint(driven: Driven) -> None:
    driven.free = -1
    assert driven.driver.next_leg() is None
    assert driven.driver.disk_full is not None


@pytest.mark.parametrize(("failures", "is_paused"), [(1, False), (9, True)])
def test_a_journal_that_cannot_be_written_is_tried_again_after_pruning(driven: Driven, failures: int, is_paused: bool) -> None:
    driven.leave_something_to_prune(driven.start())
    leg = driven.start()
    journal = driven.sweep.log.journal
    journal.append = full_for(failures, journal.append)  # type: ignore[method-assign]
    driven.end(leg, "completed")
    assert (driven.driver.disk_full is not None) == is_paused
    assert any(event.event == "leg_ended" for event in driven.events) == (not is_paused)
    assert (driven.sweep.search.state.trials[1].result is not None) == (not is_paused)


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/proc/self/mounts"), reason="only root can mount a small disk")
def test_a_run_on_a_disk_too_small_for_a_checkpoint_stops_in_order_and_goes_on_with_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        (tmp_path / "config.yaml").write_text(CONFIG.replace("PLACE", str(tmp_path)))
        assert run("build_dataset", tmp_path / "recipe.yaml", "--out", tmp_path / "data") == 0
        (small / "fill").write_bytes(bytes(4 * 2**20 - 120_000))
        capsys.readouterr()
        assert run("train", tmp_path / "config.yaml", "--out", small / "run", "--storage", tmp_path) == 130
        said = capsys.readouterr().err
        assert f"the disk of {small}/run is full" in said
        assert f"ray_jobs/train.py --resume {small}/run`" in said
        assert "Traceback" not in said
        (small / "fill").unlink()
        assert run("train", "--resume", small / "run", "--storage", tmp_path) == 0
        (small / "fill").write_bytes(bytes(1_000_000))
        with contextlib.suppress(OSError), (small / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(bytes(1000))
        space = tmp_path / "space.yaml"
        space.write_text(SPACE.replace("PLACE", str(tmp_path)))
        assert run("sweep", space, "--storage", small) == 130
        said = capsys.readouterr().err
        assert "interrupted: the disk" in said
        assert "Traceback" not in said
    finally:
        subprocess.run(["umount", str(small)], check=True)

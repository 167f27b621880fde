"""The page while a sweep runs: a process of its own writes it, within its share, whole at any moment, until the driver ends it."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from page_cases import large_space, simulated_sweep
from search_simulator import KilledError

from trm.sweeps import report_writer
from trm.sweeps.report import FollowedSweep
from trm.sweeps.report_writer import SHARE, Allowance, ReportWriter, reported


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def interrupted(folder: Path, page: Path) -> None:
    with reported(folder, slots=2):
        until(page.exists)
        page.unlink()
        raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with pytest.raises(KilledError):
        simulated_sweep(tmp_path / "s", large_space(20), has_curves=False, kill_after=60)
    return tmp_path / "s"


def test_what_pages_cost_stays_within_their_share() -> None:
    """Whatever a page costs and however many legs run: the process's seconds are below 1 % of the workers'."""
    for cost, slots in ((0.05, 1), (0.5, 2), (3.0, 2), (3.0, 64)):
        allowance, spent, pages = Allowance(), 2.0, 0
        for _ in range(4 * 3600):
            allowance.pass_time(1.0, slots)
            if allowance.allows(spent, cost):
                spent += cost
                pages += 1
                assert spent <= SHARE * allowance.worker_seconds < 0.01 * allowance.worker_seconds
        assert pages >= min(4 * 3600, 0.9 * (SHARE * 4 * 3600 * slots - 2) / cost)


def test_a_full_disk_leaves_the_old_page_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed = FollowedSweep(folder)
    followed.read()
    report_writer._write(followed)
    before = (folder / "report.html").read_bytes()

    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    report_writer._write(followed)
    assert (folder / "report.html").read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_driver_that_leaves_before_the_first_page_has_one_written(folder: Path) -> None:
    page = folder / "report.html"
    with pytest.raises(KeyboardInterrupt), reported(folder, slots=2):
        raise KeyboardInterrupt
    until(lambda: page.exists() and page.read_bytes().endswith(b"</html>\n"))


def test_a_short_sweep_never_meets_the_process(folder: Path) -> None:
    with reported(folder, slots=2):
        pass
    assert not (folder / "report.html").exists()


def test_the_process_writes_and_goes_when_the_driver_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_writer, "LEAST_BEGIN_SECONDS", 0.0)
    monkeypatch.setattr(report_writer, "BEGIN_WORKER_SECONDS", 0.0)
    page = folder / "report.html"
    writer = ReportWriter(folder, slots=2)
    until(page.exists)
    assert page.read_bytes().endswith(b"</html>\n")
    (folder / f".report.html.{writer._process.pid}-00.tmp").touch()  # type: ignore[union-attr]
    writer.end()
    assert writer._process is not None
    assert writer._process.poll() is not None
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    page.unlink()
    with pytest.raises(KeyboardInterrupt):
        interrupted(folder, page)
    until(lambda: page.exists() and page.read_bytes().endswith(b"</html>\n"))

"""What is good to have fails alone: the results of a sweep are there, and a line names what could not be made."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ray.exceptions import RayTaskError
from search_simulator import Simulator

from tests.search.test_objectives import AGAINST, traded, weighed
from tests.sweeps.test_disk import Driven, driven  # noqa: F401  # the fixture
from trm.cluster import sweep_run
from trm.cluster.connection import Demand
from trm.cluster.driver import Placement
from trm.cluster.shared_data import SweepFeed
from trm.cluster.sweep_run import SweepRun
from trm.errors import CheckpointError, TerminatedRun
from trm.pictures import choice
from trm.search.findings.confirmed import Winner, winner
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.sweeps import results as sweep_results
from trm.sweeps.extras import Extras
from trm.sweeps.results import write_results
from trm.sweeps.sweep import Sweep
from trm.terminal.display import SweepDisplay

EVERYTHING = {
    *("journal.jsonl", "trials.parquet", "leaderboard.json", "study.journal", "importance.json"),
    *("curves.png", "front.png", "importance.png", "depth_map.png"),
}
DECORATIONS = {
    "write_study": "study.journal",
    "importance": "importance.json",
    "draw_curves": "curves.png",
    "draw_front": "front.png",
    "draw_bars": "importance.png",
    "draw_map": "depth_map.png",
}


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Simulator(weighed("asha", AGAINST), tmp_path, outcome=traded).run().search


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "broken", [*DECORATIONS, "write_transfer", "write_audit", "transfers", "_confirmed_words", "sentence", "CheckpointRetention"]
)
def test_each_fails_alone_and_is_named(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    is_class = broken == "CheckpointRetention"
    where = "trm.pictures.choice" if broken.startswith("draw_") else "trm.sweeps.results"
    monkeypatch.setattr(
        "trm.sweeps.checkpoints.CheckpointRetention.prune" if is_class else f"{where}.{broken}", failing(KeyError("no"))
    )
    lines = write_results(search.state, tmp_path)
    lost = {DECORATIONS.get(broken, "")} | ({"importance.png", "depth_map.png"} if broken == "importance" else set())
    assert {path.name for path in tmp_path.iterdir()} >= EVERYTHING - lost
    assert not lost & {path.name for path in tmp_path.iterdir()}
    assert next(line for line in lines if line.startswith("could not be made: ")).endswith("(KeyError: 'no')")
    assert all(name in lines[-1] for name in lost if name not in ("importance.png", "depth_map.png"))
    assert json.loads((tmp_path / "leaderboard.json").read_text())["trials"]


def test_pictures_call_the_head_of_the_leaderboard_the_best(
    search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int | None] = []
    for other in ("draw_curves", "draw_front", "draw_bars", "draw_map"):  # name it by themselves, or do not
        monkeypatch.setattr(choice, other, lambda *_, **__: None)
    monkeypatch.setattr(choice, "draw_trials", lambda *_, best, **__: called.append(best))
    monkeypatch.setattr(choice, "read_curve", lambda _: object())
    for head in reversed(search.state.leaderboard()):  # whoever leads, by ties broken by loss or by fresh seeds
        monkeypatch.setattr(choice, "winner", lambda _, head=head: Winner(head, head, None))
        write_results(search.state, tmp_path)
        assert called[-1] == head.number
    monkeypatch.undo()
    head = json.loads((tmp_path / "leaderboard.json").read_text())["trials"][0]["trial"]
    found = winner(search.state)
    assert found is not None
    assert found.trial.number == head


def test_without_matplotlib_there_are_results_and_one_line(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trm.pictures.canvas._matplotlib", failing(ImportError("no module named matplotlib")))
    lines = write_results(search.state, tmp_path)
    assert lines[-1] == (
        "could not be made: curves.png, front.png, importance.png, depth_map.png (ImportError: no module named matplotlib)"
    )
    assert {path.name for path in tmp_path.iterdir()} >= {name for name in EVERYTHING if not name.endswith(".png")}


@pytest.mark.parametrize("error", [TerminatedRun("SIGTERM"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_signal_and_a_full_disk_are_no_failed_picture(error: BaseException, search: Search, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        Extras().make("curves.png", failing(error))


def test_progress_and_tables_that_fail_end_no_sweep_and_are_told_once(
    driven: Driven,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    display, progress = driven.driver._display, driven.driver._progress
    for one in (display.show, display.event, display.message, progress.snapshot):  # type: ignore[attr-defined]
        one.side_effect = ValueError("cannot convert float NaN to integer")
    driven.driver._write_tables = failing(TypeError("a mixed column"))
    for _ in range(2):
        driven.driver._tables_due = 0.0
        leg = driven.start()
        driven.end(leg, "completed")
        driven.driver.tick()
    assert [trial.result is not None for trial in driven.sweep.search.state.trials] == [True, True]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "progress could not be made, the work goes on (ValueError: cannot convert float NaN to integer)",
        "trials.parquet could not be made, the work goes on (TypeError: a mixed column)",
    ]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RayTaskError("score", "Traceback ...", CheckpointError("weights are torn", remedy="restore them")), "weights are torn"),
        (CheckpointError("the checkpoint is gone", remedy="restore it"), "the checkpoint is gone"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_a_winner_that_cannot_be_scored_is_told_after_everything_else(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_run, "report_winner", failing(error))
    monkeypatch.setattr(sweep_run, "search_test_time", lambda log, make_pass, say: None)
    sweep = MagicMock(spec=Sweep, folder=Path("runs/s"), sets=MagicMock(), invocation=MagicMock(resume="sweep.py --resume"))
    run = MagicMock(spec=SweepRun, sweep=sweep)
    placement, feed = (
        Placement(Demand(1, 1.0, 0.0), threads=1, slots=1),
        MagicMock(spec=SweepFeed),
    )
    given = MagicMock(spec=SweepLog), placement, feed, MagicMock(spec=SweepDisplay)
    told = SweepRun._report_winner(run, *given)
    assert told is not None
    assert why in told
    assert "`sweep.py --resume` tries it again" in told
    monkeypatch.setattr(sweep_run, "report_winner", failing(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        SweepRun._report_winner(run, *given)


def test_what_is_written_first_is_what_counts(search: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    for name in ("write_trials", "write_leaderboard", "write_study", "importance", "draw_curves", "draw_bars"):
        module = choice if name.startswith("draw_") else sweep_results
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, real=real, **k: (order.append(name), real(*a, **k))[1])
    write_results(search.state, tmp_path)
    assert order == ["write_trials", "write_leaderboard", "write_study", "importance", "draw_curves", "draw_bars"]

"""An optimizer of forty lines, a puzzle and a metric outside of the checkout: a real sweep of the puzzle, for the metric, searches
the optimizer beside one of ours, and is resumed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_cases import SPACE, check_replay, check_whole, events_of, facts
from own_members import forgotten
from rayless import Kill, Killed, Life, Nursery

from trm.config import imports
from trm.config.imports import VARIABLE
from trm.search.journal.events import Asked, LegEnded, SweepStarted

TRIALS = 4
KNOBS = """
  optim.type: {type: choice, values: [adamw, mean_sign]}
  optim.beta1: {type: choice, values: [0.8, 0.9]}
  optim.eps: {type: choice, values: [1.0e-8, 1.0e-6]}
"""
FIXTURES = Path(__file__).parents[1] / "fixtures"
MODULE = FIXTURES / "own_optimizer.py"
IMPORTS = "imports: [my_lab.optims, my_lab.puzzles]"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a person keeps code of their own, on PYTHONPATH."""
    package = tmp_path_factory.mktemp("lab") / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(MODULE, package / "optims.py")
    shutil.copy(FIXTURES / "own_puzzles.py", package / "puzzles.py")
    return package


@pytest.fixture(scope="module")
def killed(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    storage = tmp_path_factory.mktemp("runs")
    text = SPACE.replace("  optim.lr:", f"{KNOBS.strip(chr(10))}\n  optim.lr:", 1)
    for old, new in (
        ("name: crash", f"name: own\n{IMPORTS}\nobjective: {{metric: wrong_cells_halted}}"),
        ("datasets/sudoku4x4.yaml", str(storage / "parity.yaml")),
        ("evaluation: {", "evaluation: {reports_halted: true, "),
        ("per_trial: 4.0e8", "per_trial: 2.0e8"),
    ):
        assert old in text
        text = text.replace(old, new)
    (storage / "parity.yaml").write_text("{task: parity, name: parity, imports: [my_lab.puzzles]}")
    (storage / "own.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(lab.parent))
        patch.delenv(VARIABLE, raising=False)
        nursery = Nursery(storage / "log")
    yield Killed(nursery, storage / "own.yaml", storage, ("--trials", str(TRIALS)))
    nursery.close()


def test_it_is_searched_killed_resumed_and_guarded(killed: Killed, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it in one test, for its sweep is what takes time."""
    whole, folder = killed.storage / "whole", killed.storage / "killed"
    assert killed.run("whole", [None]) == 1
    assert killed.run("killed", [Kill("event", 5, "torn"), Kill("checkpoint", 1, "before"), None]) == 3

    monkeypatch.syspath_prepend(str(lab.parent))
    with pytest.raises(ValueError, match=r"on your word alone, and the search space names my_lab.optims, my_lab.puzzles"):
        check_replay(folder)  # before the person's word: nothing of the folder's is imported
    assert not {"my_lab.optims", "my_lab.puzzles"} & imports._IMPORTED.keys()
    monkeypatch.setenv(VARIABLE, "my_lab.optims,my_lab.puzzles")
    with forgotten():
        check_replay(folder)
        digest = imports.source_digest("my_lab.optims")
    check_whole(folder, TRIALS)
    assert facts(folder) == facts(whole)

    asked = [event.params for event in events_of(folder) if isinstance(event, Asked)]
    assert {params["optim.type"] for params in asked} == {"adamw", "mean_sign"}
    assert all(("optim.eps" in params) == (params["optim.type"] == "adamw") for params in asked)
    assert all("optim.beta1" in params for params in asked)
    began = next(event for event in events_of(folder) if isinstance(event, SweepStarted))
    assert began.versions["imports my_lab.optims"] == began.versions["imports my_lab.puzzles"] == digest
    board = json.loads((folder / "leaderboard.json").read_text())
    scored = [event.metrics for event in events_of(folder) if isinstance(event, LegEnded) and event.status == "completed"]
    assert all(
        metrics is not None and {"parity_accuracy", "wrong_cells", "wrong_cells_halted"} <= metrics.keys() for metrics in scored
    )
    assert board["objective"]["mode"] == "min"
    first = board["trials"][0]
    assert first["objective"] == min(row["objective"] for row in board["trials"] if row["rung"] == first["rung"])

    (lab / "optims.py").write_text(MODULE.read_text() + "\n# changed\n")
    words = (str(killed.space), "--storage", str(killed.storage), "--name", "killed", "--resume", "--trials", str(TRIALS + 1))
    before = (folder / "journal.jsonl").read_bytes()
    assert killed.nursery.live(Life(words)) == 2
    assert "began with my_lab.optims of digest" in killed.nursery.output()
    assert (folder / "journal.jsonl").read_bytes() == before
    shutil.copy(MODULE, lab / "optims.py")
    assert killed.nursery.live(Life(words)) == 0
    assert json.loads((folder / "leaderboard.json").read_text())["trials"]

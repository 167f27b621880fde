"""An optimizer of forty lines outside of the checkout is searched, in a real sweep beside two of ours, and the sweep resumed."""

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
from trm.search.journal.events import Asked, SweepStarted

TRIALS = 4
KNOBS = """
  optim.type: {type: choice, values: [adamw, lion]}
  optim.beta1: {type: choice, values: [0.8, 0.9]}
  optim.eps: {type: choice, values: [1.0e-8, 1.0e-6]}
"""
MODULE = Path(__file__).parents[1] / "fixtures" / "own_optimizer.py"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a person keeps code of their own, on PYTHONPATH."""
    package = tmp_path_factory.mktemp("lab") / "my_lab"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(MODULE, package / "optims.py")
    return package


@pytest.fixture(scope="module")
def killed(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    storage = tmp_path_factory.mktemp("runs")
    text = SPACE.replace("  optim.lr:", f"{KNOBS.strip(chr(10))}\n  optim.lr:", 1).replace(
        "name: crash", "name: own\nimports: [my_lab.optims]"
    )
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
    with pytest.raises(ValueError, match="on your word alone, and the search space names my_lab"):
        check_replay(folder)  # before the person's word: nothing of the folder's is imported
    assert "my_lab.optims" not in imports._IMPORTED
    monkeypatch.setenv(VARIABLE, "my_lab.optims")
    with forgotten():
        check_replay(folder)
        digest = imports.source_digest("my_lab.optims")
    check_whole(folder, TRIALS)
    assert facts(folder) == facts(whole)

    asked = [event.params for event in events_of(folder) if isinstance(event, Asked)]
    assert {params["optim.type"] for params in asked} == {"adamw", "lion"}
    assert all(("optim.eps" in params) == (params["optim.type"] == "adamw") for params in asked)
    assert all("optim.beta1" in params for params in asked)
    began = next(event for event in events_of(folder) if isinstance(event, SweepStarted))
    assert began.versions["imports my_lab.optims"] == digest

    (lab / "optims.py").write_text(MODULE.read_text() + "\n# changed\n")
    words = (str(killed.space), "--storage", str(killed.storage), "--name", "killed", "--resume", "--trials", str(TRIALS + 1))
    before = (folder / "journal.jsonl").read_bytes()
    assert killed.nursery.live(Life(words)) == 2
    assert "began with my_lab.optims of digest" in killed.nursery.output()
    assert (folder / "journal.jsonl").read_bytes() == before
    shutil.copy(MODULE, lab / "optims.py")
    assert killed.nursery.live(Life(words)) == 0
    assert json.loads((folder / "leaderboard.json").read_text())["trials"]

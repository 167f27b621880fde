"""One command for every try: what it goes on with, and what the file beside the folder says of how it ended."""

import json
from pathlib import Path

import pytest

from trm.errors import ConfigError, InterruptedRun, StoreSilent, SweepDriven, SweepError, SweepHeld
from trm.jobs.retries import folder_of, told_to_the_next
from trm.jobs.train import TrainOptions
from trm.jobs.train_seeds import SEEDS_FILE, run_again
from trm.search.journal.lease import Lease
from trm.terminal.command_line import ending
from trm.training.weights import CONFIG_FILE


@pytest.mark.parametrize(
    ("error", "code", "is_again"),
    [
        (InterruptedRun("go on with `this`"), 130, True),
        (KeyboardInterrupt(), 130, True),
        (OSError(28, "No space left on device"), 130, True),
        (StoreSilent("no answer", remedy="look"), 130, True),
        (ConfigError("a rule, a value", remedy="a remedy"), 2, False),
        (RuntimeError("nobody foresaw it, at mysql://me:secret@host"), 1, False),
    ],
)
def test_a_try_leaves_word_for_the_next(tmp_path: Path, error: BaseException, code: int, is_again: bool) -> None:
    file = tmp_path / "runs" / "mine.exit.json"
    with pytest.raises(type(error)), told_to_the_next(tmp_path / "runs" / "mine"):
        raise error
    told = json.loads(file.read_text())
    assert (told["code"], told["try_again"]) == (code, is_again)
    assert "secret" not in told["message"]
    with told_to_the_next(tmp_path / "runs" / "mine"):
        assert not file.exists()
    assert json.loads(file.read_text())["code"] == 0


def test_a_try_that_another_driver_refuses_leaves_the_word_to_that_one(tmp_path: Path) -> None:
    folder, file = tmp_path / "mine", tmp_path / "mine.exit.json"
    folder.mkdir()

    def refused() -> None:
        with pytest.raises(SweepHeld), told_to_the_next(folder):
            Lease(folder).release()

    with Lease(folder):
        refused()
        assert not file.exists()
        file.write_text("of the one that drives")
        refused()
    assert file.read_text() == "of the one that drives"
    assert ending(SweepHeld("held here", remedy="wait")) == (2, "error: held here; wait")
    assert ending(SweepDriven("held elsewhere", remedy="wait")) == (130, "not now: held elsewhere; wait")


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    assert folder_of("mine", str(tmp_path)) == tmp_path / "mine"
    with pytest.raises(SweepError, match="--name must be letters"):
        folder_of("../mine", str(tmp_path))


def test_a_run_goes_on_where_it_began(tmp_path: Path) -> None:
    def again(out: Path) -> TrainOptions:
        given = TrainOptions("c.yaml", ("seed=3",), 1, str(out), str(tmp_path), None, 0.0, None)
        return run_again(given)

    new, begun, series = again(tmp_path / "new"), tmp_path / "begun", tmp_path / "series"
    assert (new.resume, new.out, new.is_retry) == (None, str(tmp_path / "new"), True)
    for folder, file in ((begun, CONFIG_FILE), (series, SEEDS_FILE)):
        folder.mkdir()
        (folder / file).touch()
    one = again(begun)
    assert (one.resume, one.out, one.config, one.overrides) == (str(begun), None, "c.yaml", ("seed=3",))
    several = again(series)
    assert (several.resume, several.out, several.config, several.overrides) == (str(series), None, None, ())

"""Controls: of the trials that early stopping ends some run on, ranked against nobody, and the report says what was lost."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from search_simulator import KilledError, Simulator, cost_of
from test_search_schedulers import demo, searched, sharp, swept
from test_search_sweep import events_of, of, outline

from trm.search.events import Decided
from trm.search.replay import replay
from trm.search.search import Search
from trm.search.space import SearchSpace

STOPPING = ("asha", "asha-stopping", "successive_halving", "hyperband", "median")
each = pytest.mark.parametrize("name", STOPPING)


def audited(name: str, share: float, **budget: Any) -> SearchSpace:
    """The sweep of the contract suite with an audit."""
    return SearchSpace.model_validate(demo(name, **budget).model_dump(mode="json") | {"audit": {"share": share}})


@each
def test_controls_run_to_the_last_rung_and_change_nothing_for_the_others(tmp_path: Path, name: str) -> None:
    swept(demo(name), tmp_path / "without", slots=1)
    swept(audited(name, 1.0), tmp_path / "with", slots=1)
    without, search = searched(demo(name), tmp_path / "without"), searched(audited(name, 1.0), tmp_path / "with")
    stopped = {trial.number for trial in without.trials if trial.status == "stopped"}
    assert stopped
    assert {trial.number for trial in search.trials if trial.is_control} == stopped
    assert {trial.status for trial in search.trials} == {"finished"}
    assert all(trial.rung == search.rungs.last for trial in search.trials)
    for group, boards in without.boards.items():
        assert [board.ranked for board in search.boards[group]] == [board.ranked for board in boards]
    assert search.early_stops == len(stopped)


@each
@pytest.mark.parametrize("share", [0.1, 0.34])
def test_the_share_of_controls_is_kept_to_a_trial(tmp_path: Path, name: str, share: float) -> None:
    space = audited(name, share, trials=40)
    swept(space, tmp_path, slots=3)
    search = searched(space, tmp_path)
    controls = sum(trial.is_control for trial in search.trials)
    assert search.early_stops >= 12
    assert abs(controls - share * search.early_stops) < 1
    assert controls >= 1
    early = [event for event in of(events_of(tmp_path), Decided) if event.is_early]
    assert Counter(event.status for event in early) == {"running": controls, "stopped": search.early_stops - controls}


@each
def test_an_audited_sweep_replays_and_survives_kills(tmp_path: Path, name: str) -> None:
    space = audited(name, 0.5, trials=7)
    swept(space, tmp_path / "whole", slots=1)
    events = events_of(tmp_path / "whole")
    replay(Search(space, cost_of, folder="data"), events)
    for boundary in range(9, len(events), 7):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        with pytest.raises(KilledError):
            Simulator(space, folder, outcome=sharp, slots=1, kill_after=boundary).run()
        Simulator(space, folder, outcome=sharp, slots=1, now=9000.0).run()
        assert outline(searched(space, folder)) == outline(searched(space, tmp_path / "whole"))

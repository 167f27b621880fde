"""Sweeps of an earlier version replay here and say what that version said, finished, killed, confirmed, with fronts, in a gang."""

from pathlib import Path

import pytest
from journal_cases import JOURNALS, RECORDED, after_each, expected, recorded_folder, recorded_search

from trm.search.findings.confirmed import winner
from trm.search.findings.replay import Replayed, replay
from trm.search.findings.tables import LEADERBOARD, trial_rows, write_leaderboard


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_sweep_replays_to_the_tables_it_had(tmp_path: Path, name: str) -> None:
    search, events = recorded_search(recorded_folder(name, tmp_path))
    then = expected(name)
    assert replay(search, events) == Replayed(then["events"], then["decisions"], then["trials"])
    assert trial_rows(search.state) == then["rows"]
    found = winner(search.state)
    assert found is not None
    assert [found.trial.number, found.run.number] == then["winner"]
    write_leaderboard(search.state, tmp_path)
    assert (tmp_path / LEADERBOARD).read_text() == (JOURNALS / name / LEADERBOARD).read_text()


@pytest.mark.parametrize("name", RECORDED)
def test_the_best_trial_and_the_spent_flops_of_a_recorded_sweep_are_known_after_each_event(tmp_path: Path, name: str) -> None:
    search, events = recorded_search(recorded_folder(name, tmp_path))
    then = expected(name)
    best = after_each(then["winner_after"], len(events))
    spent = after_each(then["train_flops_after"], len(events))
    for event, number, flops in zip(events, best, spent, strict=True):
        search.state.apply(event)
        found = winner(search.state)
        assert (found.trial.number if found is not None else None) == number
        assert search.state.spending.train_flops == flops

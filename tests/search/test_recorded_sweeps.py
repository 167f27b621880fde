"""Sweeps of an earlier version replay here and say what that version said, finished, killed, confirmed, with fronts, in a gang."""

from pathlib import Path

import pytest
from journal_cases import JOURNALS, RECORDED, after_each, expected, recorded_folder, recorded_search

from tests.tracking.test_updates import append
from trm.errors import ConfigError, SweepError
from trm.jobs.inspect import show_replay
from trm.search.findings.confirmed import winner
from trm.search.findings.replay import Replayed, replay
from trm.search.findings.tables import LEADERBOARD, trial_rows, write_leaderboard
from trm.search.journal.journal import read_events
from trm.search.space.loading import load_space
from trm.search.space.recorded import recorded_space
from trm.search.space.resume import diff_frozen
from trm.search.space.rules import RULES
from trm.sweeps.folder import begun_rules, begun_space


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


def test_a_sweep_from_before_values_were_refused_that_change_nothing_goes_on_by_the_file_that_began_it(tmp_path: Path) -> None:
    """Its knobs get no conditions, its base is not refused, and its trials keep what they began with."""
    folder, file = recorded_folder("idle", tmp_path), JOURNALS / "idle" / "space.yaml"
    rules = begun_rules(folder)
    assert diff_frozen(recorded_space(folder), begun_space(folder, load_space(file, rules=rules), rules)) is None
    with pytest.raises(ConfigError, match=r"base.model.conv_kernel 4 changes nothing"):
        load_space(file)
    search, events = recorded_search(folder)
    for event in events:
        search.state.apply(event)
    legs = {event.trial: search.run_config(event) for event in events if event.event == "leg_started"}
    assert {leg.optim.lr_min_ratio for leg in legs.values()} == {0.5}
    assert {leg.optim.embedding_lr for leg in legs.values()} == {5e-3}
    assert {leg.optim.schedule for leg in legs.values()} == {"constant", "linear"}


def test_a_sweep_that_began_by_later_rules_is_neither_gone_on_with_nor_replayed(tmp_path: Path) -> None:
    folder = recorded_folder(RECORDED[0], tmp_path)
    first, *rest = (entry.event for entry in read_events(folder / "journal.jsonl"))
    (folder / "journal.jsonl").unlink()
    append(folder / "journal.jsonl", [first.model_copy(update={"rules": RULES + 1}), *rest])
    for look in (begun_rules, lambda place: show_replay(str(place))):
        with pytest.raises(SweepError, match=f"began by rules {RULES + 1}, this program knows 1 to {RULES}; update trm-search"):
            look(folder)

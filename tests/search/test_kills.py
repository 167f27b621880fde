"""Drivers that are killed at any event: nothing is lost, nothing runs twice, every decision can be derived again."""

import random
from collections import Counter
from pathlib import Path

import pytest
from search_simulator import Simulator, cost_of
from sweep_cases import events_of, of, outline, space, survive

from trm.search.journal.events import Asked, Decided, Event, LegEnded, LegStarted
from trm.search.log import SweepLog
from trm.search.search import Search, replayed


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_killed_once_at_every_event_one_at_a_time_it_comes_to_the_same(tmp_path: Path, sampler: str) -> None:
    demo = space({"sampler": {"type": sampler}, "budget": {"trials": 6}})
    (tmp_path / "whole").mkdir()
    whole = Simulator(demo, tmp_path / "whole", slots=1).run().search
    events = len(events_of(tmp_path / "whole"))
    for boundary in range(1, events, 1 if sampler == "random" else 4):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        lives = iter([boundary, 10**9])
        search, kills = survive(demo, folder, lambda lives=lives: next(lives))  # type: ignore[misc]
        assert kills == 1
        assert outline(search) == outline(whole)
        assert [one.number for one in search.state.leaderboard()] == [one.number for one in whole.state.leaderboard()]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_with_two_slots_nothing_is_lost_and_nothing_runs_twice(tmp_path: Path, seed: int) -> None:
    demo = space({"budget": {"trials": 12}, "seed": seed})
    generator = random.Random(seed)
    search, kills = survive(demo, tmp_path, lambda: generator.randint(4, 25), slots=2)
    assert kills >= 3
    events = events_of(tmp_path)
    completed = Counter((event.trial, event.rung) for event in of(events, LegEnded))
    assert set(completed.values()) == {1}, "a leg that completed never runs again"
    attempts = [(event.trial, event.rung, event.attempt) for event in of(events, LegStarted)]
    assert len(attempts) == len(set(attempts))
    assert [event.trial for event in of(events, Asked)] == list(range(12))
    assert len({event.digest for event in of(events, Asked)}) == 12
    assert all(one.status in ("finished", "stopped") for one in search.state.trials)
    for index, board in enumerate(search.state.rung_results[0]):
        assert sorted(board.ranked) == [one.number for one in search.state.trials if index in one.results]
    assert len(search.state.rung_results[0][1]) >= 4


def test_the_fold_of_the_journal_is_the_search_that_wrote_it(tmp_path: Path) -> None:
    demo = space({"sampler": {"type": "tpe", "startup_trials": 3}, "budget": {"trials": 12}})
    live = Simulator(demo, tmp_path).run().search
    again = replayed(demo, cost_of, events_of(tmp_path), folder="data")
    assert again.state.trials == live.state.trials
    assert [board.ranked for board in again.state.rung_results[0]] == [board.ranked for board in live.state.rung_results[0]]
    assert [board.paused for board in again.state.rung_results[0]] == [board.paused for board in live.state.rung_results[0]]
    one, other = again.state, live.state
    assert (one.ended, one.spent(1e6), one.open_legs) == (other.ended, other.spent(1e6), other.open_legs)


def test_every_decision_can_be_derived_again_from_what_stands_before_it(tmp_path: Path) -> None:
    demo = space({"sampler": {"type": "tpe", "startup_trials": 3}, "budget": {"trials": 12}})
    Simulator(demo, tmp_path).run()
    again = Search(demo, cost_of)
    due: list[Event] = []
    derived = 0
    for event in events_of(tmp_path):
        if isinstance(event, Asked | LegStarted | Decided):
            due = due or again.next_events(event.at, 1)
            assert due.pop(0) == event
            derived += 1
        again.state.apply(event)
    assert derived > 40


def test_a_restarted_driver_issues_open_legs_again_from_the_same_checkpoint(tmp_path: Path) -> None:
    demo = space()
    log = SweepLog(tmp_path, Search(demo, cost_of))
    log.start(0.0, driver="a:1", fence=1, slots=2, versions={})
    first = log.advance(1.0, 2)
    assert [(leg.trial, leg.rung, leg.attempt) for leg in first] == [(0, 0, 0), (1, 0, 0)]
    assert log.advance(1.0, 0) == []
    log.journal.close()
    log = SweepLog(tmp_path, Search(demo, cost_of))
    assert not log.is_new
    assert [leg.trial for leg in log.search.state.open_legs] == [0, 1]
    log.start(2.0, driver="a:2", fence=2, slots=2, versions={})
    assert log.search.state.open_legs == []
    second = log.advance(3.0, 2)
    assert [(leg.trial, leg.rung, leg.attempt) for leg in second] == [(0, 0, 1), (1, 0, 1)]
    assert [leg.from_checkpoint for leg in second] == [None, None]
    late = LegEnded(trial=0, rung=0, attempt=0, status="completed", objective=0.5, at=4.0)
    assert not log.record(late), "the first driver's leg is void"
    assert log.record(late.model_copy(update={"attempt": 1}))
    assert not log.record(late.model_copy(update={"attempt": 1})), "it ended already"
    log.journal.close()

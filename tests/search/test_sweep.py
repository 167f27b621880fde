"""Whole sweeps without a cluster: rungs, slots, budgets and clocks."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator, cost_of, curve
from sweep_cases import SPACE, events_of, of, sharp, space

from trm.errors import SweepError
from trm.search.journal.events import Asked, LegEnded, LegStarted, SweepEnded
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.space.space import SearchSpace


def test_nine_trials_become_three_become_one(tmp_path: Path) -> None:
    search = Simulator(space(), tmp_path, outcome=sharp, slots=1).run().search
    assert len(search.state.rung_results[0][0]) == 9
    assert search.state.leaderboard()[0].status == "finished"
    assert Counter(one.status for one in search.state.trials) == {
        "stopped": 9 - len(search.state.rung_results[0][2]),
        "finished": len(search.state.rung_results[0][2]),
    }
    assert search.state.ended is not None
    assert search.state.ended.reason == "all 9 trials have ended"
    for index, board in enumerate(search.state.rung_results[0][:-1]):
        kept = {trial for trial in board.ranked if index + 1 in search.state.trials[trial].results}
        assert kept >= set(board.ranked[: board.quota])
        assert len(search.state.rung_results[0][index + 1]) == len(kept)
    best = max(search.state.trials, key=lambda one: one.results[0].objective or 0.0)
    assert best.status == "finished"


def test_legs_carry_what_they_need(tmp_path: Path) -> None:
    simulator = Simulator(space(), tmp_path, slots=2)
    search = simulator.run().search
    for order in simulator.orders:
        trial = search.state.trials[order.trial]
        step = trial.asked.step_flops
        assert order.config.training.steps == trial.asked.max_steps
        assert order.config.seed == trial.asked.seed
        assert order.config.data.folder == "data"
        assert order.config.model.H_cycles == trial.params["model.H_cycles"]
        assert order.until_steps * step >= search.state.rungs.amounts[order.rung] * (1 - 1e-9) > (order.until_steps - 1) * step - 1
        before = trial.results[order.rung - 1].checkpoint if order.rung else None
        assert order.from_checkpoint == before
    assert len(simulator.orders) == len({(order.trial, order.rung) for order in simulator.orders})


def test_both_slots_are_busy_until_the_last_legs(tmp_path: Path) -> None:
    simulator = Simulator(space({"budget": {"trials": 30}}), tmp_path, slots=2)
    search = simulator.run().search
    last_ask = max(one.asked.at for one in search.state.trials)
    busy = [running for at, running in simulator.busy if at <= last_ask]
    assert len(busy) > 30
    assert set(busy) == {2}


def test_a_paused_trial_goes_on_before_a_new_one_is_asked(tmp_path: Path) -> None:
    search = Simulator(space({"budget": {"trials": 40}}), tmp_path, slots=1).run().search
    events = events_of(tmp_path)
    again = Search(space({"budget": {"trials": 40}}), cost_of)
    for event in events:
        if isinstance(event, Asked):
            assert again.state.scheduler.promotion(again.state.context) is None
        again.state.apply(event)
    assert len(again.state.rung_results[0][1]) >= len(again.state.rung_results[0][0]) // 3
    assert again.state.leaderboard()[0].number == search.state.leaderboard()[0].number


def test_without_a_scheduler_every_trial_ends_at_its_budget(tmp_path: Path) -> None:
    values = {**SPACE, "scheduler": {"type": "none"}}
    search = Simulator(SearchSpace.model_validate(values), tmp_path).run().search
    assert [one.status for one in search.state.trials] == ["finished"] * 9
    assert all(list(one.results) == [0] and one.results[0].steps == one.asked.max_steps for one in search.state.trials)


def test_a_flat_rung_stops_only_its_last_third(tmp_path: Path) -> None:
    def late(order: LegOrder) -> dict[str, Any]:
        loss = abs(order.config.optim.lr - 1e-3)
        return {"status": "completed", "objective": 0.0 if order.rung < 2 else 1.0, "standard_error": 0.0, "loss": loss}

    search = Simulator(space(), tmp_path, outcome=late).run().search
    assert [len(board) for board in search.state.rung_results[0]] == [9, 6, 4]
    stopped = [one for one in search.state.trials if one.status == "stopped"]
    worst = sorted(search.state.trials, key=lambda one: one.results[0].loss or 0.0)[6:]
    assert {one.number for one in worst} <= {one.number for one in stopped}


def test_few_trials_are_never_stopped_and_one_always_finishes(tmp_path: Path) -> None:
    for count in (1, 2, 4, 5):
        folder = tmp_path / str(count)
        folder.mkdir()
        search = Simulator(space({"budget": {"trials": count}}), folder, outcome=sharp).run().search
        assert any(one.status == "finished" for one in search.state.trials)
        if count < 3:
            assert [one.status for one in search.state.trials] == ["finished"] * count


def test_a_spent_clock_ends_the_sweep_and_more_clock_takes_up_what_was_stopped(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    simulator = Simulator(space(), whole)
    reference = simulator.run().search
    seconds = simulator.now - 1000
    demo = space({"budget": {"wall_clock_seconds": seconds / 3}})
    first = Simulator(demo, tmp_path)
    search = first.run().search
    assert search.state.ended is not None
    assert search.state.ended.reason == f"budget.wall_clock_seconds {seconds / 3:g} is spent"
    assert {one.status for one in search.state.trials} <= {"stopped", "finished"}
    again = Simulator(demo, tmp_path, now=first.now + 1000)
    assert again.run().search.state.ended == SweepEnded(reason=search.state.ended.reason, at=again.now)
    assert again.orders == []
    more = Simulator(space({"budget": {"wall_clock_seconds": seconds * 3}}), tmp_path, now=first.now + 2000)
    ended = more.run().search
    assert ended.state.ended is not None
    assert ended.state.ended.reason == "all 9 trials have ended"
    assert [one.params for one in ended.state.trials] == [one.params for one in reference.state.trials]
    assert set(Counter((event.trial, event.rung) for event in of(events_of(tmp_path), LegEnded)).values()) == {1}
    assert any(one.status == "finished" for one in ended.state.trials)


def test_the_clock_adds_up_drivers_and_leaves_out_the_time_between(tmp_path: Path) -> None:
    demo = space({"budget": {"wall_clock_seconds": 100.0}})
    for start in (1000.0, 5000.0):
        log = SweepLog(tmp_path, Search(demo, cost_of))
        log.start(start, driver="a:1", fence=1, slots=1, versions={})
        leg = log.advance(start, 1)[0]
        log.record(LegEnded(trial=leg.trial, rung=0, attempt=leg.attempt, status="completed", objective=0.5, at=start + 30))
        log.journal.close()
    assert log.search.state.spent(5030.0).wall_clock_seconds == 60.0
    assert log.search.state.spent(5069.0).wall_clock_seconds == 99.0
    assert log.search.is_done(5069.0) is None
    assert log.search.is_done(5071.0) == "budget.wall_clock_seconds 100 is spent"
    assert log.search.next_events(5071.0, 1) == log.search.due_decisions(5071.0)


def test_a_clock_set_back_never_runs_backwards(tmp_path: Path) -> None:
    demo = space({"budget": {"wall_clock_seconds": 100.0}})
    log = SweepLog(tmp_path, Search(demo, cost_of))
    log.start(1000.0, driver="a:1", fence=1, slots=1, versions={})
    leg = log.advance(1050.0, 1)[0]
    log.record(LegEnded(trial=leg.trial, rung=0, attempt=0, status="lost", at=10.0))
    assert log.search.state.spent(20.0).wall_clock_seconds == 50.0
    log.journal.close()


def test_a_finished_sweep_goes_on_with_more_trials(tmp_path: Path) -> None:
    first = Simulator(space(), tmp_path)
    before = first.run().search
    same = Simulator(space(), tmp_path, now=first.now + 10)
    same.run()
    assert same.orders == [], "nothing is left to do"
    second = Simulator(space({"budget": {"trials": 30}}), tmp_path, now=first.now + 100)
    search = second.run().search
    assert len(search.state.trials) == 30
    assert [one.params for one in search.state.trials[:9]] == [one.params for one in before.state.trials]
    assert set(Counter((event.trial, event.rung) for event in of(events_of(tmp_path), LegEnded)).values()) == {1}
    for index, board in enumerate(search.state.rung_results[0][:-1]):
        kept = {trial for trial in board.ranked if index + 1 in search.state.trials[trial].results}
        assert kept >= set(board.ranked[: board.quota]), "a trial stopped before may be among the best of more"


def test_compute_is_counted_once_and_failed_attempts_too(tmp_path: Path) -> None:
    def fails(order: LegOrder) -> dict[str, Any]:
        if order.attempt == 0 and order.trial == 0 and order.rung == 0:
            return {"status": "failed", "error": "x", "train_flops": 5e11}
        return curve(order)

    search = Simulator(space(), tmp_path, outcome=fails).run().search
    for one in search.state.trials:
        assert one.result is not None
        assert one.spent_flops == pytest.approx(one.result.train_flops + (5e11 if one.number == 0 else 0))


def test_an_impossible_journal_is_refused() -> None:
    search = Search(space(), cost_of)
    with pytest.raises(SweepError, match="does not follow"):
        search.state.apply(LegStarted(trial=0, rung=0, attempt=0, until_steps=1, from_checkpoint=None, at=0.0))
    ended = LegEnded(trial=0, rung=0, attempt=0, status="completed", objective=1.0, at=0.0)
    with pytest.raises(SweepError, match="does not follow"):
        search.state.apply(ended)
    asked = search.next_events(0.0, 1)[0]
    search.state.apply(asked)
    with pytest.raises(SweepError, match="does not follow"):
        search.state.apply(asked)
    with pytest.raises(SweepError, match="does not follow"):
        search.state.apply(LegStarted(trial=0, rung=1, attempt=0, until_steps=1, from_checkpoint=None, at=0.0))
    with pytest.raises(SweepError, match="does not follow"):
        search.state.apply(ended)

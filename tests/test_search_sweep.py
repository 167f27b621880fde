"""Whole sweeps without a cluster: rungs, budgets, retries, and drivers that are killed at any event."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_simulator import KilledError, Simulator, cost_of, curve

from trm.config_files import merged
from trm.errors import SweepError
from trm.search.events import Asked, Decided, Event, LegEnded, LegStarted, SweepEnded
from trm.search.journal import read_events
from trm.search.search import LegOrder, Search, replayed
from trm.search.space import SearchSpace
from trm.search.sweep_log import FILE, SweepLog
from trm.search.verdicts import MAX_FAILURES, MAX_LOSSES, MAX_STALLS

SPACE: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "x.yaml"},
    "base": {"model": {"puzzle_emb_len": 1, "pos_encodings": "none", "mlp_t": True, "hidden_size": 64}},
    "search": {
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    },
    "budget": {"trials": 9, "per_trial": 2.7e13},
    "scheduler": {"type": "asha", "eta": 3, "rungs": 3},
    "sampler": {"type": "random"},
}


def space(changes: dict[str, Any] | None = None) -> SearchSpace:
    return SearchSpace.model_validate(merged(SPACE, changes or {}))


def events_of(folder: Path) -> list[Event]:
    return [entry.event for entry in read_events(folder / FILE)]


def of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_nine_trials_become_three_become_one(tmp_path: Path) -> None:
    search = Simulator(space(), tmp_path, outcome=sharp, slots=1).run().search
    assert len(search.boards[0][0]) == 9
    assert search.leaderboard()[0].status == "finished"
    assert Counter(one.status for one in search.trials) == {
        "stopped": 9 - len(search.boards[0][2]),
        "finished": len(search.boards[0][2]),
    }
    assert search.ended is not None
    assert search.ended.reason == "all 9 trials have ended"
    for index, board in enumerate(search.boards[0][:-1]):
        kept = {trial for trial in board.ranked if index + 1 in search.trials[trial].results}
        assert kept >= set(board.ranked[: board.quota])
        assert len(search.boards[0][index + 1]) == len(kept)
    best = max(search.trials, key=lambda one: one.results[0].objective or 0.0)
    assert best.status == "finished"


def sharp(order: LegOrder) -> dict[str, Any]:
    return {**curve(order), "standard_error": 0.0}


def test_legs_carry_what_they_need(tmp_path: Path) -> None:
    simulator = Simulator(space(), tmp_path, slots=2)
    search = simulator.run().search
    for order in simulator.orders:
        trial = search.trials[order.trial]
        step = trial.asked.step_flops
        assert order.config.training.steps == trial.asked.max_steps
        assert order.config.seed == trial.asked.seed
        assert order.config.data.folder == "data"
        assert order.config.model.H_cycles == trial.params["model.H_cycles"]
        assert order.until_steps * step >= search.rungs.amounts[order.rung] * (1 - 1e-9) > (order.until_steps - 1) * step - 1
        before = trial.results[order.rung - 1].checkpoint if order.rung else None
        assert order.from_checkpoint == before
    assert len(simulator.orders) == len({(order.trial, order.rung) for order in simulator.orders})


def test_both_slots_are_busy_until_the_last_legs(tmp_path: Path) -> None:
    simulator = Simulator(space({"budget": {"trials": 30}}), tmp_path, slots=2)
    search = simulator.run().search
    last_ask = max(one.asked.at for one in search.trials)
    busy = [running for at, running in simulator.busy if at <= last_ask]
    assert len(busy) > 30
    assert set(busy) == {2}


def test_a_paused_trial_goes_on_before_a_new_one_is_asked(tmp_path: Path) -> None:
    search = Simulator(space({"budget": {"trials": 40}}), tmp_path, slots=1).run().search
    events = events_of(tmp_path)
    again = Search(space({"budget": {"trials": 40}}), cost_of)
    for event in events:
        if isinstance(event, Asked):
            assert all(board.promotable() is None for board in again.boards.get(0, [])[:-1])
        again.apply(event)
    assert len(again.boards[0][1]) >= len(again.boards[0][0]) // 3
    assert again.leaderboard()[0].number == search.leaderboard()[0].number


def test_without_a_scheduler_every_trial_ends_at_its_budget(tmp_path: Path) -> None:
    values = {**SPACE, "scheduler": {"type": "none"}}
    search = Simulator(SearchSpace.model_validate(values), tmp_path).run().search
    assert [one.status for one in search.trials] == ["finished"] * 9
    assert all(list(one.results) == [0] and one.results[0].steps == one.asked.max_steps for one in search.trials)


def test_a_flat_rung_stops_only_its_last_third(tmp_path: Path) -> None:
    def late(order: LegOrder) -> dict[str, Any]:
        loss = abs(order.config.optim.lr - 1e-3)
        return {"status": "completed", "objective": 0.0 if order.rung < 2 else 1.0, "standard_error": 0.0, "loss": loss}

    search = Simulator(space(), tmp_path, outcome=late).run().search
    assert [len(board) for board in search.boards[0]] == [9, 6, 4]
    stopped = [one for one in search.trials if one.status == "stopped"]
    worst = sorted(search.trials, key=lambda one: one.results[0].loss or 0.0)[6:]
    assert {one.number for one in worst} <= {one.number for one in stopped}


def test_few_trials_are_never_stopped_and_one_always_finishes(tmp_path: Path) -> None:
    for count in (1, 2, 4, 5):
        folder = tmp_path / str(count)
        folder.mkdir()
        search = Simulator(space({"budget": {"trials": count}}), folder, outcome=sharp).run().search
        assert any(one.status == "finished" for one in search.trials)
        if count < 3:
            assert [one.status for one in search.trials] == ["finished"] * count


# Kills -----------------------------------------------------------------------------------------------------------------


def outline(search: Search) -> list[tuple[Any, ...]]:
    """What a sweep came to, without times and attempts."""
    return [(one.params, one.status, {rung: result.objective for rung, result in one.results.items()}) for one in search.trials]


def survive(demo: SearchSpace, folder: Path, lives: Callable[[], int], outcome: Any = curve, slots: int = 1) -> tuple[Search, int]:
    kills, now = 0, 1000.0
    while True:
        simulator = Simulator(demo, folder, outcome=outcome, slots=slots, kill_after=lives(), now=now)
        try:
            return simulator.run().search, kills
        except KilledError:
            kills, now = kills + 1, simulator.now + 5


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
        assert [one.number for one in search.leaderboard()] == [one.number for one in whole.leaderboard()]


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
    assert all(one.status in ("finished", "stopped") for one in search.trials)
    for index, board in enumerate(search.boards[0]):
        assert sorted(board.ranked) == [one.number for one in search.trials if index in one.results]
    assert len(search.boards[0][1]) >= 4


def test_the_fold_of_the_journal_is_the_search_that_wrote_it(tmp_path: Path) -> None:
    demo = space({"sampler": {"type": "tpe", "startup_trials": 3}, "budget": {"trials": 12}})
    live = Simulator(demo, tmp_path).run().search
    again = replayed(demo, cost_of, events_of(tmp_path), folder="data")
    assert again.trials == live.trials
    assert [board.ranked for board in again.boards[0]] == [board.ranked for board in live.boards[0]]
    assert [board.resting for board in again.boards[0]] == [board.resting for board in live.boards[0]]
    assert (again.ended, again.spent(1e6), again.open_legs) == (live.ended, live.spent(1e6), live.open_legs)


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
        again.apply(event)
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
    assert [leg.trial for leg in log.search.open_legs] == [0, 1]
    log.start(2.0, driver="a:2", fence=2, slots=2, versions={})
    assert log.search.open_legs == []
    second = log.advance(3.0, 2)
    assert [(leg.trial, leg.rung, leg.attempt) for leg in second] == [(0, 0, 1), (1, 0, 1)]
    assert [leg.from_checkpoint for leg in second] == [None, None]
    late = LegEnded(trial=0, rung=0, attempt=0, status="completed", objective=0.5, at=4.0)
    assert not log.record(late), "the first driver's leg is void"
    assert log.record(late.model_copy(update={"attempt": 1}))
    assert not log.record(late.model_copy(update={"attempt": 1})), "it ended already"
    log.journal.close()


# Trouble ---------------------------------------------------------------------------------------------------------------


def troubled(status: str, when: Callable[[LegOrder], bool]) -> Callable[[LegOrder], dict[str, Any]]:
    def outcome(order: LegOrder) -> dict[str, Any]:
        return {"status": status, "error": f"{status} at {order.rung}"} if when(order) else curve(order)

    return outcome


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_a_trial_that_diverges_or_needs_too_much_ends_at_once_and_the_sweep_goes_on(tmp_path: Path, status: str) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled(status, lambda order: order.trial == 2)).run().search
    assert search.trials[2].status == status
    assert search.trials[2].attempts == {0: 1}
    assert search.trials[2].trouble is not None
    assert Counter(one.status for one in search.trials)["finished"] >= 1
    assert len(search.trials) == 9
    assert len(search.boards[0][0]) == 8


def test_a_leg_that_fails_once_is_tried_again_and_twice_is_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "always").mkdir()
    once = troubled("failed", lambda order: order.trial == 1 and order.attempt == 0)
    search = Simulator(space(), tmp_path / "once", outcome=once).run().search
    assert search.trials[1].status in ("finished", "stopped")
    assert search.trials[1].attempts[0] == 2
    always = troubled("failed", lambda order: order.trial == 1)
    search = Simulator(space(), tmp_path / "always", outcome=always).run().search
    assert search.trials[1].status == "failed"
    assert search.trials[1].attempts == {0: MAX_FAILURES}
    decided = [event for event in of(events_of(tmp_path / "always"), Decided) if event.trial == 1]
    assert [event.status for event in decided] == ["running", "failed"]
    assert decided[-1].reason == "failed 2 times: failed at 0"


def test_a_lost_leg_is_tried_again_without_blame_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "all").mkdir()
    some = troubled("lost", lambda order: order.trial == 1 and order.attempt < MAX_LOSSES - 1)
    search = Simulator(space(), tmp_path / "some", outcome=some).run().search
    assert search.trials[1].status in ("finished", "stopped")
    assert search.trials[1].failures == 0
    everything = troubled("lost", lambda order: order.trial == 1 and order.attempt < MAX_LOSSES + 2)
    search = Simulator(space(), tmp_path / "all", outcome=everything).run().search
    assert (search.trials[1].status, search.trials[1].attempts) == ("stopped", {0: MAX_LOSSES})
    again = Simulator(space(), tmp_path / "all", outcome=everything, now=1e6).run().search
    assert again.trials[1].attempts[0] == MAX_LOSSES + 3, "a resume tries it again, with a count that starts anew"
    assert again.trials[1].status in ("finished", "stopped")
    assert again.trials[1].results


@pytest.mark.parametrize(("status", "tries"), [("failed", MAX_FAILURES), ("stalled", MAX_STALLS), ("lost", MAX_LOSSES)])
def test_a_sweep_whose_legs_never_complete_gives_up_and_names_the_first_trouble(tmp_path: Path, status: str, tries: int) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled(status, lambda order: True)).run().search
    assert search.ended is not None
    assert search.ended.reason == f"all of the first 3 trials failed: {status} at 0"
    assert search.is_hopeless
    assert search.trials[0].attempts == {0: tries}
    assert len(search.trials) <= 4


def test_every_kind_of_trouble_has_a_count_of_its_own(tmp_path: Path) -> None:
    """One failure, one stall and four losses in one stretch are within every limit."""
    kinds = ["failed", "lost", "stalled", "lost", "lost", "lost"]

    def outcome(order: LegOrder) -> dict[str, Any]:
        if order.trial == 1 and order.attempt < len(kinds):
            return {"status": kinds[order.attempt], "error": "x"}
        return curve(order)

    search = Simulator(space(), tmp_path, outcome=outcome).run().search
    assert search.trials[1].attempts[0] == len(kinds) + 1
    assert search.trials[1].status in ("finished", "stopped")


def test_failures_of_one_stretch_do_not_count_for_the_next(tmp_path: Path) -> None:
    first_tries = troubled("failed", lambda order: order.attempt == 0)
    search = Simulator(space(), tmp_path, outcome=first_tries).run().search
    assert Counter(one.status for one in search.trials)["failed"] == 0
    assert any(one.attempts == {0: 2, 1: 2, 2: 2} for one in search.trials)


def test_a_trial_that_fails_after_a_promotion_keeps_its_place_in_the_rung_below(tmp_path: Path) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled("diverged", lambda order: order.rung == 1)).run().search
    assert len(search.boards[0][0]) == 9
    assert len(search.boards[0][1]) == 0
    assert {one.status for one in search.trials} == {"diverged", "stopped"}
    assert search.leaderboard()


def test_an_objective_that_is_no_number_is_a_divergence(tmp_path: Path) -> None:
    def nan(order: LegOrder) -> dict[str, Any]:
        return {**curve(order), "objective": float("nan")} if order.trial == 0 else curve(order)

    search = Simulator(space(), tmp_path, outcome=nan).run().search
    assert search.trials[0].status == "diverged"
    assert search.trials[0].decided is not None
    assert search.trials[0].decided.reason == "its exact_accuracy is not a finite number"


# Budgets ---------------------------------------------------------------------------------------------------------------


def test_a_spent_clock_ends_the_sweep_and_more_clock_takes_up_what_was_stopped(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    simulator = Simulator(space(), whole)
    reference = simulator.run().search
    seconds = simulator.now - 1000
    demo = space({"budget": {"wall_clock_seconds": seconds / 3}})
    first = Simulator(demo, tmp_path)
    search = first.run().search
    assert search.ended is not None
    assert search.ended.reason == f"budget.wall_clock_seconds {seconds / 3:g} is spent"
    assert {one.status for one in search.trials} <= {"stopped", "finished"}
    again = Simulator(demo, tmp_path, now=first.now + 1000)
    assert again.run().search.ended == SweepEnded(reason=search.ended.reason, at=again.now)
    assert again.orders == []
    more = Simulator(space({"budget": {"wall_clock_seconds": seconds * 3}}), tmp_path, now=first.now + 2000)
    ended = more.run().search
    assert ended.ended is not None
    assert ended.ended.reason == "all 9 trials have ended"
    assert [one.params for one in ended.trials] == [one.params for one in reference.trials]
    assert set(Counter((event.trial, event.rung) for event in of(events_of(tmp_path), LegEnded)).values()) == {1}
    assert any(one.status == "finished" for one in ended.trials)


def test_the_clock_adds_up_drivers_and_leaves_out_the_time_between(tmp_path: Path) -> None:
    demo = space({"budget": {"wall_clock_seconds": 100.0}})
    for start in (1000.0, 5000.0):
        log = SweepLog(tmp_path, Search(demo, cost_of))
        log.start(start, driver="a:1", fence=1, slots=1, versions={})
        leg = log.advance(start, 1)[0]
        log.record(LegEnded(trial=leg.trial, rung=0, attempt=leg.attempt, status="completed", objective=0.5, at=start + 30))
        log.journal.close()
    assert log.search.spent(5030.0).wall_clock_seconds == 60.0
    assert log.search.spent(5069.0).wall_clock_seconds == 99.0
    assert log.search.is_done(5069.0) is None
    assert log.search.is_done(5071.0) == "budget.wall_clock_seconds 100 is spent"
    assert log.search.next_events(5071.0, 1) == log.search.due_decisions(5071.0)


def test_a_clock_set_back_never_runs_backwards(tmp_path: Path) -> None:
    demo = space({"budget": {"wall_clock_seconds": 100.0}})
    log = SweepLog(tmp_path, Search(demo, cost_of))
    log.start(1000.0, driver="a:1", fence=1, slots=1, versions={})
    leg = log.advance(1050.0, 1)[0]
    log.record(LegEnded(trial=leg.trial, rung=0, attempt=0, status="lost", at=10.0))
    assert log.search.spent(20.0).wall_clock_seconds == 50.0
    log.journal.close()


def test_a_finished_sweep_goes_on_with_more_trials(tmp_path: Path) -> None:
    first = Simulator(space(), tmp_path)
    before = first.run().search
    same = Simulator(space(), tmp_path, now=first.now + 10)
    same.run()
    assert same.orders == [], "nothing is left to do"
    second = Simulator(space({"budget": {"trials": 30}}), tmp_path, now=first.now + 100)
    search = second.run().search
    assert len(search.trials) == 30
    assert [one.params for one in search.trials[:9]] == [one.params for one in before.trials]
    assert set(Counter((event.trial, event.rung) for event in of(events_of(tmp_path), LegEnded)).values()) == {1}
    for index, board in enumerate(search.boards[0][:-1]):
        kept = {trial for trial in board.ranked if index + 1 in search.trials[trial].results}
        assert kept >= set(board.ranked[: board.quota]), "a trial stopped before may be among the best of more"


def test_compute_is_counted_once_and_failed_attempts_too(tmp_path: Path) -> None:
    def fails(order: LegOrder) -> dict[str, Any]:
        if order.attempt == 0 and order.trial == 0 and order.rung == 0:
            return {"status": "failed", "error": "x", "train_flops": 5e11}
        return curve(order)

    search = Simulator(space(), tmp_path, outcome=fails).run().search
    for one in search.trials:
        assert one.result is not None
        assert one.spent_flops == pytest.approx(one.result.train_flops + (5e11 if one.number == 0 else 0))


def test_an_impossible_journal_is_refused() -> None:
    search = Search(space(), cost_of)
    with pytest.raises(SweepError, match="does not follow"):
        search.apply(LegStarted(trial=0, rung=0, attempt=0, until_steps=1, from_checkpoint=None, at=0.0))
    ended = LegEnded(trial=0, rung=0, attempt=0, status="completed", objective=1.0, at=0.0)
    with pytest.raises(SweepError, match="does not follow"):
        search.apply(ended)
    asked = search.next_events(0.0, 1)[0]
    search.apply(asked)
    with pytest.raises(SweepError, match="does not follow"):
        search.apply(asked)
    with pytest.raises(SweepError, match="does not follow"):
        search.apply(LegStarted(trial=0, rung=1, attempt=0, until_steps=1, from_checkpoint=None, at=0.0))
    with pytest.raises(SweepError, match="does not follow"):
        search.apply(ended)

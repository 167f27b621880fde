"""Many slots: all trials begin first, and what would idle confirms the best while the search's last trials run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from search_simulator import Simulator, cost_of
from sweep_cases import events_of, of

from tests.search.test_confirming import confirming, plain
from tests.search.test_schedulers import TRIALS, searched, sharp, swept
from trm.search.confirmation import candidates, fresh_scores
from trm.search.findings.confirmed import confirmed_statistics
from trm.search.findings.replay import replay
from trm.search.journal.events import Asked, Decided, DriverStarted, Event, LegEnded, LegStarted, SweepStarted
from trm.search.schedulers.rungs import Rungs
from trm.search.search import Search, replayed
from trm.search.settings import Budget
from trm.search.space.space import SearchSpace

SLOTS = 6
CONFIRM = {"most_seeds": 2}


def order_of(events: list[Event]) -> list[str]:
    """What began, one after the other: a new trial or a promotion."""
    legs = [event for event in of(events, LegStarted) if event.attempt == 0]
    return ["new" if leg.rung == 0 else "promoted" for leg in legs]


def begun_by(rules: int, space: SearchSpace, *, slots: int) -> Search:
    """A search at the beginning of a sweep of those rules."""
    search = Search(space, cost_of, folder="data")
    search.state.apply(SweepStarted(name="demo", seed=0, space_digest="", versions={}, rules=rules, at=0.0))
    driver = DriverStarted(driver="here:1", fence=1, slots=slots, budget=space.budget, confirm=space.confirm, at=0.0)
    search.state.apply(driver)
    return search


def test_many_slots_begin_all_trials_before_one_is_promoted_and_few_do_not(tmp_path: Path) -> None:
    swept(plain(), tmp_path / "many", slots=3)
    swept(plain(), tmp_path / "few", slots=2)
    assert order_of(events_of(tmp_path / "many"))[:TRIALS] == ["new"] * TRIALS
    assert "promoted" in order_of(events_of(tmp_path / "few"))[:TRIALS]
    replay(Search(plain(), cost_of), events_of(tmp_path / "many"))


def test_all_begin_first_where_that_takes_half_a_trial_and_nothing_but_their_number_ends_the_sweep() -> None:
    rungs = Rungs.geometric(8.0, 2, 4)
    assert rungs.begin_soon(128, 32)
    assert not rungs.begin_soon(129, 32)
    assert Budget(per_trial=1.0, trials=8).is_counted
    assert not Budget(per_trial=1.0, trials=8, train_flops=5.0).is_counted
    assert not Budget(per_trial=1.0, train_flops=5.0).is_counted
    for rules, slots, first in ((5, 3, True), (5, 2, False), (4, 3, False)):
        assert begun_by(rules, plain(), slots=slots).state.context.asks_first is first


@dataclass
class Slow(Simulator):
    """Confirmations of all but `wanted` take ten times as long."""

    wanted: frozenset[int] = frozenset()

    def _start(self, search: Search, leg: LegStarted) -> None:
        confirms = search.state.trials[leg.trial].asked.confirms
        speed, is_slow = self.flops_per_second, confirms is not None and confirms not in self.wanted
        self.flops_per_second = speed / 10 if is_slow else speed
        super()._start(search, leg)
        self.flops_per_second = speed


def confirmed_slowly(tmp_path: Path) -> tuple[SearchSpace, Path, frozenset[int]]:
    """A sweep in which unneeded confirmations outlast the search: its space, its folder, and the candidates at its end."""
    space = confirming(confirm=CONFIRM | {"ahead": 6})
    swept(space, tmp_path / "even", slots=SLOTS)
    wanted = frozenset(trial.number for trial in candidates(searched(space, tmp_path / "even").state))
    folder = tmp_path / "slow"
    folder.mkdir()
    Slow(space, folder, outcome=sharp, slots=SLOTS, wanted=wanted).run()
    return space, folder, wanted


def test_slots_that_would_idle_confirm_the_best_and_what_proves_unneeded_is_stopped_for_good(tmp_path: Path) -> None:
    space, folder, wanted = confirmed_slowly(tmp_path)
    events, search = events_of(folder), searched(space, folder)
    confirms = {event.trial: event.confirms for event in of(events, Asked)}
    ends = [index for index, event in enumerate(events) if isinstance(event, LegEnded) and confirms[event.trial] is None]
    assert any(isinstance(event, Asked) and event.confirms is not None for event in events[: max(ends)]), "while the search ran"
    assert {trial.number for trial in candidates(search.state)} == wanted
    assert all(len(fresh_scores(search.state, number)) == 2 for number in wanted)
    rows = confirmed_statistics(search.state).rows
    assert all(len(fresh_scores(search.state, row.trial)) == 2 for row in rows), (
        "one lucky seed of an overtaken candidate wins nothing"
    )
    cut = [event for event in of(events, Decided) if confirms[event.trial] is not None and event.status == "stopped"]
    assert cut
    assert all(not event.reopens and confirms[event.trial] not in wanted for event in cut)
    replay(Search(space, cost_of), events)
    again = Simulator(space, folder, outcome=sharp, slots=SLOTS, now=90000.0)
    again.run()
    assert not again.orders, "a sweep that has ended has nothing left to do"


@pytest.mark.parametrize(("slots", "confirm"), [(2, {}), (4, {}), (SLOTS, {"ahead": 0})])
def test_few_slots_confirm_after_the_search(tmp_path: Path, slots: int, confirm: dict[str, Any]) -> None:
    swept(confirming(confirm=CONFIRM | confirm), tmp_path, slots=slots)
    asked = [event.confirms is not None for event in of(events_of(tmp_path), Asked)]
    assert asked == [False] * TRIALS + [True] * 4


def test_where_compute_is_limited_nobody_is_confirmed_ahead(tmp_path: Path) -> None:
    space = confirming(confirm=CONFIRM | {"ahead": 6}, train_flops=40 * 2.7e13)
    swept(space, tmp_path, slots=SLOTS)
    asked = [event.confirms is not None for event in of(events_of(tmp_path), Asked)]
    assert asked == [False] * TRIALS + [True] * 4


def test_a_sweep_of_before_confirms_after_its_search(tmp_path: Path) -> None:
    space = confirming(confirm=CONFIRM | {"ahead": 6})
    swept(space, tmp_path, slots=SLOTS)
    events = events_of(tmp_path)
    first = next(index for index, event in enumerate(events) if isinstance(event, Asked) and event.confirms is not None)
    events = events[:first]
    now = replayed(space, cost_of, events, folder="data").next_events(events[-1].at, 1)
    assert [event.event for event in now] == ["asked"]
    assert isinstance(events[0], SweepStarted)
    before = replayed(space, cost_of, [events[0].model_copy(update={"rules": 4}), *events[1:]], folder="data")
    assert before.next_events(events[-1].at, 1) == []


def test_a_confirmation_that_stalls_is_not_tried_again_once_nobody_needs_it(tmp_path: Path) -> None:
    space, folder, _ = confirmed_slowly(tmp_path)
    events = events_of(folder)
    cut = next(event for event in of(events, Decided) if event.reopens is False and event.status == "stopped")
    search = replayed(space, cost_of, events[: events.index(cut)], folder="data")
    leg = search.state.trials[cut.trial].leg
    assert leg is not None
    stalled = LegEnded(trial=leg.trial, rung=leg.rung, attempt=leg.attempt, status="stalled", error="no step", at=cut.at)
    search.state.apply(stalled)
    for decided in search.due_decisions(cut.at):
        search.state.apply(decided)
    assert search.state.trials[cut.trial].is_waiting
    assert search.is_done(cut.at) == f"all {TRIALS} trials have ended"
    assert search.next_events(cut.at, SLOTS) == []

"""After the search its best are trained again on fresh seeds: who, how often, within which budget, and as exact as all the rest."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from search_simulator import LegOrder, cost_of
from sweep_cases import events_of, of, outline

from tests.search.test_schedulers import SCHEDULERS, TRIALS, demo, resumed, searched, sharp, swept
from trm.errors import ConfigError
from trm.search.confirmation import candidates, fresh_scores, given_seeds
from trm.search.findings.replay import replay
from trm.search.journal.events import Asked, Decided, LegEnded, LegStarted
from trm.search.search import Search, replayed
from trm.search.space.space import SearchSpace

CONFIRM = {"top": 2, "seeds": 2, "most_seeds": 3}
each = pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "pbt"])


def confirming(name: str = "asha", confirm: dict[str, Any] | None = None, **budget: Any) -> SearchSpace:
    """The sweep of the contract suite, its winners confirmed."""
    return SearchSpace.model_validate(plain(name, **budget).model_dump(mode="json") | {"confirm": CONFIRM | (confirm or {})})


def plain(name: str = "asha", **budget: Any) -> SearchSpace:
    """The sweep of the contract suite, scored on a part of the validation split."""
    values = demo(name, **budget).model_dump(mode="json")
    values["base"]["evaluation"] = {"max_examples": 7}
    return SearchSpace.model_validate(values)


def confirmations(search: Search) -> dict[int, int]:
    """Candidate -> confirmations that came to a score."""
    return {number: len(fresh_scores(search.state, number)) for number in search.state.confirmations}


@each
def test_the_best_are_confirmed_once_the_search_is_over_and_the_search_is_as_without(tmp_path: Path, name: str) -> None:
    swept(plain(name), tmp_path / "plain", slots=1)
    simulator = swept(confirming(name), tmp_path / "confirmed", slots=1)
    without, search = searched(plain(name), tmp_path / "plain"), searched(confirming(name), tmp_path / "confirmed")
    events = events_of(tmp_path / "confirmed")
    asked = of(events, Asked)
    assert [event.source == "confirmation" for event in asked] == [False] * TRIALS + [True] * (len(asked) - TRIALS)
    assert [trial.params for trial in search.state.searched] == [trial.params for trial in without.state.trials]
    assert [trial.number for trial in search.state.leaderboard()] == [trial.number for trial in without.state.leaderboard()]
    assert {rung: board.ranked for rung, board in enumerate(search.state.rung_results[0])} == {
        rung: board.ranked for rung, board in enumerate(without.state.rung_results[0])
    }, "confirmations are ranked against nobody"
    best = [trial.number for trial in candidates(search.state)]
    assert len(best) == 2
    assert best[0] == max((trial for trial in search.state.searched if trial.rung == 2 or name == "none"), key=score).number
    assert set(confirmations(search)) == set(best)
    assert all(2 <= count <= 3 for count in confirmations(search).values())
    seeds = [trial.asked.seed for trial in search.state.trials]
    assert len(set(seeds)) == len(seeds), "no seed twice"
    for order in simulator.orders:
        trial = search.state.trials[order.trial]
        assert (order.config.evaluation.max_examples is None) == trial.is_confirmation
        if trial.is_confirmation:
            model = search.state.trials[trial.asked.confirms or 0]
            assert order.from_checkpoint is None
            assert order.rung == search.state.rungs.last
            assert order.until_steps == model.asked.max_steps
            assert trial.params == model.params


def test_the_candidates_are_those_of_a_search_that_never_looked_before(tmp_path: Path) -> None:
    space = confirming()
    swept(space, tmp_path, slots=2)
    looking, found = Search(space, cost_of), []
    for number, event in enumerate(events := events_of(tmp_path), start=1):
        looking.state.apply(event)
        found.append([trial.number for trial in candidates(looking.state)])
        if number % 5 == 0 or number == len(events):
            afresh = replayed(space, cost_of, events[:number])
            assert found[-1] == [trial.number for trial in candidates(afresh.state)]
    assert len({tuple(numbers) for numbers in found}) > 3


def score(trial: Any) -> float:
    return float(trial.result.objective)


@each
def test_killed_after_any_event_of_the_confirmation_it_comes_to_the_same(tmp_path: Path, name: str) -> None:
    space = confirming(name, trials=5)
    swept(space, tmp_path / "whole", slots=1)
    events = events_of(tmp_path / "whole")
    first = next(index for index, event in enumerate(events) if isinstance(event, Asked) and event.confirms is not None)
    for boundary in range(first - 1, len(events), 3):
        came_to = outline(resumed(space, tmp_path / str(boundary), boundary))
        assert came_to == outline(searched(space, tmp_path / "whole"))
    assert replay(Search(space, cost_of, folder="data"), events).trials == len(of(events, Asked))


def test_side_by_side_none_begins_before_the_search_is_over(tmp_path: Path) -> None:
    swept(confirming(), tmp_path, slots=4)
    events = events_of(tmp_path)
    first = next(index for index, event in enumerate(events) if isinstance(event, Asked) and event.confirms is not None)
    decided = [event for event in events[first:] if isinstance(event, Decided) and event.trial < TRIALS]
    assert {event.status for event in decided} <= {"stopped"}
    assert {event.trial for event in of(events[first:], LegStarted)} == set(range(TRIALS, len(of(events, Asked))))
    replay(Search(confirming(), cost_of, folder="data"), events)


def test_a_finished_sweep_is_confirmed_later_and_goes_on_searching_after_that(tmp_path: Path) -> None:
    swept(plain(), tmp_path, slots=1)
    swept(confirming(), tmp_path, slots=1, now=9000.0)
    search = searched(confirming(), tmp_path)
    first = confirmations(search)
    assert len(first) == 2
    more = confirming(trials=2 * TRIALS)
    swept(more, tmp_path, slots=1, now=19000.0)
    search = searched(more, tmp_path)
    assert len(search.state.searched) == 2 * TRIALS
    assert [trial.number for trial in search.state.searched[TRIALS:]] == list(
        range(TRIALS + sum(first.values()), 2 * TRIALS + sum(first.values()))
    )
    best = {trial.number for trial in candidates(search.state)}
    assert all(confirmations(search)[number] >= 2 for number in best)
    assert all(confirmations(search)[number] == first[number] for number in first if number not in best)
    replay(Search(more, cost_of, folder="data"), events_of(tmp_path))


def test_a_longer_trial_makes_old_confirmations_void(tmp_path: Path) -> None:
    swept(confirming(), tmp_path, slots=1)
    grown = confirming(per_trial=8.1e13)
    swept(grown, tmp_path, slots=1, now=9000.0)
    search = searched(grown, tmp_path)
    assert search.state.rungs.last == 3
    for trial in candidates(search.state):
        scores = fresh_scores(search.state, trial.number)
        assert sum(not math.isnan(score) for score in scores) >= 2
    assert {trial.rung for trial in search.state.trials if trial.is_confirmation} == {2, 3}


def test_the_compute_that_confirmations_need_is_kept_for_them(tmp_path: Path) -> None:
    limit = 12 * 2.7e13
    space = confirming(trials=200, train_flops=limit)
    swept(space, tmp_path, slots=2)
    search = searched(space, tmp_path)
    assert search.state.ended is not None
    assert search.state.ended.reason.startswith(f"budget.train_flops {limit:g} is spent")
    assert search.state.spent(0).train_flops <= limit
    assert sum(confirmations(search).values()) >= 4
    assert 13 < len(search.state.searched) < 200


def test_a_target_ends_the_search_and_lets_confirmations_follow(tmp_path: Path) -> None:
    space = confirming(target=0.2)
    swept(space, tmp_path, slots=2)
    search = searched(space, tmp_path)
    assert search.state.ended is not None
    assert "reached the target 0.2" in search.state.ended.reason
    assert len(search.state.searched) < TRIALS
    assert sum(confirmations(search).values()) >= 2


def test_one_that_comes_to_no_score_counts_and_is_not_repeated_for_ever(tmp_path: Path) -> None:
    def diverging(order: LegOrder) -> dict[str, Any]:
        if order.trial >= TRIALS:
            return {"status": "diverged", "error": "loss"}
        return sharp(order)

    swept(confirming(), tmp_path, outcome=diverging, slots=2)
    search = searched(confirming(), tmp_path)
    assert search.state.ended is not None
    assert search.state.ended.reason == f"all {TRIALS} trials have ended"
    assert all(4 >= count >= 2 for count in confirmations(search).values())
    assert all(math.isnan(score) for number in search.state.confirmations for score in fresh_scores(search.state, number))
    assert Counter(event.status for event in of(events_of(tmp_path), LegEnded))["diverged"] == sum(confirmations(search).values())


def test_one_that_failed_when_the_last_rung_was_another_does_not_count(tmp_path: Path) -> None:
    swept(
        confirming(),
        tmp_path,
        outcome=lambda order: {**sharp(order), "status": "diverged"} if order.trial >= TRIALS else sharp(order),
    )
    first = searched(confirming(), tmp_path).state.confirmations
    grown = confirming(per_trial=8.1e13)
    swept(grown, tmp_path, slots=1, now=9000.0)
    search = searched(grown, tmp_path)
    assert first
    assert not any(math.isnan(score) for number in first for score in fresh_scores(search.state, number))


def test_none_is_asked_for_that_the_budget_does_not_let_begin(tmp_path: Path) -> None:
    """The last trial is cheap and the best one dear: what a confirmation takes is what its candidate took."""
    values = confirming("none", {"top": 1}).model_dump(mode="json") | {"fidelity": "steps"}
    values["start_points"] = [{"model.H_cycles": 3, "optim.lr": 1e-3}, {"model.H_cycles": 1, "optim.lr": 1e-1}]
    values["budget"] = {"per_trial": 100, "trials": 2}
    swept(SearchSpace.model_validate(values | {"confirm": None}), tmp_path, slots=1)
    dear, cheap = (trial.spent_flops for trial in searched(SearchSpace.model_validate(values), tmp_path).state.trials)
    values["budget"]["train_flops"] = dear + cheap + (dear + cheap) / 2
    swept(SearchSpace.model_validate(values), tmp_path, slots=1, now=9000.0)
    assert len(of(events_of(tmp_path), Asked)) == 2


def test_compute_is_kept_for_candidates_that_come_after_others_were_confirmed(tmp_path: Path) -> None:
    def later_is_better(order: LegOrder) -> dict[str, Any]:
        return {**sharp(order), "objective": 0.01 * order.trial}

    unit = 2.7e13
    for now, limit, trials in ((1000.0, 16 * unit, 9), (9000.0, 30 * unit, 200)):
        space = confirming(trials=trials, train_flops=limit)
        swept(space, tmp_path, outcome=later_is_better, slots=1, now=now)
    search = searched(space, tmp_path)
    assert len(search.state.searched) > 9
    assert not {trial.number for trial in candidates(search.state)} & set(range(9))
    assert all(count >= 2 for count in given_seeds(search.state).values())


def test_a_better_replicate_does_not_confirm_its_configuration_again(tmp_path: Path) -> None:
    def second_is_better(order: LegOrder) -> dict[str, Any]:
        return {**sharp(order), "objective": 0.5 if order.trial == 0 else 0.9}

    for now, trials in ((1000.0, 1), (9000.0, 2)):
        values = confirming(trials=trials).model_dump(mode="json") | {"replicates": 2}
        swept(SearchSpace.model_validate(values), tmp_path, outcome=second_is_better, slots=1, now=now)
    search = searched(SearchSpace.model_validate(values), tmp_path)
    assert search.state.leaderboard()[0].asked.source == "replicate"
    assert {number: len(runs) for number, runs in search.state.confirmations.items()} == {0: 2}


def test_what_cannot_be_confirmed_is_refused() -> None:
    with pytest.raises((ConfigError, ValidationError), match="a population's members change theirs"):
        confirming("pbt")
    with pytest.raises(ValidationError, match="most_seeds 3 must not be below seeds 5"):
        confirming(confirm={"seeds": 5})

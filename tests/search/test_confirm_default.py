"""Which sweeps confirm their winner unasked, what that costs, and what the search's own scores count in it."""

from pathlib import Path
from typing import Any

import pytest
from search_simulator import Simulator, cost_of
from space_cases import DEMO, load, write

from trm.config.files import merged
from trm.search.confirmation import next_to_confirm, own_scores
from trm.search.findings.confirmed import best_run, confirmed_statistics, winner
from trm.search.planning.survey import Survey
from trm.search.planning.unasked import unasked_lines
from trm.search.settings import Confirm
from trm.search.space.defaults import CONFIRMED
from trm.search.space.loading import load_space
from trm.stats.best_of import confirmation_statistics

ENOUGH: dict[str, Any] = {"budget": {"trials": 20, "per_trial": 1e13}}


def test_a_sweep_of_twenty_trials_confirms_its_best_two_unless_its_file_says_not(tmp_path: Path) -> None:
    space = load(tmp_path, ENOUGH)
    assert space.confirm == CONFIRMED == Confirm(top=2, seeds=2, most_seeds=2)
    told = "when the search is over, the best 2 are trained again, on 2 fresh seeds each (4 runs of full length; "
    assert unasked_lines(Survey(space, cost_of))[1:] == [f"{told}confirm: null for none)"]
    assert load(tmp_path, ENOUGH, "confirm=null").confirm is None
    assert load(tmp_path, ENOUGH, "confirm.top=3").confirm == Confirm(), "what is left out beside a value is as ever"
    assert load_space(write(tmp_path, ENOUGH), rules=4).confirm is None


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"trials": 19}},
        {"budget": {"target": 0.9}},
        {"budget": {"train_flops": 23e13}},
        {"budget": {"trials": None, "wall_clock_seconds": 60.0}},
        {"fidelity": "steps", "budget": {"per_trial": 3e4, "trials": None, "train_flops": 1e18}},
        {"objective": {"against": ["params"]}},
        {"replicates": 2},
        {"search": None, "replicates": 2},
    ],
    ids=str,
)
def test_who_has_little_compute_or_another_question_is_asked_first(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert load(tmp_path, merged(ENOUGH, changes)).confirm is None


def test_members_of_a_population_are_not_confirmed(tmp_path: Path) -> None:
    rate_alone = {"search": {path: None for path in DEMO["search"] if path != "optim.lr"}}
    assert load(tmp_path, ENOUGH | rate_alone, "scheduler={type: pbt}").confirm is None


def test_compute_alone_may_be_enough(tmp_path: Path) -> None:
    assert load(tmp_path, {"budget": {"trials": None, "train_flops": 24e13}}).confirm == CONFIRMED


def test_the_searchs_own_scores_count_beside_those_of_fresh_seeds(tmp_path: Path) -> None:
    space = load(tmp_path, ENOUGH)
    state = Simulator(space, tmp_path, slots=2).run().search.state
    assert sum(trial.is_confirmation for trial in state.trials) == 4
    rows, found = confirmed_statistics(state).rows, winner(state)
    assert state.leader is not None
    assert [row.seeds for row in rows] == [3, 3]
    for row in rows:
        own = state.trials[row.trial].scores[state.rungs.last].objective
        assert (row.own, own_scores(state, row.trial)) == ((own,), [own])
        assert row.mean == pytest.approx((sum(row.scores) + own) / 3)
        best = best_run(state, row.trial)
        assert best is not None
        assert best.score is not None
        may_be_own = [own] if row.trial == state.leader.number else []
        assert best.score.objective == max(*may_be_own, *row.scores), "`keep` holds the leader's checkpoint, not those of others"
    assert found is not None
    assert found.trial.number == max(rows, key=lambda row: row.mean).trial


def test_by_the_rules_before_they_count_for_nothing(tmp_path: Path) -> None:
    state = Simulator(load(tmp_path, ENOUGH), tmp_path, slots=2).run().search.state
    state.resolver.rules = 4
    for row in confirmed_statistics(state).rows:
        assert (row.own, row.seeds) == ((), 2)
        run = best_run(state, row.trial)
        assert run is not None
        assert run.is_confirmation


def test_own_scores_decide_who_needs_another_seed_and_are_told() -> None:
    fresh, own, confirm = {1: [0.9], 2: [0.2]}, {1: [0.9], 2: [0.2]}, Confirm(top=2, seeds=1, most_seeds=9, certainty=0.6)
    assert next_to_confirm(fresh, {}, confirm, "max", 0) is not None
    assert next_to_confirm(fresh, {}, confirm, "max", 0, own=own) is None
    found = confirmation_statistics(fresh, "max", 0, own=own)
    assert [row.scores + row.own for row in found.rows] == [(0.9, 0.9), (0.2, 0.2)]
    assert "fresh seeds and the search's own" in found.sentence
    assert confirmation_statistics({1: []}, "max", 0, own=own).rows == (), "a fresh seed there must be"

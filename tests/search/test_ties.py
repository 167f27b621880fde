"""Losses of two kinds are never ranked against each other: what breaks ties is what all trials share."""

from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator, cost_of
from space_cases import demo
from sweep_cases import events_of

from trm.search.findings.importance import importance
from trm.search.findings.replay import replay
from trm.search.journal.events import LegEnded
from trm.search.order import Order
from trm.search.planning.earlier import Earlier, prior_of
from trm.search.samplers.study import shown
from trm.search.search import Search
from trm.search.space import candidates
from trm.search.space.candidates import Resolver
from trm.search.space.space import SearchSpace
from trm.terminal.progress import SweepProgress

KINDS = {"training.loss": {"type": "choice", "values": ["stablemax", "softmax"]}}


def flat(order: LegOrder) -> dict[str, Any]:
    """Nothing is solved: stablemax has the greater loss, and more cells right."""
    is_stable = order.config.training.loss.type == "stablemax"
    metrics = {"cell_accuracy": 0.6 if is_stable else 0.4}
    return {"status": "completed", "objective": 0.0, "standard_error": 0.0, "loss": 2.0 if is_stable else 1.0, "metrics": metrics}


def space(**sections: Any) -> SearchSpace:
    return demo({"search": KINDS, "scheduler": {"type": "asha", "eta": 2, "rungs": 2}, "budget": {"trials": 8}, **sections})


def leaders(search: Search) -> list[str]:
    return [trial.params["training.loss"] for trial in search.state.leaderboard()]


def test_ties_between_two_losses_are_broken_by_cells(tmp_path: Path) -> None:
    made = space()
    search = Simulator(made, tmp_path, outcome=flat).run().search
    order = leaders(search)
    stable = order.count("stablemax")
    assert 0 < stable < len(order)
    assert order == ["stablemax"] * stable + ["softmax"] * (len(order) - stable)
    rung = search.state.rung_results[0][0]
    assert rung.is_flat
    kinds = [search.state.trials[number].params["training.loss"] for number in rung.ranked]
    assert kinds == sorted(kinds, reverse=True)
    assert {rung.score(number).loss for number in rung.ranked} == {0.4, 0.6}
    values = {trial.params["training.loss"]: shown(trial, Order("max")).values[0][1] for trial in search.state.searched}
    assert values["stablemax"] > values["softmax"], "samplers are shown the same order"
    assert importance(search.state).name
    best = SweepProgress(search.state).snapshot(0.0).best
    assert best is not None
    assert best.params["training.loss"] == "stablemax"
    assert all(event.loss in (1.0, 2.0) for event in events_of(tmp_path) if isinstance(event, LegEnded)), "the loss stays a loss"
    assert replay(Search(made, cost_of), events_of(tmp_path)).trials == 8


def test_one_kind_of_loss_breaks_ties_itself(tmp_path: Path) -> None:
    made = space(search={"training.loss": {"type": "choice", "values": ["softmax"]}})
    search = Simulator(made, tmp_path, outcome=flat).run().search
    rung = search.state.rung_results[0][0]
    assert {rung.score(number).loss for number in rung.ranked} == {1.0}


def test_a_sweep_of_an_earlier_version_goes_on_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "RULES", 1)
    made = space()
    Simulator(made, tmp_path, outcome=flat).run()
    monkeypatch.undo()
    search = Search(made, cost_of)
    assert replay(search, events_of(tmp_path)).trials == 8
    assert leaders(search)[0] == "softmax"


@pytest.mark.parametrize("objective", [{"metric": "loss"}, {"metric": "loss_halted"}, {"against": ["loss"]}])
def test_an_objective_that_compares_two_losses_is_refused(objective: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"losses of several kinds \(search.training.loss\)"):
        space(objective=objective)


def test_scores_on_other_puzzles_are_not_compared() -> None:
    with pytest.raises(ValueError, match="trials are compared on the same puzzles"):
        space(search={"evaluation.max_examples": {"type": "int", "low": 10, "high": 20}})


@pytest.mark.parametrize(("kind", "losses"), [("stablemax", {2.0, None}), ("softmax", {1.0, None})])
def test_an_earlier_sweep_lends_no_loss_of_another_kind(tmp_path: Path, kind: str, losses: set[float | None]) -> None:
    there = Simulator(space(), tmp_path, outcome=flat).run().search
    here = demo({"base": {"training": {"loss": kind}}})
    prior = prior_of(Earlier(str(tmp_path), there.state), Resolver(here, cost_of))
    found = {score.loss for one in prior.trials for score in one.scores}
    assert found <= losses
    assert found != {None}
    ours = prior_of(Earlier(str(tmp_path), there.state), Resolver(space(), cost_of))
    assert {score.loss for one in ours.trials for score in one.scores} == {0.4, 0.6}

"""Legs that fail, diverge, are lost or stall: what is tried again, what ends, when a sweep gives up."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator, curve
from sweep_cases import events_of, of, space, troubled

from trm.search.decisions import MAX_FAILURES, MAX_LOSSES, MAX_NODE_LOSSES, MAX_STALLS, set_aside
from trm.search.journal.events import Decided


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_a_trial_that_diverges_or_needs_too_much_ends_at_once_and_the_sweep_goes_on(tmp_path: Path, status: str) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled(status, lambda order: order.trial == 2)).run().search
    assert search.state.trials[2].status == status
    assert search.state.trials[2].attempts == {0: 1}
    assert search.state.trials[2].trouble is not None
    assert Counter(one.status for one in search.state.trials)["finished"] >= 1
    assert len(search.state.trials) == 9
    assert len(search.state.rung_results[0][0]) == 8


def test_a_leg_that_fails_once_is_tried_again_and_twice_is_a_failed_trial(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "always").mkdir()
    once = troubled("failed", lambda order: order.trial == 1 and order.attempt == 0)
    search = Simulator(space(), tmp_path / "once", outcome=once).run().search
    assert search.state.trials[1].status in ("finished", "stopped")
    assert search.state.trials[1].attempts[0] == 2
    always = troubled("failed", lambda order: order.trial == 1)
    search = Simulator(space(), tmp_path / "always", outcome=always).run().search
    assert search.state.trials[1].status == "failed"
    assert search.state.trials[1].attempts == {0: MAX_FAILURES}
    decided = [event for event in of(events_of(tmp_path / "always"), Decided) if event.trial == 1]
    assert [event.status for event in decided] == ["running", "failed"]
    assert decided[-1].reason == "failed 2 times: failed at 0"


def test_a_lost_leg_is_tried_again_without_blame_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "all").mkdir()
    some = troubled("lost", lambda order: order.trial == 1 and order.attempt < MAX_LOSSES - 1)
    search = Simulator(space(), tmp_path / "some", outcome=some).run().search
    assert search.state.trials[1].status in ("finished", "stopped")
    assert search.state.trials[1].troubles["failed"] == 0
    everything = troubled("lost", lambda order: order.trial == 1 and order.attempt < MAX_LOSSES + 2)
    search = Simulator(space(), tmp_path / "all", outcome=everything).run().search
    assert (search.state.trials[1].status, search.state.trials[1].attempts) == ("stopped", {0: MAX_LOSSES})
    assert set_aside(search.state.trials) == [f"trial 1 was lost {MAX_LOSSES} times, set aside until a resume: lost at 0"]
    again = Simulator(space(), tmp_path / "all", outcome=everything, now=1e6).run().search
    assert again.state.trials[1].attempts[0] == MAX_LOSSES + 3, "a resume tries it again, with a count that starts anew"
    assert again.state.trials[1].status in ("finished", "stopped")
    assert again.state.trials[1].results
    assert set_aside(again.state.trials) == [f"trial 1 was lost {MAX_LOSSES} times, set aside until a resume: lost at 1"]


@pytest.mark.parametrize(("losses", "status"), [(MAX_LOSSES + 2, {"finished", "stopped"}), (MAX_NODE_LOSSES, {"stopped"})])
def test_legs_lost_with_their_whole_node_do_not_count_against_their_trial(tmp_path: Path, losses: int, status: set[str]) -> None:
    def outcome(order: LegOrder) -> dict[str, Any]:
        is_lost = order.trial == 1 and order.attempt < losses
        return {"status": "lost", "with_node": True, "error": "the node is gone"} if is_lost else curve(order)

    state = Simulator(space(), tmp_path, outcome=outcome).run().search.state
    assert state.trials[1].status in status
    assert bool(state.trials[1].results) == (losses < MAX_NODE_LOSSES)
    assert state.trials[1].attempts[0] == min(losses + 1, MAX_NODE_LOSSES)
    assert len(set_aside(state.trials)) == (losses == MAX_NODE_LOSSES)


@pytest.mark.parametrize(("status", "tries"), [("failed", MAX_FAILURES), ("stalled", MAX_STALLS), ("lost", MAX_LOSSES)])
def test_a_sweep_whose_legs_never_complete_gives_up_and_names_the_first_trouble(tmp_path: Path, status: str, tries: int) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled(status, lambda order: True)).run().search
    assert search.state.ended is not None
    assert search.state.ended.reason == f"all of the first 3 trials failed: {status} at 0"
    assert search.state.is_hopeless
    assert search.state.trials[0].attempts == {0: tries}
    assert len(search.state.trials) <= 4


def test_every_kind_of_trouble_has_a_count_of_its_own(tmp_path: Path) -> None:
    """One failure, one stall and four losses in one stretch are within every limit."""
    kinds = ["failed", "lost", "stalled", "lost", "lost", "lost"]

    def outcome(order: LegOrder) -> dict[str, Any]:
        if order.trial == 1 and order.attempt < len(kinds):
            return {"status": kinds[order.attempt], "error": "x"}
        return curve(order)

    search = Simulator(space(), tmp_path, outcome=outcome).run().search
    assert search.state.trials[1].attempts[0] == len(kinds) + 1
    assert search.state.trials[1].status in ("finished", "stopped")


def test_failures_of_one_stretch_do_not_count_for_the_next(tmp_path: Path) -> None:
    first_tries = troubled("failed", lambda order: order.attempt == 0)
    search = Simulator(space(), tmp_path, outcome=first_tries).run().search
    assert Counter(one.status for one in search.state.trials)["failed"] == 0
    assert any(one.attempts == {0: 2, 1: 2, 2: 2} for one in search.state.trials)


def test_a_trial_that_fails_after_a_promotion_keeps_its_place_in_the_rung_below(tmp_path: Path) -> None:
    search = Simulator(space(), tmp_path, outcome=troubled("diverged", lambda order: order.rung == 1)).run().search
    assert len(search.state.rung_results[0][0]) == 9
    assert len(search.state.rung_results[0][1]) == 0
    assert {one.status for one in search.state.trials} == {"diverged", "stopped"}
    assert search.state.leaderboard()


def test_an_objective_that_is_no_number_is_a_divergence(tmp_path: Path) -> None:
    def nan(order: LegOrder) -> dict[str, Any]:
        return {**curve(order), "objective": float("nan")} if order.trial == 0 else curve(order)

    search = Simulator(space(), tmp_path, outcome=nan).run().search
    assert search.state.trials[0].status == "diverged"
    assert search.state.trials[0].decided is not None
    assert search.state.trials[0].decided.reason == "its exact_accuracy is not a finite number"

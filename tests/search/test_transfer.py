"""From small to large: which configurations are carried, and whether the ranking held, in figures and in words."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_simulator import LegOrder, Simulator, cost_of, curve
from sweep_cases import events_of, space

from tests.search.test_warm_start import GRID, RIGHT, WRONG, ranking
from trm.pictures.transfer import draw_transfer
from trm.search.findings.replay import replay
from trm.search.findings.transfer import transfers, write_transfer
from trm.search.samplers.transfer import Transfer
from trm.search.schedulers.run_to_end import NoScheduler
from trm.search.search import Search
from trm.search.space.space import SearchSpace
from trm.stats.rank_correlation import agreement, ranks

# Rank correlation -----------------------------------------------------------------------------------------------------------


def test_the_coefficients_are_the_published_ones() -> None:
    """Ten pairs, no ties: 6 sum(d^2) / (n (n^2 - 1)) = 6 * 194 / 990; with ties, as scipy 1.16 has them."""
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    found = agreement(iq, hours)
    assert found.spearman == pytest.approx(1 - 6 * 194 / 990)
    assert found.kendall == pytest.approx(-1 / 9)
    tied = agreement([1, 2, 2, 3], [1, 3, 2, 4])
    assert tied.spearman == pytest.approx(0.9486832980505139)
    assert tied.kendall == pytest.approx(0.9128709291752769)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12))
def test_ranks_add_up_and_keep_the_order(values: list[float]) -> None:
    found = ranks(values)
    assert sum(found) == pytest.approx(len(values) * (len(values) + 1) / 2)
    assert all((a < b) == (x < y) for (a, x), (b, y) in itertools.combinations(zip(values, found, strict=True), 2))


def test_chance_counts_the_orders_that_agree_as_well() -> None:
    assert agreement([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).chance == 1 / 120
    assert agreement([1, 2, 3], [3, 2, 1]).chance == 1.0
    assert agreement([1, 2, 3], [1, 3, 2]).chance == 0.5


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ([1, 2, 3, 4], "too few trials to say"),
        ([1, 2, 3, 4, 5], "held"),
        ([2, 1, 3, 4, 6, 5, 7, 8], "held"),
        ([8, 7, 6, 5, 4, 3, 2, 1], "did not hold"),
        ([3, 6, 1, 8, 2, 7, 4, 5], "too few trials to say"),
    ],
)
def test_words_follow_from_the_interval(other: list[float], verdict: str) -> None:
    found = agreement(list(range(len(other))), other)
    assert found.verdict == verdict
    if found.interval_95 is not None:
        low, high = found.interval_95
        assert found.spearman is not None
        assert -1 <= low <= found.spearman <= high <= 1


def test_nothing_is_said_of_equals() -> None:
    assert agreement([1, 1, 1], [1, 2, 3]).spearman is None
    assert agreement([], []).verdict == "too few trials to say"


# What is carried ------------------------------------------------------------------------------------------------------------


def test_the_best_and_some_down_to_the_last_are_carried_in_turn() -> None:
    places = [one.trials[0] for one in Transfer(best=5, others=3).from_earlier(ranking(RIGHT))]
    assert places == [0, 20, 1, 15, 2, 9, 3, 4]
    assert [one.trials[0] for one in Transfer(best=5, others=3).from_earlier(ranking(RIGHT[:4]))] == [0, 1, 2, 3]


@settings(max_examples=25)
@given(st.integers(1, 21), st.integers(1, 8), st.integers(0, 8))
def test_each_is_carried_once(count: int, best: int, others: int) -> None:
    places = [one.trials[0] for one in Transfer(best=best, others=others).from_earlier(ranking(GRID[:count]))]
    assert len(places) == len(set(places)) == min(count, best + min(others, max(0, count - best)))
    assert set(range(min(best, count))) <= set(places)


def large(**changes: Any) -> SearchSpace:
    return space({"budget": {"trials": 20}, **changes}).model_copy(update={"sampler": Transfer()})


def test_a_large_sweep_tries_those_alone_and_says_that_the_ranking_held(tmp_path: Path) -> None:
    demo = large()
    log = Simulator(demo, tmp_path, priors=[ranking(RIGHT)]).run()
    trials = log.search.state.trials
    assert [trial.asked.source for trial in trials] == ["carried"] * 8
    assert [trial.params for trial in trials] == [RIGHT[place] for place in (0, 20, 1, 15, 2, 9, 3, 4)]
    assert log.search.state.ended is not None
    assert log.search.state.ended.reason == "all that was carried from the earlier sweep has been tried"
    assert replay(Search(demo, cost_of), events_of(tmp_path)).trials == 8
    (found,) = transfers(log.search.state)
    assert found.main is not None
    assert (found.main.rung, found.main.agreement.pairs, found.main.agreement.verdict) == (0, 8, "held")
    assert found.text.startswith("the ranking of earlier: held: rank correlation 1.00 (95 %: 0.90 to 1.00; 8 configurations")


def test_a_ranking_that_is_reversed_did_not_hold(tmp_path: Path) -> None:
    search = Simulator(large(), tmp_path, priors=[ranking(WRONG)]).run().search
    write_transfer(search.state, tmp_path)
    (written,) = json.loads((tmp_path / "transfer.json").read_text())["earlier"]
    assert written["verdict"] == "did not hold"
    assert written["name"] == "earlier"
    assert written["rungs"][0]["spearman"] < -0.5
    assert [row["there"]["place"] for row in written["shared"]] == sorted(place + 1 for place in (0, 20, 1, 15, 2, 9, 3, 4))
    assert all(row["here"][0]["objective"] is not None for row in written["shared"])


def test_equal_scores_rank_by_their_loss(tmp_path: Path) -> None:
    def outcome(order: LegOrder) -> dict[str, Any]:
        return {**curve(order), "objective": 0.0}

    demo = large().model_copy(update={"scheduler": NoScheduler()})
    (found,) = transfers(Simulator(demo, tmp_path, outcome=outcome, priors=[ranking(RIGHT)]).run().search.state)
    assert found.main is not None
    assert found.main.agreement.verdict == "held"


def test_without_an_earlier_sweep_nothing_is_written(tmp_path: Path) -> None:
    search = Simulator(space(), tmp_path).run().search
    write_transfer(search.state, tmp_path)
    assert not (tmp_path / "transfer.json").exists()


def test_the_picture_is_drawn_once_there_is_something_to_see(tmp_path: Path) -> None:
    search = Simulator(large(), tmp_path, priors=[ranking(RIGHT)]).run().search
    draw_transfer([], tmp_path / "none.png", metric="exact_accuracy")
    assert not (tmp_path / "none.png").exists()
    draw_transfer(transfers(search.state), tmp_path / "transfer.png", metric="exact_accuracy")
    assert (tmp_path / "transfer.png").read_bytes().startswith(b"\x89PNG")
    (found,) = transfers(search.state)
    assert found.points(0)[0] == (1, search.state.trials[0].results[0].objective)

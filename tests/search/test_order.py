"""One order: laws of it, and what a leaderboard says of trials at one rung is what the rung says, in every sweep at every event."""

import math
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import LegOrder, Simulator, curve
from sweep_cases import events_of

from tests.search.test_schedulers import demo
from tests.search.test_schedulers import each as each_scheduler
from trm.search.journal.events import LegEnded
from trm.search.journal.trial import Trial
from trm.search.order import Order, Score
from trm.search.schedulers.pareto_rung import ParetoRung
from trm.search.space.space import SearchSpace
from trm.search.state import SweepState

MODES: tuple[Literal["max", "min"], ...] = ("max", "min")
drawn_rows = st.lists(
    st.tuples(
        st.sampled_from([-0.5, 0.0, 0.0, 0.5, 1.0]),
        st.sampled_from([0.5, 1.0, math.inf]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([1.0, 2.0]),
    ),
    min_size=1,
    max_size=8,
)
"""(objective, loss, digest, compute) of each trial."""

Rows = list[tuple[float, float, str, float]]


def scored(drawn: Rows, sign: float = 1.0) -> list[Score]:
    return [
        Score(trial, sign * objective, 0.0, loss, digest, (), flops) for trial, (objective, loss, digest, flops) in enumerate(drawn)
    ]


@given(drawn_rows)
def test_less_is_to_one_order_what_more_is_to_the_other(drawn: Rows) -> None:
    most, least = Order("max"), Order("min")
    ours, negated = scored(drawn), scored(drawn, -1.0)
    assert [most.key(one) for one in ours] == [least.key(one) for one in negated]
    assert [most.objective(most.cost(one.objective)) for one in ours] == [one.objective for one in ours]
    values = [one.objective for one in ours]
    assert all(most.is_better(one, other) == least.is_better(other, one) for one in values for other in values)
    assert (most.best(values), least.best(values)) == (max(values), min(values))


@given(drawn_rows)
def test_last_scores_stand_as_those_of_a_rung_but_for_the_rules_before(drawn: Rows) -> None:
    scores = scored(drawn)
    order, before = Order("max"), Order("max", breaks_by_compute=True)
    assert sorted(scores, key=order.last_key) == sorted(scores, key=order.key) == sorted(scores, key=before.key)
    told = [(*order.place(one), one.train_flops) for one in sorted(scores, key=before.last_key)]
    assert told == sorted(told)


def test_what_is_unknown_or_no_number_is_the_worst() -> None:
    for mode in MODES:
        order = Order(mode)
        assert order.cost(None) == order.cost(math.nan) == math.inf
        assert order.is_better(-5.0, math.nan)
    assert [Order("max").is_scoreless(value) for value in (-1.0, 0.0, 0.1, math.nan)] == [True, True, False, True]
    assert not Order("min").is_scoreless(0.0)


@pytest.mark.parametrize(
    ("rules", "kinds", "by_cells", "by_compute"),
    [(1, 2, False, True), (2, 2, True, True), (3, 2, True, False), (3, 1, False, False)],
)
def test_a_sweep_goes_on_by_the_rules_it_began_with(rules: int, kinds: int, by_cells: bool, by_compute: bool) -> None:
    order = Order.of("max", ["stablemax", "softmax"][:kinds], rules)
    assert (order.breaks_by_cells, order.breaks_by_compute) == (by_cells, by_compute)
    result = LegEnded(
        trial=0, rung=0, attempt=0, status="completed", objective=1.0, loss=3.0, metrics={"cell_accuracy": 0.75}, at=0.0
    )
    assert order.tie(result) == (0.25 if by_cells else 3.0)


def tied(leg: LegOrder) -> dict[str, Any]:
    """Scores of which many are equal, zero, or missing."""
    whole = curve(leg)
    objective = max(0.0, round(2 * whole["objective"] - 0.6) / 2)
    missing = leg.trial % 5 == 3 and leg.rung > 0
    return {
        **whole,
        "objective": math.nan if missing else objective,
        "loss": round(whole["loss"], 1) if leg.trial % 4 else None,
    }


def in_mode(made: SearchSpace, mode: str) -> SearchSpace:
    return made.model_copy(update={"objective": made.objective.model_copy(update={"mode": mode})})


@each_scheduler
@pytest.mark.parametrize("mode", MODES)
def test_trials_at_one_rung_stand_on_the_leaderboard_as_at_the_rung(tmp_path: Path, name: str, mode: str) -> None:
    made = in_mode(demo(name, trials=9), mode)
    Simulator(made, tmp_path, outcome=tied, slots=3).run()
    state, looked_at = SweepState(made), 0
    for event in events_of(tmp_path):
        state.apply(event)
        if not isinstance(event, LegEnded):
            continue
        ranked = state.leaderboard()
        for group, rungs in state.rung_results.items():
            for number, rung in enumerate(rungs):
                last = [trial.number for trial in ranked if _is_last_at(trial, number)]
                here = [trial for trial in last if state.scheduler.group(trial) == group]
                assert [trial for trial in rung.ranked if trial in here] == here
                looked_at += len(here) > 1
    assert looked_at > 3


def test_fronts_of_one_rung_are_those_of_the_leaderboard(tmp_path: Path) -> None:
    made = demo("asha").model_copy(
        update={"objective": demo("asha").objective.model_validate({"against": ["params", "latency_seconds"]})}
    )
    Simulator(made, tmp_path, outcome=lambda leg: {**tied(leg), "metrics": {"latency_seconds": 1 + leg.trial % 3}}, slots=3).run()
    state = SweepState(made)
    for event in events_of(tmp_path):
        state.apply(event)
    scores = [trial.score for trial in state.leaderboard() if trial.score is not None and _is_last_at(trial, 2)]
    rung = state.rung_results[0][2]
    assert len(scores) > 2
    assert isinstance(rung, ParetoRung)
    assert [sorted(front) for front in rung.fronts()] == [sorted(front) for front in state.order.fronts(scores)]


def _is_last_at(trial: Trial, rung: int) -> bool:
    return trial.rung == rung and trial.is_ranked

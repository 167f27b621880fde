"""Settings at test time as part of a sweep: which passes are due, what is chosen, and that all of it follows from the journal."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from search_simulator import Simulator, cost_of
from sweep_cases import events_of

from tests.search.test_schedulers import demo
from trm.config.files import validated
from trm.errors import CheckpointError
from trm.search.findings.replay import ReplayDifference, replay
from trm.search.findings.tables import write_leaderboard
from trm.search.journal.events import Reported, TestTimeChosen, TestTimePassed, TestTimePoint
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.search.settings import TestTime
from trm.search.space.resume import check_resumable
from trm.search.space.space import SearchSpace
from trm.search.test_time import PassOrder, chosen_setting, due_choice, due_passes, notes, runs, sentence
from trm.sweeps.winner import PassResult, search_test_time
from trm.terminal.display import event_line
from trm.tracking.updates import updates_of

SECTION = {"noise": [0.0, 0.3], "starts": ["own", "random"], "rollouts": 4, "steps": 8, "top": 2}
PLAIN = {"noise": 0.0, "starts": "own", "select": "", "rollouts": 1, "low": 0.0, "high": 1.0}


def space_of(section: dict[str, Any] | None, **changes: Any) -> SearchSpace:
    values = demo("asha").model_dump(mode="json")
    return validated(SearchSpace, {**values, "test_time": section, **changes}, "demo")


def point(steps: int, accuracy: float, gain: float | None = None, **changes: Any) -> TestTimePoint:
    ends = {} if gain is None else {"gain": gain, "gain_low": gain - 0.02, "gain_high": gain + 0.02}
    values = {**PLAIN, "steps": steps, "exact_accuracy": accuracy, **changes, **ends}
    return TestTimePoint.model_validate({"inference_flops": 10.0 * steps * values["rollouts"], **values})


def made(order: PassOrder) -> PassResult:
    """Depth 3 gains a little, random starts lose, breadth gains most with noise and starts of its own."""
    plain = point(2, 0.8)
    if order.is_plain:
        return PassResult(plain, [plain, point(3, 0.81, 0.01), point(4, 0.7)], 1.0)
    loses = order.starts == "random"
    rolled = {"noise": order.noise, "starts": order.starts, "select": "vote", "rollouts": 4}
    points = [point(2, 0.5 if loses else 0.84, -0.3 if loses else 0.04, **rolled), point(8, 0.5 if loses else 0.86, 0.06, **rolled)]
    return PassResult(plain, points, 1.0)


def one_by_one(orders: Sequence[PassOrder], work: Any) -> Generator[tuple[PassOrder, PassResult | CheckpointError]]:
    for order in orders:
        try:
            yield order, work(order)
        except CheckpointError as error:
            yield order, error


def searched(folder: Path, section: dict[str, Any] | None, work: Any = made, direction: int = 1, **changes: Any) -> SweepLog:
    """A simulated sweep to its end, then the passes that are due, which end in their order or backwards."""
    if not (folder / "journal.jsonl").exists():
        Simulator(space_of(None, **changes), folder).run()
    log = SweepLog(folder, Search(space_of(section, **changes), cost_of, folder="data"))
    state = log.search.state
    log.start(5000.0, driver="here:2", fence=(state.driver.fence if state.driver else 0) + 1, slots=2, versions={"trm": "0"})
    try:
        log.close(5000.0)
        search_test_time(log, lambda orders: one_by_one(orders[::direction], work), lambda line: None)
    finally:
        log.journal.close()
    return log


def test_the_winner_comes_first_and_every_noise_and_start_is_a_pass(tmp_path: Path) -> None:
    orders: list[PassOrder] = []

    def counted(order: PassOrder) -> PassResult:
        orders.append(order)
        return made(order)

    log = searched(tmp_path, SECTION, counted)
    state = log.search.state
    first, second = (run.number for run in runs(state))
    assert first == state.leaderboard()[0].number != second
    passes = [(0.0, "own"), (0.3, "own"), (0.0, "random"), (0.3, "random")]
    assert [(order.trial, order.noise, order.starts) for order in orders] == [
        (trial, *one) for trial in (first, second) for one in passes
    ]
    assert {(order.rollouts, order.steps) for order in orders} == {(4, 8)}
    assert due_passes(state) == []
    assert due_choice(state, 6000.0) is None
    assert replay(Search(space_of(SECTION), cost_of), events_of(tmp_path)).trials == len(state.trials)


def test_the_most_accurate_that_gains_more_than_chance_is_taken_within_its_price(tmp_path: Path) -> None:
    state = searched(tmp_path, SECTION).search.state
    best = runs(state)[0]
    found = chosen_setting(state, best)
    assert found is not None
    assert found.evaluation == {"steps": 8, "rollouts": 4, "noise": 0.3, "starts": "own", "select": "vote"}
    write_leaderboard(state, tmp_path)
    first, second = json.loads((tmp_path / "leaderboard.json").read_text())["test_time"]
    assert [one["inference_flops"] for one in first["front"]] == [20.0, 30.0, 80.0, 320.0]
    assert (first["chosen"]["exact_accuracy"], first["tried"], "chosen" in second) == (0.86, 9, False)
    told = sentence(state)
    assert told is not None
    assert "is taken: 86.00% on validation, +6.00 points (+4.00 to +8.00)" in told
    cheap = searched(tmp_path, {**SECTION, "max_inference_flops": 100}).search.state
    assert (chosen_setting(cheap, best) or found).inference_flops == 80.0
    assert len(cheap.test_time_passes[str(best.checkpoint)]) == 4, "what was passed is not passed again"
    none = searched(tmp_path, {**SECTION, "max_inference_flops": 40}).search.state
    assert chosen_setting(none, best) is None, "a gain of 1 +- 2 points is chance"
    assert "none within 40 FLOPs gains more than chance" in str(sentence(none))
    later = searched(tmp_path, None).search.state
    assert (notes(later), sentence(later)) == (notes(none), sentence(none)), "what was found stays"
    assert replay(Search(space_of(SECTION), cost_of), events_of(tmp_path)).trials == len(state.trials)


def test_other_sizes_are_other_passes_and_a_killed_search_makes_what_is_left(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    orders: list[PassOrder] = []

    def killed(order: PassOrder) -> PassResult:
        if len(orders) == 2:
            raise Stop
        orders.append(order)
        return made(order)

    for _ in range(2):
        with pytest.raises(Stop):
            searched(tmp_path, SECTION, killed)
    log = searched(tmp_path, SECTION)
    assert [event.trial for event in events_of(tmp_path) if isinstance(event, TestTimePassed)] == [
        run.number for run in runs(log.search.state) for _ in range(4)
    ]
    wider = searched(tmp_path, {**SECTION, "rollouts": 8, "top": 1}).search.state
    assert len(wider.test_time_passes[str(runs(wider)[0].checkpoint)]) == 8


def test_whichever_pass_ends_first_the_choice_is_the_same(tmp_path: Path) -> None:
    """With points of equal accuracy and FLOPs in several passes, of which the one that draws the least is taken."""

    def tied(order: PassOrder) -> PassResult:
        found = made(order)
        points = [one.model_copy(update={"exact_accuracy": 0.86, "gain": 0.06, "gain_low": 0.04}) for one in found.points]
        return PassResult(found.plain, points if not order.is_plain else found.points, 1.0)

    told = []
    for name, direction in (("forward", 1), ("backward", -1)):
        (folder := tmp_path / name).mkdir()
        state = searched(folder, SECTION, tied, direction).search.state
        found = chosen_setting(state, runs(state)[0])
        assert found is not None
        assert (found.noise, found.starts) == (0.3, "own")
        told.append((found, notes(state), sentence(state)))
        assert replay(Search(space_of(SECTION), cost_of), events_of(folder)).trials == len(state.trials)
    assert told[0] == told[1]


def test_settings_are_judged_by_the_objective_whichever_way_it_is_good(tmp_path: Path) -> None:
    objective = {"metric": "loss", "mode": "min"}

    def by_loss(order: PassOrder) -> PassResult:
        assert (order.metric, order.mode) == ("loss", "min")
        found = made(order)
        value = lambda one: 1 - one.exact_accuracy if order.is_plain or order.starts == "own" else 2.0  # noqa: E731
        gain = lambda one: {} if one.gain is None else {"gain": -one.gain, "gain_low": -one.gain_high, "gain_high": -one.gain_low}  # noqa: E731
        points = [one.model_copy(update={"value": value(one), **gain(one)}) for one in (found.plain, *found.points)]
        return PassResult(points[0], points[1:], 1.0)

    log = searched(tmp_path, SECTION, by_loss, objective=objective)
    state = log.search.state
    found = chosen_setting(state, runs(state)[0])
    assert found is not None
    assert (found.steps, found.noise, found.score) == (8, 0.3, pytest.approx(0.14))
    told = sentence(state)
    assert told is not None
    assert "is taken: loss 0.14 on validation, -0.06 (-0.08 to -0.04) over the plain answer" in told
    passed = next(event for event in events_of(tmp_path) if isinstance(event, TestTimePassed) and event.noise == 0.3)
    assert "2 settings in 1.0 s, best 0.1400 at 8 steps x 4 (plain 0.2000)" in str(event_line(passed, "loss"))
    (first, _), front = notes(state), [one["value"] for one in notes(state)[0]["front"]]
    assert (first["metric"], front) == ("loss", sorted(front, reverse=True))
    assert replay(Search(space_of(SECTION, objective=objective), cost_of), events_of(tmp_path)).trials == len(state.trials)


def test_passes_of_before_are_gone_on_with_by_exact_accuracy(tmp_path: Path) -> None:
    """A journal of the time when every sweep was judged by it: its passes count, and what is left is made alike."""
    objective, orders = {"metric": "loss", "mode": "min"}, list[PassOrder]()

    def of_before(order: PassOrder) -> PassResult:
        orders.append(order)
        return made(order)

    Simulator(space_of(None, objective=objective), tmp_path).run()
    state = searched(tmp_path, None, objective=objective).search.state
    best = state.leaderboard()[0]
    first = TestTimePassed.model_validate(
        {
            "trial": best.number,
            "checkpoint": str(best.checkpoint),
            "noise": 0.0,
            "starts": "own",
            "rollouts": 4,
            "steps": 8,
            "plain": point(2, 0.8),
            "points": [point(2, 0.8)],
            "seconds": 1.0,
            "at": 5000.0,
        }
    )
    log = SweepLog(tmp_path, Search(space_of(SECTION, objective=objective), cost_of, folder="data"))
    log.report(first)
    log.journal.close()
    state = searched(tmp_path, {**SECTION, "top": 1}, of_before, objective=objective).search.state
    assert [(order.noise, order.starts, order.metric) for order in orders] == [
        (0.3, "own", "exact_accuracy"),
        (0.0, "random", "exact_accuracy"),
        (0.3, "random", "exact_accuracy"),
    ]
    assert {one.metric for one in state.test_time_passes[str(best.checkpoint)]} == {None}
    assert (chosen_setting(state, best) or point(1, 0.0)).exact_accuracy == 0.86
    assert replay(Search(space_of(SECTION, objective=objective), cost_of), events_of(tmp_path)).trials == len(state.trials)


def test_weights_that_are_gone_are_passed_over_unless_they_are_the_winners(tmp_path: Path) -> None:
    winner = searched(tmp_path, None).search.state.leaderboard()[0].number

    def gone(order: PassOrder) -> PassResult:
        if order.trial != winner:
            raise CheckpointError("it was deleted", remedy="keep it")
        return made(order)

    state = searched(tmp_path, SECTION, gone).search.state
    assert [one.trial for passes in state.test_time_passes.values() for one in passes] == [winner] * 4
    assert chosen_setting(state, state.trials[winner]) is not None


def test_a_winner_that_carries_nothing_has_no_settings_and_others_are_not_told_as_its_own(tmp_path: Path) -> None:
    state = searched(tmp_path, SECTION).search.state
    best, told = runs(state)[0], sentence(state)
    assert told is not None
    state.space = state.space.model_copy(update={"base": {**state.space.base, "model": {"architecture": "direct"}}})
    assert (runs(state), due_passes(state), due_choice(state, 1.0), sentence(state)) == ([], [], None, None)
    best.asked.params["model.architecture"] = "trm"
    assert (runs(state), sentence(state)) == ([best], told)


def test_a_choice_that_does_not_follow_is_told_by_a_replay(tmp_path: Path) -> None:
    searched(tmp_path, SECTION)
    events = [
        event.model_copy(update={"setting": None}) if isinstance(event, TestTimeChosen) else event for event in events_of(tmp_path)
    ]
    with pytest.raises(ReplayDifference, match="test_time_chosen"):
        replay(Search(space_of(SECTION), cost_of), events)


def test_a_store_is_told_every_pass_and_the_last_look(tmp_path: Path) -> None:
    state = searched(tmp_path, SECTION).search.state
    passed = next(event for event in events_of(tmp_path) if isinstance(event, TestTimePassed) and event.noise == 0.3)
    (update,) = updates_of(state, passed)
    assert [(one.key, one.value) for one in update.points] == [
        ("test_time/noise_0.3_own/exact_accuracy", 0.84),
        ("test_time/noise_0.3_own/exact_accuracy", 0.86),
    ]
    look = {"evaluation": {}, "validation": {}, "test": {"exact_accuracy": 0.9}, "gain": {"test": [0.1, 0.0, 0.2]}}
    reported = Reported.model_validate(
        {"trial": passed.trial, "rank": 1, "validation": {}, "test": {"exact_accuracy": 0.8}, "at_test_time": look, "at": 1.0}
    )
    points = {one.key: one.value for one in updates_of(state, reported)[0].points}
    assert (points["test/exact_accuracy"], points["test_time/test/exact_accuracy"]) == (0.8, 0.9)


def test_what_makes_no_sense_is_refused_and_a_resume_may_add_the_section() -> None:
    for starts in (("own",), ("own", "random")):
        with pytest.raises(ValidationError, match="noise lies between supervision steps, got steps 1"):
            TestTime(steps=1, starts=starts)
    assert TestTime(steps=1, noise=(0.0,), starts=("random",)).passes == [(0.0, "own"), (0.0, "random")]
    with pytest.raises(Exception, match=r"several answers a puzzle, and base.evaluation.reports_halted is of one"):
        space_of(SECTION, base={**demo("asha").base, "evaluation": {"reports_halted": True}})
    with pytest.raises(Exception, match=r"test_time tries noise on trained weights, and base.evaluation.noise is there too"):
        space_of(SECTION, base={**demo("asha").base, "evaluation": {"noise": 0.1}})
    with pytest.raises(Exception, match="those of this space carry nothing from one to the next"):
        space_of(
            SECTION, base={"model": {"architecture": "direct"}}, search={"optim.lr": {"type": "float", "low": 0.001, "high": 0.1}}
        )
    plain = space_of(None)
    assert plain.frozen_digest() == space_of(SECTION).frozen_digest() == demo("asha").frozen_digest()
    check_resumable(plain, space_of(SECTION))

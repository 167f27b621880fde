"""Earlier sweeps as a start: what is read of them, how far they are believed, and what a wrong one costs."""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from search_simulator import KilledError, LegOrder, Outcome, Simulator, cost_of, curve
from sweep_cases import events_of, space

from trm.errors import SweepError
from trm.search.asking.trust import FEWEST_SCORED, MARKED_EVERY, MARKED_MOST, RankPrediction
from trm.search.findings.replay import replay
from trm.search.journal.events import Asked, SweepStarted
from trm.search.journal.priors import Prior, PriorScore, PriorTrial
from trm.search.order import Order
from trm.search.planning.earlier import Earlier, prior_of
from trm.search.samplers.study import StudyView
from trm.search.schedulers.run_to_end import NoScheduler
from trm.search.search import Search
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.space import SearchSpace

GRID = [{"model.H_cycles": cycles, "optim.lr": 10 ** (-4 + place / 2)} for cycles in (1, 2, 3) for place in range(7)]


def merit(params: Mapping[str, Any]) -> float:
    """What `curve` makes of a configuration, its seed apart."""
    return min(1.0, params["model.H_cycles"] / 2) / (1 + abs(math.log10(params["optim.lr"] / 1e-3)))


WRONG, RIGHT = sorted(GRID, key=merit), sorted(GRID, key=merit, reverse=True)


def earlier_sweep(folder: Path, demo: SearchSpace | None = None, outcome: Outcome = curve) -> Earlier:
    folder.mkdir(exist_ok=True)
    return Earlier(str(folder), Simulator(demo or space(), folder, outcome=outcome).run().search.state)


def read(earlier: Earlier, here: SearchSpace, **more: Any) -> Prior:
    return prior_of(earlier, Resolver(here, cost_of), **more)


def digest(params: dict[str, Any]) -> str:
    found = Resolver(space(), cost_of).resolve(params)
    assert isinstance(found, Candidate)
    return found.digest


def ranking(configurations: Sequence[dict[str, Any]], *, differences: Sequence[str] = ()) -> Prior:
    """An earlier sweep that found these configurations, best first."""
    trials = [
        PriorTrial(
            trials=[number],
            params=params,
            digest=digest(params),
            scores=[PriorScore(share=1.0, objective=0.9 - number / 100, loss=1.0)],
        )
        for number, params in enumerate(configurations)
    ]
    return Prior(name="earlier", source="/earlier", differences=list(differences), trials=trials)


# What is read ---------------------------------------------------------------------------------------------------------------


def test_the_same_question_is_read_as_it_was_answered(tmp_path: Path) -> None:
    earlier = earlier_sweep(tmp_path)
    prior = read(earlier, space())
    assert prior.differences == []
    assert prior.left_out == []
    assert prior.name == "demo"
    assert [one.trials[0] for one in prior.trials] == [trial.number for trial in earlier.state.leaderboard()]
    for one in prior.trials:
        trial = earlier.state.trials[one.trials[0]]
        assert one.params == trial.params
        assert [score.share for score in one.scores] == pytest.approx([1 / 9, 1 / 3, 1.0][: len(trial.results)])
        assert [score.objective for score in one.scores] == [trial.results[rung].objective for rung in sorted(trial.results)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budget": {"per_trial": 5.4e13}}, "budget.per_trial: 2.7e+13 there, 5.4e+13 here"),
        ({"objective": {"metric": "cell_accuracy"}}, "objective: exact_accuracy (max) there, cell_accuracy (max) here"),
        ({"base": {"model": {"hidden_size": 128}}}, "model.hidden_size: 64 there, 128 here"),
        ({"fidelity": "steps", "budget": {"per_trial": 1000}}, "fidelity: train_flops there, steps here"),
    ],
)
def test_what_makes_it_another_question_is_said(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert read(earlier_sweep(tmp_path), space(changes)).differences == [said]


def test_other_data_is_said_first(tmp_path: Path) -> None:
    prior = read(earlier_sweep(tmp_path), space(), data_difference="data: mazes there, sudoku here")
    assert prior.differences == ["data: mazes there, sudoku here"]


def test_how_exactly_it_was_scored_is_no_difference(tmp_path: Path) -> None:
    assert read(earlier_sweep(tmp_path), space({"base": {"evaluation": {"max_examples": 100}}})).differences == []


def test_a_knob_that_was_fixed_there_has_the_value_that_it_had(tmp_path: Path) -> None:
    wider = space({"search": {"model.hidden_size": {"type": "choice", "values": [32, 64]}}})
    prior = read(earlier_sweep(tmp_path), wider)
    assert prior.differences == []
    assert {one.params["model.hidden_size"] for one in prior.trials} == {64}


def test_a_knob_that_is_fixed_here_makes_one_of_several_and_is_said(tmp_path: Path) -> None:
    fixed = space({"base": {"model": {"H_cycles": 2}}})
    fixed = fixed.model_copy(update={"search": {"optim.lr": fixed.search["optim.lr"]}})
    prior = read(earlier_sweep(tmp_path), fixed)
    assert all(one.params.keys() == {"optim.lr"} for one in prior.trials)
    assert [text.split(":")[0] for text in prior.differences] == ["model.H_cycles"]


def test_repetitions_are_one_configuration_with_mean_scores(tmp_path: Path) -> None:
    twice = space({"replicates": 2, "budget": {"trials": 6}}).model_copy(update={"scheduler": NoScheduler()})
    earlier = earlier_sweep(tmp_path, twice)
    prior = read(earlier, space())
    assert sorted(len(one.trials) for one in prior.trials) == [2, 2, 2]
    for one in prior.trials:
        found = [earlier.state.trials[number].results[0].objective for number in one.trials]
        assert one.scores[0].objective == pytest.approx(sum(value for value in found if value is not None) / 2)


def test_what_lies_outside_is_left_out_and_counted(tmp_path: Path) -> None:
    earlier = earlier_sweep(tmp_path)
    narrow = space({"search": {"model.H_cycles": {"type": "int", "low": 2, "high": 3}}, "constraints": ["H_cycles < 3"]})
    kept = [trial for trial in earlier.state.trials if trial.params["model.H_cycles"] == 2]
    prior = read(earlier, narrow)
    assert sum(len(one.trials) for one in prior.trials) == len(kept)
    assert any("model.H_cycles was 1, which is outside this space" in text for text in prior.left_out)
    assert any("they break H_cycles < 3" in text for text in prior.left_out)


def test_what_cannot_help_is_refused(tmp_path: Path) -> None:
    none_fits = space({"search": {"optim.lr": {"type": "float", "low": 0.5, "high": 0.6, "log": True}}})
    earlier = earlier_sweep(tmp_path / "a")
    with pytest.raises(SweepError, match=r"none of its 9 scored trials is a configuration of this space, optim.lr was .*; widen"):
        read(earlier, none_fits)
    search = {"optim.beta2": {"type": "float", "low": 0.9, "high": 0.99}}
    other = SearchSpace.model_validate({**space().model_dump(mode="json"), "search": search})
    with pytest.raises(SweepError, match=r"must search a knob of this space, and has none of optim.beta2; leave it out, or search"):
        read(earlier, other)
    with pytest.raises(SweepError, match=r"has no trial with a score \(0 were begun\); wait until it has some"):
        read(Earlier("x", Search(space(), cost_of).state), space())


# How far it is believed -----------------------------------------------------------------------------------------------------

ELSEWHERE = ["data: x there, y here"]


def sweep(folder: Path, *priors: Prior, trials: int = 24, slots: int = 1, outcome: Outcome = curve, **changes: Any) -> Search:
    folder.mkdir(exist_ok=True)
    demo = space({"budget": {"trials": trials}, "sampler": {"type": "tpe"}, **changes})
    return Simulator(demo, folder, slots=slots, outcome=outcome, priors=priors).run().search


def asks(*arguments: Any, **options: Any) -> list[Asked]:
    return [trial.asked for trial in sweep(*arguments, **options).state.trials]


@pytest.mark.parametrize(("slots", "differences"), [(1, []), (4, []), (2, ELSEWHERE)])
def test_a_wrong_one_changes_nothing_at_all(tmp_path: Path, slots: int, differences: list[str]) -> None:
    cold = asks(tmp_path / "cold", slots=slots, trials=15)
    assert asks(tmp_path / "wrong", ranking(WRONG, differences=differences), slots=slots, trials=15) == cold


def test_a_right_one_is_believed_after_four_trials_and_then_asked_first(tmp_path: Path) -> None:
    search = sweep(tmp_path, ranking(RIGHT), trials=12)
    believed = [trial.number for trial in search.state.trials if trial.asked.prior == 0]
    assert believed[0] == FEWEST_SCORED
    assert search.state.trials[FEWEST_SCORED].params == RIGHT[0]
    assert search.state.trials[FEWEST_SCORED].asked.source == "carried"


def test_what_is_known_of_the_same_question_is_not_tried_again(tmp_path: Path) -> None:
    asked = asks(tmp_path, ranking(RIGHT))
    advised = [one for one in asked if one.prior == 0 and one.source == "sampler"]
    assert len(advised) >= 5
    assert not {one.digest for one in advised} & {digest(params) for params in RIGHT}


def test_one_about_something_else_is_only_tried_every_fourth_time(tmp_path: Path) -> None:
    asked = asks(tmp_path, ranking(RIGHT, differences=ELSEWHERE))
    carried = [one.trial for one in asked if one.prior is not None]
    assert len(carried) == MARKED_MOST
    assert carried[0] == FEWEST_SCORED
    assert all(after - before >= MARKED_EVERY for before, after in itertools.pairwise(carried))
    assert all(one.source == "carried" for one in asked if one.prior is not None), "the sampler is never shown its scores"
    assert [one.params for one in asked if one.prior is not None] == RIGHT[:MARKED_MOST]


def test_one_that_turns_out_wrong_is_dropped(tmp_path: Path) -> None:
    def outcome(order: LegOrder) -> dict[str, Any]:
        """The best of the earlier sweep are the worst here, and all others as there."""
        is_best = digest({"model.H_cycles": order.config.model.H_cycles, "optim.lr": order.config.optim.lr}) in best
        return {**curve(order), "objective": 0.0} if is_best else curve(order)

    best = {digest(params) for params in RIGHT[:MARKED_MOST]}
    search = sweep(tmp_path, ranking(RIGHT, differences=ELSEWHERE), outcome=outcome, trials=16)
    carried = [trial for trial in search.state.trials if trial.asked.prior is not None]
    assert len(carried) == 1
    assert carried[0].rung == 0


def test_of_two_the_right_one_is_believed(tmp_path: Path) -> None:
    asked = asks(tmp_path, ranking(WRONG), ranking(RIGHT))
    assert {one.prior for one in asked} == {None, 1}


def test_a_sampler_that_learns_nothing_is_not_advised(tmp_path: Path) -> None:
    asked = asks(tmp_path, ranking(RIGHT), sampler={"type": "random"})
    assert all(one.source == "carried" for one in asked if one.prior is not None)


def test_start_points_come_before_it(tmp_path: Path) -> None:
    points = [{"model.H_cycles": 3, "optim.lr": 10 ** (-place / 2)} for place in range(2, 8)]
    asked = asks(tmp_path, ranking(RIGHT), trials=8, start_points=points)
    assert [one.source for one in asked][: len(points) + 1] == ["start_point"] * len(points) + ["carried"]


@pytest.mark.parametrize(
    ("params", "place"), [({"model.H_cycles": 1, "optim.lr": 1e-3}, 0), ({"model.H_cycles": 3, "optim.lr": 1e-3}, 1)]
)
def test_a_forecast_is_exact_where_the_earlier_sweep_was(params: dict[str, Any], place: int) -> None:
    tried = [
        {"model.H_cycles": 1, "optim.lr": 1e-3},
        {"model.H_cycles": 3, "optim.lr": 1e-3},
        {"model.H_cycles": 3, "optim.lr": 1e-1},
    ]
    prediction = RankPrediction(space().search, ranking(tried), 1.0)
    assert prediction.place(params) == pytest.approx(place, abs=1e-4)


def test_a_forecast_between_two_lies_between_them() -> None:
    prediction = RankPrediction(
        space().search, ranking([{"model.H_cycles": 1, "optim.lr": 1e-4}, {"model.H_cycles": 1, "optim.lr": 1e-2}]), 1.0
    )
    assert prediction.place({"model.H_cycles": 1, "optim.lr": 1e-3}) == pytest.approx(0.5)
    assert 0 < prediction.place({"model.H_cycles": 1, "optim.lr": 3e-4}) < 0.5


# The journal holds it -------------------------------------------------------------------------------------------------------


def test_a_killed_sweep_goes_on_with_what_it_had_read_and_replays(tmp_path: Path) -> None:
    demo = space({"budget": {"trials": 12}, "sampler": {"type": "tpe"}})
    generator, now, priors = random.Random(3), 1000.0, [ranking(RIGHT)]
    while True:
        simulator = Simulator(demo, tmp_path, now=now, kill_after=generator.randint(4, 20), priors=priors)
        try:
            simulator.run()
            break
        except KilledError:
            now, priors = simulator.now + 5, []  # a resume is not told again
    events = events_of(tmp_path)
    assert isinstance(events[0], SweepStarted)
    assert events[0].priors == [ranking(RIGHT)]
    assert replay(Search(demo, cost_of), events).trials == 12
    assert any(isinstance(event, Asked) and event.source == "carried" for event in events)


def test_a_journal_from_before_reads_as_one_without(tmp_path: Path) -> None:
    Simulator(space(), tmp_path).run()
    line = (tmp_path / "journal.jsonl").read_text().splitlines()[0]
    old = SweepStarted.model_validate({"name": "a", "seed": 0, "space_digest": "", "versions": {}, "at": 1.0})
    assert old.priors == []
    assert '"priors":[]' in line


# What the sampler is shown --------------------------------------------------------------------------------------------------


def test_earlier_trials_are_shown_at_their_rungs() -> None:
    demo = space()
    whole = PriorTrial(
        trials=[0],
        params={"model.H_cycles": 1, "optim.lr": 1e-3},
        digest="",
        scores=[PriorScore(share=1 / 9, objective=0.1), PriorScore(share=1.0, objective=0.5)],
    )
    part = whole.model_copy(update={"scores": [PriorScore(share=0.5, objective=0.4)]})
    early = whole.model_copy(update={"scores": [PriorScore(share=0.01, objective=0.4)]})
    rungs = demo.scheduler.rungs_up_to(demo.budget.per_trial)
    shown = StudyView(demo.search, Order("max")).earlier([whole, part, early], rungs)
    assert [(one.state.name, one.intermediate_values) for one in shown] == [
        ("COMPLETE", {0: 0.1, 2: 0.5}),
        ("PRUNED", {1: 0.4}),
    ]
    assert shown[0].value == 0.5

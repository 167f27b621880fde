"""A sweep that mixes trials with a depth schedule and without: rungs stay fair, and all that is foretold adds up."""

from pathlib import Path

import pytest
from search_simulator import Simulator
from space_cases import DEMO
from sweep_cases import events_of

from trm.config.files import merged
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.models.cost import RunCost, run_cost
from trm.search.planning.forecast import forecast
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.search import replayed
from trm.search.space.candidates import Candidate, Facts, Resolver
from trm.search.space.space import SearchSpace

SHAPE = DataShape(16, 6, 1)
PER_TRIAL = 1.2e13
PARAMS = {"model.H_cycles": 3, "optim.lr": 1e-3}


def cost_of(config: RunConfig) -> RunCost:
    return run_cost(config, SHAPE)


def space(fidelity: str = "train_flops", per_trial: float = PER_TRIAL, **changes: object) -> SearchSpace:
    search = {
        "training.depth_schedule": {"type": "choice", "values": [None, "cgar"]},
        "model.H_cycles": {"type": "int", "low": 2, "high": 3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    }
    values = {**merged(DEMO, {"budget": {"per_trial": per_trial, "trials": 12}}), "search": search, "constraints": []}
    values["scheduler"] = {"type": "asha", "eta": 3, "rungs": 3}
    return SearchSpace.model_validate({**values, "start_points": [], "fidelity": fidelity, **changes})


def candidate(resolver: Resolver, schedule: str | None) -> Candidate:
    found = resolver.resolve(PARAMS | {"training.depth_schedule": schedule})
    assert isinstance(found, Candidate), found
    return found


def test_schedules_of_one_s_own_are_searched_as_text() -> None:
    own, other = "0.50:1x2 0.50:3x6", "1:3x6"
    knob = {"training.depth_schedule": {"type": "choice", "values": [own, other, "cgar"]}}
    base = {**DEMO["base"], "model": {**DEMO["base"]["model"], "L_cycles": 6}, "training": {**DEMO["base"]["training"]}}
    base["training"]["depth_schedule"] = [[0.5, 1, 2], [0.5, 3, 6]]
    searched = SearchSpace.model_validate({**DEMO, "search": knob, "constraints": [], "start_points": [{}], "base": base})
    assert searched.complete({}) == {"training.depth_schedule": own}, "the base's list, as the knob lists it"
    stages = searched.run_config({"training.depth_schedule": own}, seed=0).training.depth_schedule
    assert stages == ((0.5, 1, 2), (0.5, 3, 6))
    with pytest.raises(ValueError, match=r"reaches '0.5:1x2 x', but .* SHARE:H_CYCLESxL_CYCLES"):
        SearchSpace.model_validate({**DEMO, "search": {"training.depth_schedule": {"type": "choice", "values": ["0.5:1x2 x"]}}})


def facts() -> Facts:
    known = Facts(epoch_rows=1000.0)
    for flops in (1e8, 1e9, 1e10):
        known.speeds.observe(flops, 100, 100 * (0.001 + flops / 1e10))
    return known


@pytest.mark.parametrize(
    ("fidelity", "per_trial"), [("train_flops", PER_TRIAL), ("steps", 900.0), ("epochs", 60.0), ("seconds", 900.0)]
)
def test_a_trial_is_as_long_as_its_own_integral_reaches(fidelity: str, per_trial: float) -> None:
    resolver = Resolver(space(fidelity, per_trial), cost_of, facts())
    plain, scheduled = (candidate(resolver, schedule) for schedule in (None, "cgar"))
    amounts = resolver.rungs.amounts
    for one in (plain, scheduled):
        for amount, steps in zip(amounts, one.rung_steps, strict=True):
            assert one.amounts.up_to(steps) >= amount * (1 - 1e-9) > one.amounts.up_to(steps - 1) * (1 - 1e-9)
        assert one.max_steps == one.config.training.steps == one.rung_steps[-1]
    assert len(scheduled.flops.stages) == 3
    assert scheduled.flops.last == plain.flops.last
    if fidelity in ("train_flops", "seconds"):
        assert scheduled.max_steps > 1.3 * plain.max_steps
        assert scheduled.rung_steps[0] / scheduled.max_steps > plain.rung_steps[0] / plain.max_steps
    else:
        assert scheduled.rung_steps == plain.rung_steps
    assert (scheduled.inference_flops, scheduled.params_count) == (plain.inference_flops, plain.params_count)


def test_a_sweep_of_both_books_what_its_trials_spent(tmp_path: Path) -> None:
    log = Simulator(space(), tmp_path, cost_of=cost_of).run()
    state = log.search.state
    scheduled = [trial for trial in state.trials if trial.asked.stages]
    assert scheduled
    assert len(scheduled) < len(state.trials)
    for trial in state.trials:
        cost = cost_of(state.space.run_config(trial.params, seed=0)).flops(trial.asked.max_steps)
        assert trial.asked.flops == cost
        for rung, result in trial.results.items():
            amount = state.rungs.amounts[rung]
            assert amount <= result.train_flops < amount + cost.at(result.steps - 1)
            assert result.train_flops == cost.up_to(result.steps)
        assert trial.spent_flops == trial.results[max(trial.results)].train_flops
    assert state.spending.train_flops == sum(trial.spent_flops for trial in state.trials)
    again = replayed(state.space, cost_of, events_of(tmp_path))
    assert again.state.trials == state.trials


def test_what_is_foretold_is_the_integral() -> None:
    known = facts()
    survey = Survey(space(), cost_of, known)
    seen = forecast(survey, slots=2)
    # every trial of a rung takes its amount, but for a part of a step
    amounts = survey.resolver.rungs.amounts
    reached = seen.expected.scored
    expected = sum(count * (here - before) for count, here, before in zip(reached, amounts, (0.0, *amounts), strict=False))
    assert seen.expected.train_flops == pytest.approx(expected, rel=0.01)
    one = candidate(survey.resolver, "cgar")
    by_hand = sum(count * (known.speeds.step_seconds(each) or 0.0) for each, count in one.flops.counts(0, one.max_steps))
    assert known.speeds.leg_seconds(one.flops, 0, one.max_steps) == pytest.approx(by_hand)


def test_speeds_learn_from_legs_of_several_depths() -> None:
    resolver = Resolver(space(), cost_of)
    flops = candidate(resolver, "cgar").flops
    per_flop, per_evaluation = 1e-10, 0.5
    speeds = Speeds()
    for first, last in ((0, 1000), (1000, 1900), (1900, 3000)):
        speeds.observe_leg(
            flops,
            first,
            last,
            train_seconds=per_flop * flops.between(first, last),
            eval_seconds=per_evaluation,
            overhead_seconds=0.1,
        )
    for first, last in ((0, 500), (500, 2500)):
        expected = per_flop * flops.between(first, last) + per_evaluation + 0.1
        assert speeds.leg_seconds(flops, first, last) == pytest.approx(expected, rel=0.02)


def test_a_population_shares_a_schedule_and_does_not_search_it(tmp_path: Path) -> None:
    """All members pass the stages at the same steps, so that one goes on from another's checkpoint where it was."""
    values = space().model_dump(mode="json") | {
        "search": {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}},
        "scheduler": {"type": "pbt", "population": 4, "generations": 4},
        "budget": {"per_trial": PER_TRIAL, "trials": 4},
    }
    base = {**values["base"], "training": {**values["base"].get("training", {}), "depth_schedule": "cgar"}}
    state = Simulator(SearchSpace.model_validate({**values, "base": base}), tmp_path, cost_of=cost_of).run().search.state
    assert any(trial.adoptions for trial in state.trials)
    first = state.trials[0].asked
    for trial in state.trials:
        assert (trial.asked.flops, trial.asked.max_steps) == (first.flops, first.max_steps)
        assert [result.train_flops for result in trial.results.values()] == [
            first.flops.up_to(result.steps) for result in trial.results.values()
        ]
    searched = {**values["search"], "training.depth_schedule": {"type": "choice", "values": [None, "cgar"]}}
    with pytest.raises(ValueError, match=r"training\.depth_schedule cannot change there"):
        SearchSpace.model_validate({**values, "search": searched})

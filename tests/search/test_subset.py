"""How many validation examples a rung is scored on: one number for all trials, small beside the training, fixed at the start."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from search_simulator import FakeCost, Simulator
from space_cases import demo
from sweep_cases import events_of

from trm.config.files import dump_yaml
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.config.training import VOTES
from trm.models.cost import run_cost
from trm.search.planning.survey import Survey
from trm.search.planning.validation_subset import LEAST, SHARE, Subset, with_subset
from trm.search.space.candidates import Candidate, Facts, Resolver
from trm.search.space.enumeration import random_params
from trm.search.space.resume import check_resumable, diff_frozen
from trm.search.space.space import SearchSpace
from trm.sweeps.folder import SWEEP_FILE, begun_space

SHAPE = DataShape(16, 6, 1)
MANY = 100_000


def cost_of(config: Any) -> Any:
    return run_cost(config, SHAPE)


def filled(space: SearchSpace, cost_of: Any, facts: Facts, **how: Any) -> tuple[SearchSpace, Subset | None]:
    survey, subset = with_subset(Survey(space, cost_of, facts), **how)
    return survey.space, subset


def number(space: SearchSpace) -> int | None:
    return space.base.get("evaluation", {}).get("max_examples")


def chosen(space: SearchSpace, **how: Any) -> int | None:
    return number(filled(space, cost_of, Facts(epoch_rows=1000.0), **{"examples": MANY, **how})[0])


@pytest.mark.parametrize(
    "scheduler",
    [{"type": "asha", "eta": 3, "rungs": 2}, {"type": "median", "rungs": 4}, {"type": "none"}],
    ids=lambda one: one["type"],
)
def test_no_trial_spends_more_on_scores_than_a_tenth_of_its_training(scheduler: dict[str, Any]) -> None:
    space = demo({"budget": {"per_trial": 1e14}}).model_dump(mode="json") | {"scheduler": scheduler}
    space, subset = filled(SearchSpace.model_validate(space), cost_of, Facts(), examples=MANY)
    assert subset is not None
    resolver, draw = Resolver(space, cost_of), random.Random(3)
    found = [resolver.resolve(random_params(space, draw)) for _ in range(300)]
    shares = []
    for one in found:
        assert isinstance(one, Candidate)
        assert one.config.evaluation.max_examples == subset.examples, "all are scored on the same puzzles"
        legs = [after - before for before, after in itertools.pairwise((0, *one.rung_steps))]
        shares.append(subset.examples * one.inference_flops / (min(legs) * one.step_flops))
    assert SHARE * 0.9 < max(shares) <= subset.share <= SHARE


def test_a_space_that_says_a_number_keeps_it() -> None:
    space = demo({"base": {"evaluation": {"max_examples": 4321}}})
    assert filled(space, cost_of, Facts(), examples=MANY)[0] is space
    free = filled(demo(), lambda config: FakeCost(1e10, 10), Facts(), examples=MANY)
    assert free == (demo(), None), "answers that cost nothing need no limit"


def test_few_examples_are_all_scored_and_too_few_are_not_chosen() -> None:
    assert chosen(demo({"budget": {"per_trial": 1e14}}), examples=150) is None
    short = demo({"budget": {"per_trial": 2e12}})
    space, subset = filled(short, cost_of, Facts(), examples=MANY)
    assert number(space) == LEAST
    assert subset is not None
    assert subset.share > SHARE
    assert "fewer than 100 would tell too little" in subset.text
    assert chosen(short, examples=40) is None
    gang = demo({"budget": {"per_trial": 2e12}, "resources": {"workers": 128}, "base": {"training": {"global_batch_size": 128}}})
    assert chosen(gang) == 128, "an example for every worker"


def small(**changes: Any) -> SearchSpace:
    """One with six configurations."""
    values = demo(changes).model_dump(mode="json")
    values["search"] = {path: values["search"][path] for path in ("model.hidden_size", "model.H_cycles")}
    return SearchSpace.model_validate(values)


@pytest.mark.parametrize(("fidelity", "length"), [("train_flops", 2e13), ("steps", 2e3), ("epochs", 2e2), ("seconds", 600.0)])
def test_the_number_grows_with_the_length_and_shrinks_with_the_forms(fidelity: str, length: float) -> None:
    one, thrice, whole = (chosen(small(fidelity=fidelity, budget={"per_trial": length * factor})) for factor in (1, 3, 50))
    assert one is not None
    assert thrice is not None
    assert whole is not None
    assert one > LEAST
    assert thrice == pytest.approx(3 * one, rel=0.05)
    assert chosen(small(fidelity=fidelity, budget={"per_trial": length * 50}), forms=[10.0]) == pytest.approx(whole / 10, rel=0.05)


def votes(space: SearchSpace) -> Any:
    return space.base.get("evaluation", {}).get("votes")


def test_many_forms_are_asked_for_few_votes_and_the_cost_counts_them() -> None:
    long = small(budget={"per_trial": 1e15})
    space, subset = filled(long, cost_of, Facts(), examples=MANY, forms=[1001.0])
    few, _ = filled(long, cost_of, Facts(), examples=MANY, forms=[float(VOTES)])
    assert subset is not None
    assert (votes(space), votes(few)) == (VOTES, None), "where there are no more forms nothing is left out"
    assert number(space) == number(few)
    assert f"each by {VOTES} votes" in subset.text
    own = small(budget={"per_trial": 1e15}, base={"evaluation": {"votes": 8}})
    assert number(filled(own, cost_of, Facts(), examples=MANY, forms=[1001.0])[0]) == pytest.approx(4 * number(few), rel=0.01)
    every = small(budget={"per_trial": 1e15}, base={"evaluation": {"votes": "all"}})
    assert votes(filled(every, cost_of, Facts(), examples=MANY, forms=[1001.0])[0]) == "all"
    searched = demo({"search": {"evaluation.votes": {"type": "choice", "values": [4, 8]}}, "budget": {"per_trial": 1e15}})
    found = filled(searched, cost_of, Facts(), examples=MANY, forms=[1001.0])[1]
    assert found is not None
    assert found.votes == 8


def test_votes_are_kept_by_a_resume_and_an_old_sweep_has_all(tmp_path: Path) -> None:
    before = demo({"budget": {"per_trial": 1e13}})
    begun, _ = filled(before, cost_of, Facts(), examples=MANY, forms=[1001.0])
    dump_yaml(tmp_path / SWEEP_FILE, {"space": begun.model_dump(mode="json")})
    resumed = begun_space(tmp_path, before)
    assert votes(resumed) == VOTES
    check_resumable(begun, resumed)
    dump_yaml(tmp_path / SWEEP_FILE, {"space": before.model_dump(mode="json")})
    assert votes(begun_space(tmp_path, before)) is None


def test_all_votes_are_the_same_run_as_before_there_was_a_number() -> None:
    def digest(**evaluation: Any) -> str:
        values = {"data": {"folder": "x"}, "training": {"steps": 1}, "evaluation": evaluation}
        return RunConfig.model_validate(values).network_digest()

    assert digest() == digest(votes=None) == digest(votes="all") != digest(votes=8)


def test_a_resume_keeps_the_number_and_an_old_sweep_has_none(tmp_path: Path) -> None:
    before = demo({"budget": {"per_trial": 1e13}})
    begun, _ = filled(before, cost_of, Facts(), examples=MANY)
    dump_yaml(tmp_path / SWEEP_FILE, {"space": begun.model_dump(mode="json")})
    resumed = begun_space(tmp_path, demo({"budget": {"per_trial": 5e13}}))
    assert number(resumed) == number(begun) != chosen(demo({"budget": {"per_trial": 5e13}}))
    check_resumable(begun, resumed)
    other = begun_space(tmp_path, demo({"base": {"evaluation": {"max_examples": 7}}}))
    assert diff_frozen(begun, other) == f"base.evaluation.max_examples: {number(begun)} -> 7"
    dump_yaml(tmp_path / SWEEP_FILE, {"space": before.model_dump(mode="json")})
    assert number(begun_space(tmp_path, before)) is None


def test_rungs_are_scored_on_it_and_confirmations_on_all(tmp_path: Path) -> None:
    space, _ = filled(demo({"confirm": {"top": 1, "seeds": 2}}), cost_of, Facts(), examples=MANY, forms=[1001.0])
    simulator = Simulator(space, tmp_path)
    search = simulator.run().search
    assert len(events_of(tmp_path)) > 40
    for order in simulator.orders:
        is_fresh = search.state.trials[order.trial].is_confirmation
        assert order.config.evaluation.max_examples == (None if is_fresh else number(space))
        assert order.config.evaluation.most_votes == (None if is_fresh else VOTES)

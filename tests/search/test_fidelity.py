"""What a trial's length may be counted in, and what is turned down before it takes a slot."""

from typing import Any

import pytest
from search_simulator import FakeCost, cost_of
from space_cases import DEMO

from trm.config.files import merged
from trm.errors import ConfigError
from trm.search.planning.preflight import preflight
from trm.search.planning.survey import Survey
from trm.search.space.candidates import Candidate, Facts, Rejected, Resolver
from trm.search.space.space import SearchSpace

PARAMS = {"model.mlp_t": True, "model.hidden_size": 64, "model.H_cycles": 1, "optim.lr": 1e-3}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "asha": {"eta": 3, "rungs": 2},
    "successive_halving": {"eta": 3, "rungs": 2},
    "hyperband": {"eta": 3, "rungs": 2},
    "median": {"rungs": 3},
}


def space(fidelity: str, per_trial: float, **changes: Any) -> SearchSpace:
    return SearchSpace.model_validate({**merged(DEMO, {"budget": {"per_trial": per_trial}}), "fidelity": fidelity, **changes})


def facts() -> Facts:
    known = Facts(epoch_rows=1000.0)
    for flops in (1e9, 4e9, 16e9):
        known.speeds.observe(flops, 100, 100 * flops / 10e9)
    return known


def candidate(resolver: Resolver, params: dict[str, Any] = PARAMS) -> Candidate:
    found = resolver.resolve(params)
    assert isinstance(found, Candidate)
    return found


@pytest.mark.parametrize(
    ("fidelity", "per_trial", "steps"),
    [("steps", 900, (300, 900)), ("epochs", 64.0, (334, 1000)), ("train_flops", 2e13, None), ("seconds", 600, None)],
)
def test_a_trial_is_as_long_as_its_fidelity_says(fidelity: str, per_trial: float, steps: tuple[int, ...] | None) -> None:
    one = candidate(Resolver(space(fidelity, per_trial), cost_of, facts()))
    flops = cost_of(one.config).step_flops
    step = {"steps": 1.0, "epochs": 64 / 1000, "train_flops": flops, "seconds": flops / 10e9}[fidelity]
    assert one.step_amount == pytest.approx(step)
    assert one.rung_steps == (steps or tuple(-int(-share * per_trial // step) for share in (1 / 3, 1)))
    assert one.max_steps == one.config.training.steps
    assert one.config.optim.lr_warmup_steps == min(50, int(0.03 * one.max_steps))


def test_the_constraint_on_steps_is_about_the_last_rung_of_any_fidelity() -> None:
    found = Resolver(space("steps", 900, constraints=["max_steps < 900"]), cost_of).resolve(PARAMS)
    assert found == Rejected(PARAMS, "max_steps < 900")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(("fidelity", "enough"), [("steps", 300), ("epochs", 20.0), ("train_flops", 4e12), ("seconds", 400)])
def test_the_first_of_several_rungs_must_suit_everyone(scheduler: str, fidelity: str, enough: float) -> None:
    made = space(fidelity, enough, scheduler={**SCHEDULERS[scheduler], "type": scheduler})
    found = preflight(Survey(made, cost_of, facts()))
    assert found.dearest.rung_steps[0] >= 100
    with pytest.raises(ConfigError, match="first rung must give every configuration 100 steps") as error:
        preflight(Survey(space(fidelity, enough / 50, scheduler={**SCHEDULERS[scheduler], "type": scheduler}), cost_of, facts()))
    assert "step_gflops" not in error.value.remedy, "none is so cheap"
    with pytest.raises(ConfigError, match="first rung must give every configuration 100 steps") as error:
        preflight(Survey(space(fidelity, enough / 5, scheduler={**SCHEDULERS[scheduler], "type": scheduler}), cost_of, facts()))
    assert ("step_gflops" in error.value.remedy) == (fidelity in ("train_flops", "seconds"))


def sized(memory_bytes: int, checkpoint_bytes: int) -> Any:
    return lambda config: FakeCost(1e9 * config.model.H_cycles, 1000, memory_bytes * config.model.H_cycles, checkpoint_bytes)


def test_what_cannot_fit_is_turned_down_by_a_named_rule() -> None:
    known = facts()
    resolver = Resolver(space("steps", 900), sized(3 * 10**9, 10**9), known)
    large = {**PARAMS, "model.H_cycles": 3}
    assert candidate(resolver, large).memory_bytes == 9 * 10**9
    known.memory.device(8 * 10**9)
    assert resolver.resolve(large) == Rejected(large, "predicted memory <= 8 GB, what a worker may use")
    known.memory.ran_out(6 * 10**9)
    assert resolver.resolve(large) == Rejected(large, "predicted memory < 6 GB, at which a configuration ran out of it")
    assert candidate(resolver).memory_bytes == 3 * 10**9
    known.disk_bytes = 19 * 10**8
    assert resolver.resolve(PARAMS) == Rejected(PARAMS, "checkpoint <= 950 MB, half of what is free on the disk")
    known.disk_bytes = 2 * 10**9
    assert candidate(resolver).checkpoint_bytes == 10**9


def test_a_space_that_fits_nowhere_says_so() -> None:
    known = facts()
    known.memory.device(10**9)
    with pytest.raises(ConfigError, match=r"empty: none of .* broke: predicted memory <= 1 GB, what a worker may use"):
        preflight(Survey(space("steps", 900), sized(3 * 10**9, 10**9), known))


def test_constraints_may_name_memory_and_checkpoint() -> None:
    made = space("steps", 900, constraints=["memory_bytes <= 4e9", "checkpoint_bytes < 2e9"])
    resolver = Resolver(made, sized(3 * 10**9, 10**9))
    assert isinstance(resolver.resolve(PARAMS), Candidate)
    assert resolver.resolve({**PARAMS, "model.H_cycles": 2}) == Rejected({**PARAMS, "model.H_cycles": 2}, "memory_bytes <= 4e9")

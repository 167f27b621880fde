"""Search spaces: what a person may write, what it means, and that every sample is a valid run."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import cost_of
from space_cases import DEMO, demo, load

from trm.config.files import dump_yaml
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.errors import ConfigError, SweepError
from trm.models.cost import run_cost
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob
from trm.search.samplers.gaussian_process import GaussianProcess
from trm.search.samplers.sampler import SamplerSettings
from trm.search.samplers.surrogate import Surrogate
from trm.search.samplers.tpe import TPE
from trm.search.schedulers.asha import Asha
from trm.search.schedulers.halving import Hyperband
from trm.search.schedulers.scheduler import SchedulerSettings
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.enumeration import all_params, corner_params, random_params, space_size
from trm.search.space.loading import load_space
from trm.search.space.resume import check_resumable, diff_frozen
from trm.sweeps.folder import SWEEP_FILE, begun_space

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
SUDOKU = DataShape(81, 11, 1)
SHAPES = {"sudoku4x4": DataShape(16, 6, 1), "sudoku9x9": SUDOKU, "sudoku_extreme": SUDOKU, "maze_hard": DataShape(900, 6, 1)}


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_sample_of_every_shipped_space_is_a_valid_run(path: Path) -> None:
    space = load_space(path)
    shape = next((SHAPES[name] for name in SHAPES if space.name.startswith(name)), DataShape(900, 12, 1000))
    resolver = Resolver(space, lambda config: run_cost(config, shape))
    generator = random.Random(1)
    draws = [random_params(space, generator) for _ in range(60)]
    points = [space.complete(point) for point in space.start_points]
    found = [resolver.resolve(params) for params in [*draws, *itertools.islice(corner_params(space, 40), 40), *points]]
    good = [one for one in found if isinstance(one, Candidate)]
    assert len(good) >= 20
    assert all(isinstance(one, Candidate) for one in found[len(found) - len(points) :])
    for one in good:
        assert RunConfig.model_validate(one.config.model_dump(mode="json")) == one.config
        assert one.config.training.steps == one.max_steps
        assert one.config.optim.lr_warmup_steps <= 0.03 * one.max_steps
        assert one.config.optim.ema_warmup


def test_a_trial_is_a_complete_configuration_with_the_sweeps_rules(tmp_path: Path) -> None:
    space = load(tmp_path, {"base": {"optim": {"lr_warmup_steps": 2000}, "training": {"epochs": 5.0}}})
    params = {"model.mlp_t": False, "model.pos_encodings": "rope", "model.hidden_size": 32, "model.H_cycles": 3, "optim.lr": 1e-3}
    config = space.run_config(params, seed=7, folder="/data/x", max_steps=1000)
    assert (config.data.folder, config.data.recipe, config.seed) == ("/data/x", None, 7)
    assert (config.model.H_cycles, config.model.hidden_size, config.model.pos_encodings) == (3, 32, "rope")
    assert (config.training.steps, config.training.epochs, config.training.train_flops) == (1000, None, None)
    assert config.optim.lr_warmup_steps == 30
    assert config.optim.ema_warmup
    assert space.run_config(params, seed=7, max_steps=1_000_000).optim.lr_warmup_steps == 2000


def test_evaluation_steps_are_fixed_when_halting_is_searched() -> None:
    space = demo({"search": {"model.halt_max_steps": {"type": "choice", "values": [4, 16]}}})
    for halting in (4, 16):
        assert space.run_config({"model.halt_max_steps": halting}, seed=0, max_steps=500).evaluation.steps == 16
    given_steps = demo(
        {"search": {"model.halt_max_steps": {"type": "int", "low": 4, "high": 8}}, "base": {"evaluation": {"steps": 6}}}
    )
    assert given_steps.run_config({"model.halt_max_steps": 8}, seed=0, max_steps=500).evaluation.steps == 6


def open_space(folder: Path, sections: dict[str, Any] | None = None) -> Path:
    """File of a space that leaves open whatever is not named."""
    dump_yaml(folder / "open.yaml", {key: value for key, value in DEMO.items() if key != "scheduler"} | (sections or {}))
    return folder / "open.yaml"


def test_overrides_reach_knobs_with_dotted_names(tmp_path: Path) -> None:
    space = load(
        tmp_path, None, "search.optim.lr.low=1e-3", "budget.trials=40", "search.model.H_cycles=null", "sampler=random", "seed=5"
    )
    lr = space.search["optim.lr"]
    assert isinstance(lr, FloatKnob)
    assert lr.low == 1e-3
    assert "model.H_cycles" not in space.search
    assert (space.budget.trials, space.sampler.type, space.seed) == (40, "random", 5)


@pytest.mark.parametrize(
    ("changes", "overrides", "sampler", "scheduler"),
    [
        ({}, ("sampler.moves=16",), Surrogate(moves=16), Asha()),
        ({"objective": {"against": ["params"]}}, ("sampler.candidates=3",), TPE(candidates=3), Asha()),
        ({"start_points": [{"model.mlp_t": True}]}, ("scheduler.eta=3",), Surrogate(), Asha(eta=3)),
        ({"sampler": "gp"}, ("sampler.startup_trials=4",), GaussianProcess(startup_trials=4), Asha()),
        ({}, ("scheduler=hyperband", "scheduler.eta=4"), Surrogate(), Hyperband(eta=4)),
    ],
)
def test_settings_of_which_no_kind_is_named_are_of_the_default(
    tmp_path: Path, changes: dict[str, Any], overrides: tuple[str, ...], sampler: SamplerSettings, scheduler: SchedulerSettings
) -> None:
    space = load_space(open_space(tmp_path, changes), overrides)
    assert (space.sampler, space.scheduler) == (sampler, scheduler)
    assert (space.base_point is None) == ("start_points" in changes)


def test_settings_that_the_default_lacks_are_told_its_own(tmp_path: Path) -> None:
    path = open_space(tmp_path)
    with pytest.raises(ConfigError, match=r"sampler.moevs is not a key; did you mean sampler.moves\?"):
        load_space(path, ["sampler.moevs=3"])
    with pytest.raises(ConfigError, match=r"sampler.candidates goes with type tpe, not surrogate"):
        load_space(path, ["sampler.candidates=3"])
    assert load_space(path, ["sampler.candidates=3"], rules=4).sampler == TPE(candidates=3), "the default of then"


def test_who_samples_and_stops_is_as_it_began_where_the_file_leaves_it_open(tmp_path: Path) -> None:
    begun = load_space(open_space(tmp_path, {"sampler": {"type": "tpe", "startup_trials": 8}, "scheduler": {"eta": 3, "rungs": 2}}))
    dump_yaml(tmp_path / SWEEP_FILE, {"space": begun.model_dump(mode="json")})
    path = open_space(tmp_path)
    resumed = begun_space(tmp_path, load_space(path))
    check_resumable(begun, resumed)
    assert resumed.sampler == begun.sampler
    assert diff_frozen(begun, begun_space(tmp_path, load_space(path, ["sampler.moves=8"]))) is not None


@pytest.mark.parametrize(("overrides", "confirms"), [(("scheduler=pbt",), False), (("sampler=carried", "scheduler=none"), True)])
def test_what_follows_from_who_samples_and_stops_follows_on_a_resume(
    tmp_path: Path, overrides: tuple[str, ...], confirms: bool
) -> None:
    lr = {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}
    path = open_space(tmp_path, {"search": lr, "budget": {"trials": 30, "per_trial": 1e13}})
    begun = load_space(path, overrides)
    dump_yaml(tmp_path / SWEEP_FILE, {"space": begun.model_dump(mode="json")})
    resumed = begun_space(tmp_path, load_space(path))
    check_resumable(begun, resumed)
    assert (resumed.confirm is not None, begun.confirm) == (confirms, resumed.confirm)
    if not confirms:
        with pytest.raises(ConfigError, match="confirm trains a configuration anew"):
            begun_space(tmp_path, load_space(path, ["confirm.top=2"]))


def test_nested_knobs_are_the_dotted_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    dump_yaml(
        path,
        {**DEMO, "search": {"optim": {"lr": DEMO["search"]["optim.lr"]}, "model": {"H_cycles": DEMO["search"]["model.H_cycles"]}}},
    )
    assert sorted(load_space(path).search) == ["model.H_cycles", "optim.lr"]


def test_a_base_may_be_a_recipe_and_changes_to_it(tmp_path: Path) -> None:
    dump_yaml(
        tmp_path / "recipe.yaml",
        {"data": {"recipe": "x.yaml"}, "model": {"H_cycles": 2, "L_cycles": 4}, "training": {"epochs": 9}, "seed": 3},
    )
    values = {key: value for key, value in DEMO.items() if key not in ("data", "base", "constraints")}
    values["search"] = {"optim.lr": DEMO["search"]["optim.lr"]}
    dump_yaml(tmp_path / "a.yaml", {**values, "base": "recipe.yaml"})
    dump_yaml(
        tmp_path / "b.yaml", {**values, "base": {"recipe": "recipe.yaml", "model": {"L_cycles": 6}}, "data": {"recipe": "y.yaml"}}
    )
    plain, changed = load_space(tmp_path / "a.yaml"), load_space(tmp_path / "b.yaml", ["base.model.H_cycles=1"])
    assert plain.data.recipe == "x.yaml"
    assert plain.base == {"model": {"H_cycles": 2, "L_cycles": 4}, "training": {"epochs": 9}}
    assert changed.data.recipe == "y.yaml"
    assert changed.base["model"] == {"H_cycles": 1, "L_cycles": 6}
    with pytest.raises(ConfigError, match=r"recipee.yaml does not exist; did you mean .*recipe.yaml"):
        load_space(tmp_path / "a.yaml", ["base=recipee.yaml"])


def test_a_base_may_be_what_a_run_wrote(tmp_path: Path) -> None:
    run = RunConfig.model_validate({"data": {"folder": "there"}, "training": {"steps": 9}, "seed": 4})
    dump_yaml(tmp_path / "config.yaml", run.model_dump(mode="json"))
    values = {
        **{key: value for key, value in DEMO.items() if key not in ("data", "constraints")},
        "base": {"recipe": "config.yaml"},
    }
    dump_yaml(tmp_path / "space.yaml", {**values, "search": {"optim.lr": DEMO["search"]["optim.lr"]}})
    space = load_space(tmp_path / "space.yaml")
    assert space.run_config({"optim.lr": run.optim.lr}, seed=0, folder="there").model == run.model
    dump_yaml(tmp_path / "config.yaml", run.model_dump(mode="json") | {"imports": ["lab.nets"]})
    with pytest.raises(ConfigError, match=r"config.yaml has imports lab.nets, .*; set imports: \[lab.nets\] beside `base`$"):
        load_space(tmp_path / "space.yaml")
    with pytest.raises(ConfigError, match=r"imports: lab.nets is no module that Python finds here"):  # so it is imported
        load_space(tmp_path / "space.yaml", ["imports=[lab.nets]"])


def test_a_resolved_space_reads_back_equal(tmp_path: Path) -> None:
    space = load(tmp_path, {"start_points": [{"model.mlp_t": True}]})
    dump_yaml(tmp_path / "sweep.yaml", space.model_dump(mode="json"))
    again = load_space(tmp_path / "sweep.yaml")
    assert again == space
    assert again.frozen_digest() == space.frozen_digest()


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("budget.trials=99", None),
        ("budget.wall_clock_seconds=60", None),
        ("resources.slots=4", None),
        ("tracking.uri=sqlite:///x.db", None),
        ("keep.best=3", None),
        ("search.optim.lr.high=5e-3", "search.optim.lr.high: 0.004 -> 0.005"),
        ("base.model.H_cycles=1", "base.model.H_cycles: None -> 1"),
        ("constraints=[]", "constraints: ['hidden_size % num_heads == 0'] -> []"),
        ("seed=1", "seed: 0 -> 1"),
        ("sampler=random", "sampler.type: 'surrogate' -> 'random'"),
    ],
)
def test_what_may_change_on_resume_and_what_may_not(tmp_path: Path, override: str, difference: str | None) -> None:
    old, new = load(tmp_path), load(tmp_path, None, override)
    assert diff_frozen(old, new) == difference
    assert (old.frozen_digest() == new.frozen_digest()) == (difference is None)
    if difference is None:
        check_resumable(old, new)
    else:
        with pytest.raises(SweepError, match="was started with another search space"):
            check_resumable(old, new)


def test_digests_of_candidates_tell_runs_apart_not_parameters() -> None:
    space = demo({"search": {"model.expansion": {"type": "choice", "values": [3.0, 4.0, 8.0]}}})
    resolver = Resolver(space, cost_of)

    def digest(expansion: float) -> str:
        params = {"model.mlp_t": True, "model.hidden_size": 64, "model.H_cycles": 1, "optim.lr": 1e-3, "model.expansion": expansion}
        found = resolver.resolve(params)
        assert isinstance(found, Candidate)
        return found.digest

    assert digest(3.0) == digest(4.0)
    assert digest(3.0) != digest(8.0)


@given(st.integers(0, 2**32))
def test_draws_lie_in_their_knobs_and_keep_conditions(seed: int) -> None:
    space = demo()
    params = random_params(space, random.Random(seed))
    assert all(space.search[path].contains(value) for path, value in params.items())
    assert ("model.pos_encodings" in params) == (params["model.mlp_t"] is False)
    assert params.keys() | {"model.pos_encodings"} == space.search.keys()
    assert space.complete(params) == params


def test_every_value_of_a_log_int_is_drawn() -> None:
    space = demo({"search": {"model.L_cycles": {"type": "int", "low": 1, "high": 4, "log": True}}})
    generator = random.Random(0)
    drawn = [random_params(space, generator)["model.L_cycles"] for _ in range(400)]
    assert set(drawn) == {1, 2, 3, 4}
    assert drawn.count(1) > drawn.count(4)


def test_a_finite_space_is_walked_through_once_each() -> None:
    space = demo({"search": {"optim.lr": {"high": 3e-4}}})
    walked = [tuple(sorted(params.items())) for params in all_params(space)]
    assert len(walked) == len(set(walked)) == 2 * 2 * 3
    assert space_size(space) == 12
    assert space_size(demo()) == float("inf")


def test_knobs_contain_what_they_may_be() -> None:
    assert IntKnob(type="int", low=2, high=8, step=3).contains(5)
    assert not IntKnob(type="int", low=2, high=8, step=3).contains(4)
    assert not IntKnob(type="int", low=0, high=1).contains(True)
    assert FloatKnob(type="float", low=0, high=1).contains(1)
    assert not FloatKnob(type="float", low=0, high=1).contains(1.01)
    assert not ChoiceKnob(type="choice", values=[1, 2]).contains(True)
    assert ChoiceKnob(type="choice", values=[None, "a"]).contains(None)

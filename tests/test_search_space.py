"""Search spaces: what a person may write, what is refused and how, and that every sample is a valid run."""

import itertools
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_simulator import FakeCost, cost_of

from trm.config import DataShape, RunConfig
from trm.config_files import dump_yaml, merged
from trm.errors import ConfigError, SweepError
from trm.search.candidates import Candidate, Resolver
from trm.search.draws import all_params, corner_params, random_params, space_size
from trm.search.knobs import ChoiceKnob, FloatKnob, IntKnob
from trm.search.preflight import check_space, preflight
from trm.search.rungs import Rungs, first_rung_need
from trm.search.settings import Asha, NoScheduler
from trm.search.space import SearchSpace, check_resumable, diff_frozen, load_space
from trm.training.cost import run_cost

SPACES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.yaml"))
SHAPES = {"sudoku4x4": DataShape(16, 6, 1), "sudoku9x9": DataShape(81, 11, 1), "maze_hard": DataShape(900, 6, 1)}
DEMO: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "datasets/sudoku4x4.yaml"},
    "base": {
        "model": {"puzzle_emb_len": 1, "halt_max_steps": 8, "pos_encodings": "none", "num_heads": 2, "hidden_size": 64},
        "optim": {"lr_warmup_steps": 50, "lr": 0.001},
        "training": {"global_batch_size": 64},
    },
    "search": {
        "model.mlp_t": {"type": "choice", "values": [True, False]},
        "model.pos_encodings": {"type": "choice", "values": ["rope"], "when": {"model.mlp_t": False}},
        "model.hidden_size": {"type": "choice", "values": [32, 64]},
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 3e-4, "high": 4e-3, "log": True},
    },
    "constraints": ["hidden_size % num_heads == 0"],
    "budget": {"trials": 16, "per_trial": 1e13},
    "scheduler": {"type": "asha", "eta": 3, "rungs": 2},
}


def write(tmp_path: Path, changes: Mapping[str, Any] | None = None) -> Path:
    path = tmp_path / "demo.yaml"
    dump_yaml(path, merged(DEMO, changes or {}))
    return path


def load(tmp_path: Path, changes: Mapping[str, Any] | None = None, *overrides: str) -> SearchSpace:
    return load_space(write(tmp_path, changes), overrides)


def demo(changes: Mapping[str, Any] | None = None) -> SearchSpace:
    return SearchSpace.model_validate(merged(DEMO, changes or {}))


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
        assert one.rung_steps[0] >= first_rung_need(one.config.optim.lr_warmup_steps, one.config.model.halt_max_steps)


def test_the_shipped_demo_passes_its_preflight() -> None:
    demo = next(path for path in SPACES if path.stem == "sudoku4x4")
    found = preflight(load_space(demo), partial(run_cost, shape=SHAPES["sudoku4x4"]))
    assert found.spread <= 16
    assert found.accepted >= 0.5 * found.drawn


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgt": {}}, r"demo.yaml: budgt is not a key; did you mean budget\?$"),
        ({"budget": {"trails": 3}}, r"budget.trails is not a key; did you mean budget.trials\?$"),
        ({"search": {"optim.lr": {"hihg": 1}}}, r"search.optim.lr.hihg is not a key; did you mean search.optim.lr.high\?$"),
        ({"search": {"optim.lr": {"low": "tiny"}}}, r"search.optim.lr.low must be a number, got 'tiny'; give a number$"),
        (
            {"search": {"optim.lr": {"type": "flaot"}}},
            r"search.optim.lr.type must be one of int, float, choice, got 'flaot'; did you mean float",
        ),
        ({"search": {"optim.lr": {"low": 1}}}, r"low must be <= high, got low 1.0 and high 0.004; exchange them$"),
        ({"search": {"optim.lr": {"low": 0.0}}}, r"log needs low > 0, got 0.0"),
        (
            {"search": {"optim.lr": {"high": 20.0}}},
            r"search.optim.lr reaches 20.0, but optim.lr must be <= 10, got 20.0; narrow",
        ),
        ({"search": {"model.H_cycles": {"low": 0}}}, r"search.model.H_cycles reaches 0, but model.H_cycles must be >= 1"),
        (
            {"search": {"model.H_cycles": {"step": 3}}},
            r"high must be low plus a multiple of step: 1 \+ k \* 3 never gives 3; try high 1$",
        ),
        ({"search": {"model.hidden_size": {"values": [32, "64"]}}}, r"search.model.hidden_size reaches '64'"),
        ({"search": {"model.mlp_t": {"values": [0, 1]}}}, r"search.model.mlp_t reaches 0, but .*another kind"),
        (
            {"search": {"model.hidden_size": {"values": []}}},
            r"search.model.hidden_size.values must have at least 1 entries, got \[\]; add one$",
        ),
        ({"search": {"model.hidden_size": {"values": [32, 32]}}}, r"values must differ, 32 stands there twice; remove one$"),
        (
            {"search": {"model.L_cycles": {"type": "float", "low": 1, "high": 2}}},
            r"model.L_cycles takes no fractions; use type int or choice$",
        ),
        (
            {"search": {"model.H_cyles": {"type": "int", "low": 1, "high": 2}}},
            r"model.H_cyles is not .*; did you mean model.H_cycles\?$",
        ),
        (
            {"search": {"weight_decay": {"type": "float", "low": 0, "high": 1}}},
            r"weight_decay is not .*; did you mean optim.weight_decay\?$",
        ),
        ({"search": {"model": {"type": "int", "low": 1, "high": 2}}}, r"model is a section of the run configuration, not a knob"),
        ({"search": {"seed": {"type": "int", "low": 1, "high": 2}}}, r"seed cannot be searched; a trial's seed follows from"),
        (
            {"search": {"data.folder": {"type": "choice", "values": ["a"]}}},
            r"data.folder cannot be searched; a sweep has one data set",
        ),
        ({"search": {"training.steps": {"type": "int", "low": 1, "high": 2}}}, r"the length of a trial is budget.per_trial"),
        (
            {"search": {"model.pos_encodings": {"when": {"model.mlp": False}}}},
            r"when names model.mlp, which is not searched; did you mean model.mlp_t",
        ),
        (
            {"search": {"model.pos_encodings": {"when": {"model.mlp_t": "no"}}}},
            r"when wants model.mlp_t = 'no', which the knob never is",
        ),
        (
            {"search": {"model.mlp_t": {"when": {"model.pos_encodings": "rope"}}}},
            r"the conditions of model.mlp_t, model.pos_encodings go in a circle",
        ),
        ({"search": {"model.H_cycles": {"when": {"model.H_cycles": 2}}}}, r"the conditions of model.H_cycles go in a circle"),
        (
            {"constraints": ["hidden_sise % 2 == 0"]},
            r"constraint .* uses hidden_sise, which is not a name; did you mean hidden_size\?$",
        ),
        ({"constraints": ["import os"]}, r"constraint 'import os' is not an expression"),
        ({"base": {"model": {"H_cyles": 2}}}, r"base.model.H_cyles is not a key; did you mean model.H_cycles\?$"),
        ({"base": {"model": {"H_cycles": "two"}}}, r"base.model.H_cycles must be a whole number, got 'two'"),
        ({"base": {"data": {}}}, r"base.data does not belong there; put it beside `base`$"),
        ({"start_points": [{"optim.rl": 1e-3}]}, r"start_points.0.optim.rl is not a searched path; did you mean optim.lr\?$"),
        (
            {"start_points": [{"optim.lr": 1.0}]},
            r"start_points.0.optim.lr is 1.0, outside 0.0003 .. 0.004; give a value of the knob$",
        ),
        ({"start_points": [{"model.hidden_size": 48}]}, r"start_points.0.model.hidden_size is 48, outside \[32, 64\]"),
        (
            {"start_points": [{"model.mlp_t": True, "model.pos_encodings": "rope"}]},
            r"pos_encodings is searched only when model.mlp_t = False",
        ),
        (
            {"start_points": [{"model.mlp_t": False}]},
            r"pos_encodings is left out, and the base's value is 'none', outside \['rope'\]",
        ),
        (
            {"budget": {"trials": None}},
            r"budget: a sweep needs an end, got none of trials, train_flops, gpu_hours, wall_clock_seconds; set one of them$",
        ),
        ({"budget": {"per_trial": 0}}, r"budget.per_trial must be > 0, got 0"),
        ({"sampler": "tpee"}, r"sampler.type must be one of .*, got 'tpee'; did you mean tpe\?$"),
        ({"scheduler": {"type": "asha", "eta": 1}}, r"scheduler.eta must be >= 2, got 1"),
        ({"name": "a/b"}, r"name must match .*, got 'a/b'"),
    ],
)
def test_what_is_wrong_is_said_with_its_path_and_a_remedy(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, changes)


def test_several_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"demo.yaml has 2 problems:\n  budget.trials must be >= 1, got 0; .*\n  seeed is not a key"
    ):
        load(tmp_path, {"seeed": 1, "budget": {"trials": 0}})


def test_a_contradictory_space_names_the_rule_broken_most() -> None:
    space = demo({"constraints": ["H_cycles <= 4", "hidden_size > 64", "H_cycles * 2 == 5"]})
    with pytest.raises(
        ConfigError, match=r"the search space is empty: none of \d+ draws kept every rule, \d+ of them broke: hidden_size > 64"
    ):
        check_space(space)
    with pytest.raises(ConfigError, match=r"broke: step_gflops < 0"):
        check_space(demo({"constraints": ["step_gflops < 0"]}), cost_of)
    check_space(demo({"constraints": ["step_gflops < 0"]}))


def test_a_space_whose_runs_can_never_be_valid_says_why() -> None:
    space = demo({"base": {"model": {"num_heads": 3}}, "constraints": [], "search": {"model.mlp_t": {"values": [False]}}})
    with pytest.raises(ConfigError, match=r"broke: run configuration: .*hidden_size must divide by num_heads"):
        check_space(space)


def test_a_start_point_that_breaks_a_constraint_is_named() -> None:
    space = demo({"constraints": ["H_cycles < 3"], "start_points": [{"model.mlp_t": True, "model.H_cycles": 3}]})
    with pytest.raises(ConfigError, match=r"start_points.0 breaks H_cycles < 3"):
        check_space(space)


def test_the_first_rung_must_suit_the_dearest_configuration() -> None:
    with pytest.raises(
        ConfigError, match=r"must give every configuration 100 steps.*model.H_cycles=3.* makes only \d+ of \d+ there; raise"
    ):
        preflight(demo({"budget": {"per_trial": 1e12}}), cost_of)


def test_the_remedy_of_a_short_first_rung_helps() -> None:
    with pytest.raises(ConfigError) as caught:
        preflight(demo({"budget": {"per_trial": 1e12}}), cost_of)
    flops = float(caught.value.remedy.split("per_trial to ")[1].split(",")[0])
    preflight(demo({"budget": {"per_trial": flops * 1.01}}), cost_of)


def test_one_rung_needs_no_first_rung() -> None:
    values = {**merged(DEMO, {"budget": {"per_trial": 1.0}}), "scheduler": "none"}
    found = preflight(SearchSpace.model_validate(values), cost_of)
    assert found.dearest.rung_steps == (1,)


def test_preflight_finds_the_dearest_and_the_cheapest() -> None:
    found = preflight(demo(), cost_of)
    assert found.dearest.params["model.H_cycles"] == 3
    assert found.dearest.params["model.hidden_size"] == 64
    assert found.cheapest.params["model.H_cycles"] == 1
    assert found.cheapest.params["model.hidden_size"] == 32
    assert found.spread == pytest.approx(5 / 3 * 4)


def test_rungs_are_geometric_and_end_at_the_budget() -> None:
    rungs = Rungs.of(Asha(eta=3, rungs=3), 9e12)
    assert rungs.amounts == pytest.approx((1e12, 3e12, 9e12))
    assert rungs.steps(1e10) == (100, 300, 900)
    assert rungs.steps(3e10) == (34, 100, 300)
    assert Rungs.of(NoScheduler(), 5.0).amounts == (5.0,)


@given(st.floats(1e6, 1e15), st.floats(1e9, 1e20), st.integers(2, 5), st.integers(1, 5))
def test_rung_steps_buy_at_least_their_flops_and_never_shrink(step: float, budget: float, eta: int, count: int) -> None:
    rungs = Rungs.of(Asha(eta=eta, rungs=count), budget)
    steps = rungs.steps(step)
    assert list(steps) == sorted(steps)
    for flops, number in zip(rungs.amounts, steps, strict=True):
        assert number >= 1
        assert number * step >= flops * (1 - 1e-9)
        assert (number - 1) * step < flops


def test_first_rung_need_is_the_largest_of_three() -> None:
    assert first_rung_need(0, 1) == 100
    assert first_rung_need(80, 8) == 160
    assert first_rung_need(10, 64) == 256


def test_overrides_reach_knobs_with_dotted_names(tmp_path: Path) -> None:
    space = load(
        tmp_path, None, "search.optim.lr.low=1e-3", "budget.trials=40", "search.model.H_cycles=null", "sampler=random", "seed=5"
    )
    lr = space.search["optim.lr"]
    assert isinstance(lr, FloatKnob)
    assert lr.low == 1e-3
    assert "model.H_cycles" not in space.search
    assert (space.budget.trials, space.sampler.type, space.seed) == (40, "random", 5)


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
        ("sampler=random", "sampler.type: 'tpe' -> 'random'"),
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


def test_brute_force_needs_a_finite_space() -> None:
    with pytest.raises(ConfigError, match="walks through at most 20000 configurations, the space has inf"):
        check_space(demo({"sampler": {"type": "brute_force"}}))
    check_space(demo({"sampler": {"type": "brute_force"}, "search": {"optim.lr": {"high": 3e-4}}}))


def test_a_cost_that_is_no_cost_is_refused() -> None:
    with pytest.raises(ConfigError, match="costs 0 FLOPs"):
        check_space(demo(), lambda config: FakeCost(0, 1))

"""What is wrong with a search space, and how it is said."""

from pathlib import Path
from typing import Any

import pytest
from search_simulator import FakeCost, cost_of
from space_cases import demo, load

from trm.errors import ConfigError
from trm.search.planning.survey import check_space


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgt": {}}, r"demo.yaml: budgt is not a key; did you mean budget\?$"),
        ({"base": {"tracking": {"enabled": False}}}, r"base.tracking does not belong there; put it beside `base`$"),
        ({"base": {"evaluation": {"split": "none"}}}, r"base.evaluation.split cannot be none in a sweep.*; remove it$"),
        (
            {"search": {"tracking.enabled": {"type": "choice", "values": [True, False]}}},
            r"search: tracking.enabled cannot be searched; it decides no result; put it beside `search`$",
        ),
        (
            {"search": {"training.log_every_steps": {"type": "int", "low": 1, "high": 2}}},
            r"search: training.log_every_steps cannot be searched; how often a curve has a point changes no result; put it into",
        ),
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
            r"high must be low plus a multiple of step: 1 \+ k \* 3 never gives 3; try search.model.H_cycles.high 1$",
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
            {"search": {"optim.type": {"type": "choice", "values": ["adam_atan2", "adamv"]}}},
            r"search.optim.type reaches 'adamv', but optim.type must be one of adam_atan2, adamw, .*, got 'adamv'; mend it",
        ),
        (
            {"search": {"training.loss": {"type": "choice", "values": ["stablemax", "softmx"]}}},
            r"search.training.loss reaches 'softmx', but training.loss must be one of stablemax, softmax, got 'softmx'; mend it",
        ),
        (
            {"base": {"training": {"loss": 3}}},
            r"base.training.loss.type must be one of stablemax, softmax, got 3; choose one of them$",
        ),
        ({"base": {"model": {"architecture": None}}}, r"architecture must be one of trm, single_z, .*, got null; choose"),
        ({"base": {"optim": {"type": ["adamw"]}}}, r"optim.type must be one of adam_atan2, adamw, .*, got \['adamw'\]; choose"),
        ({"imports": [1]}, r"imports.0 must be text, got 1; give text$"),
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
            r"data.folder cannot be searched; search data.recipe, or fields of one \(data.num_aug, data.train\)$",
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
        ({"base": {"model": {"H_cyles": 2}}}, r"base.model.H_cyles is not a key; did you mean base.model.H_cycles\?$"),
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


def test_brute_force_needs_a_finite_space() -> None:
    with pytest.raises(ConfigError, match="walks through at most 20000 configurations, the space has inf"):
        check_space(demo({"sampler": {"type": "brute_force"}}))
    check_space(demo({"sampler": {"type": "brute_force"}, "search": {"optim.lr": {"high": 3e-4}}}))


def test_a_cost_that_is_no_cost_is_refused() -> None:
    with pytest.raises(ConfigError, match="costs 0 FLOPs"):
        check_space(demo(), lambda config: FakeCost(0, 1))


@pytest.mark.parametrize("override", ["budget.trials", "search.model.H_cycles.high", "base.optim.lr_warmup_steps"])
def test_a_whole_number_that_no_table_holds_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"must be <= 9223372036854775807, got 9{20,}"):
        load(tmp_path, None, f"{override}={'9' * 40}")

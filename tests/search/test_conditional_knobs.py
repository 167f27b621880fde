"""Knobs of union members: searched only where the tag has their value, by every sampler, and refused where nobody has them."""

from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator, curve
from sweep_cases import space

from trm.config.base import RECORDED
from trm.config.leaves import without
from trm.config.meaning import idle
from trm.config.optimizers import AdamATan2Config, AdamWConfig
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.enumeration import all_params
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace

KNOBS: dict[str, Any] = {
    "optim.eps": {"type": "choice", "values": [1e-8, 1e-6]},
    "optim.type": {"type": "choice", "values": ["adam_atan2", "adamw"]},
    "optim.beta1": {"type": "choice", "values": [0.8, 0.9]},
    "optim.lr": {"low": 1e-3, "high": 1e-3},
}


def test_a_field_is_searched_where_its_member_is() -> None:
    made = space({"search": KNOBS, "base": {"optim": {"eps": 1e-7}}})
    assert made.search["optim.eps"].when == {"optim.type": "adamw"}
    assert made.search["optim.beta1"].when == {}
    found = list(all_params(made))
    assert len(found) == len({str(params) for params in found})
    resolver = Resolver(made, None)
    for params in found:
        assert ("optim.eps" in params) == (params["optim.type"] == "adamw")
        candidate = resolver.resolve(params)
        assert isinstance(candidate, Candidate)
        assert isinstance(candidate.config.optim, AdamWConfig if params["optim.type"] == "adamw" else AdamATan2Config)
        assert candidate.config.optim.beta1 == params["optim.beta1"]
    digests = [resolver.resolve(params).digest for params in found]
    assert len(set(digests)) == len(found)


def test_a_base_may_hold_the_fields_of_every_member() -> None:
    made = space({"search": {"optim.type": KNOBS["optim.type"]}, "base": {"optim": {"eps": 1e-7, "beta1": 0.7}}})
    configs = {tag: made.run_config({"optim.type": tag}, seed=0).optim for tag in ("adam_atan2", "adamw")}
    assert configs["adamw"].model_dump()["eps"] == 1e-7
    assert {config.model_dump()["beta1"] for config in configs.values()} == {0.7}


NEEDING: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"optim.schedule": ["constant", "linear"], "optim.lr_decay_share": [0.1, 0.3]}, {}, {"optim.schedule": "linear"}),
    (
        {"model.architecture": ["trm", "cnn", "direct"], "training.carry_noise": [0.0, 0.1]},
        {"model": {"halt_exploration_prob": 0.3}, "training": {"hypotheses": 2}},
        {"model.architecture": "trm"},
    ),
    ({"model.ffn": ["swiglu", "normed_swiglu"], "model.activation": ["silu", "gelu"]}, {}, {"model.ffn": "swiglu"}),
    # hrm has no answers_after: there the weight counts, and where trm has no halting head the base's value stands
    (
        {"model.architecture": ["trm", "hrm"], "model.answers_after": ["last_cycle", "every_cycle"], "model.halt_bias": [-5, -3]},
        {},
        {},
    ),
]


@pytest.mark.parametrize(("values", "base", "when"), NEEDING)
def test_what_needs_a_value_of_another_knob_is_searched_there(
    values: dict[str, list[Any]], base: dict[str, Any], when: dict[str, Any]
) -> None:
    """Every draw is a run, and the base's values stand where they change something."""
    search = {path: {"type": "choice", "values": them} for path, them in values.items()}
    made = space({"search": {"optim.lr": KNOBS["optim.lr"], **search}, "base": base})
    needing = list(values)[-1]
    assert made.search[needing].when == when
    resolver = Resolver(made, None)
    found = [resolver.resolve(params) for params in all_params(made)]
    assert [one for one in found if not isinstance(one, Candidate)] == []
    begun = SearchSpace.model_validate({**made.model_dump(), "search": search}, context=RECORDED)
    assert begun.search[needing].when == {}, "a sweep that began before there were such conditions goes on without"


def test_a_trial_says_nothing_that_changes_nothing() -> None:
    """Also of what the base alone decides: else `train.py` would refuse the winner's configuration."""
    made = space(
        {
            "search": {"optim.type": {"type": "choice", "values": ["adamw", "muon"]}},
            "base": {"optim": {"eps": 1e-7, "rest": "adam_atan2", "rest_lr": 1e-3}},
        }
    )
    found = {tag: made.run_config({"optim.type": tag}, seed=0).optim.model_dump() for tag in ("adamw", "muon")}
    assert [found["adamw"]["eps"], found["muon"]["eps"], found["muon"]["rest_lr"]] == [1e-7, 1e-8, 1e-3]
    before = made.run_config({"optim.type": "muon"}, seed=0, rules=3).optim.model_dump()
    assert before["eps"] == 1e-7, "a sweep that began by earlier rules goes on with what it has"


def test_what_changes_nothing_counts_in_no_digest() -> None:
    """So that a trial is known again whether its configuration still says it or not."""
    for needless in (
        {"model": {"conv_kernel": 3, "grid_width": 4, "path_noise_in": "always"}},
        {"optim": {"schedule": "constant", "lr_decay_share": 0.5, "lr_min_ratio": 0.1}},
        {"start": {"heads": "fresh", "trained_on": "x"}, "data": {"folder": "x", "difficulty": {"floor": 0.5}}},
    ):
        run = {"data": {"folder": "x"}, "training": {"steps": 1}, **needless}
        said = {one.path for one in idle(run)}
        bare = run
        for path in said:
            bare = without(bare, path)
        assert len(said) >= 2
        assert RunConfig.model_validate(run).network_digest() == RunConfig.model_validate(bare).network_digest()


def test_steps_are_searched_beside_networks_that_have_one_alone() -> None:
    """Trials with steps are all evaluated by the most of them; one whose network carries nothing by its one."""
    architecture = {"type": "choice", "values": ["trm", "cnn", "direct"]}
    steps = {"type": "int", "low": 2, "high": 8, "when": {"model.architecture": ["trm"]}}
    made = SearchSpace.model_validate(
        {
            "name": "kinds",
            "data": {"recipe": "datasets/sudoku4x4.yaml"},
            "search": {"model.architecture": architecture, "model.halt_max_steps": steps},
            "budget": {"trials": 4, "per_trial": 1e12},
        }
    )
    resolver = Resolver(made, None)
    found = [
        resolver.resolve(params)
        for params in (
            {"model.architecture": "trm", "model.halt_max_steps": 4},
            {"model.architecture": "cnn"},
            {"model.architecture": "direct"},
        )
    ]
    assert [one.config.evaluation.steps for one in found if isinstance(one, Candidate)] == [8, None, None]


def test_several_unions_are_searched_in_one_space(tmp_path: Path) -> None:
    """Architecture, optimizer and loss, fields of each where they belong; sampler, rungs and journal take them as they are."""
    knobs = {
        **KNOBS,
        "model.architecture": {"type": "choice", "values": ["trm", "single_z", "latents"]},
        "model.num_latents": {"type": "int", "low": 2, "high": 4},
        "training.loss": {"type": "choice", "values": ["stablemax", "softmax"]},
    }
    made = space({"search": knobs, "base": {"optim": {"lr_warmup_steps": 0}}})

    def outcome(order: LegOrder) -> dict[str, Any]:
        assert order.config.model.architecture in ("trm", "single_z", "latents")
        return curve(order)

    search = Simulator(made, tmp_path, outcome=outcome, slots=2).run().search
    asked = [trial.params for trial in search.state.searched]
    assert {params["optim.type"] for params in asked} == {"adam_atan2", "adamw"}
    assert len({params["model.architecture"] for params in asked}) > 1
    for params in asked:
        assert ("model.num_latents" in params) == (params["model.architecture"] == "latents")
        assert ("optim.eps" in params) == (params["optim.type"] == "adamw")


def test_a_file_may_nest_a_union_and_its_knobs(tmp_path: Path) -> None:
    (tmp_path / "nested.yaml").write_text(
        "data: {recipe: datasets/sudoku4x4.yaml}\nbudget: {trials: 3, per_trial: 1e9}\n"
        "search:\n  optim:\n    type: {type: choice, values: [adamw, adam_atan2]}\n    eps: {type: choice, values: [1e-8]}\n"
    )
    made = load_space(tmp_path / "nested.yaml")
    assert {path: knob.when for path, knob in made.search.items()} == {"optim.type": {}, "optim.eps": {"optim.type": "adamw"}}


def test_rules_about_a_field_hold_where_it_is() -> None:
    made = space({"search": KNOBS, "constraints": ["eps >= 1e-7", "optim_type == 'adamw' or beta1 > 0.85"]})
    kept = [params for params in all_params(made) if isinstance(Resolver(made, None).resolve(params), Candidate)]
    assert {params.get("optim.eps") for params in kept} == {None, 1e-6}
    assert {params["optim.beta1"] for params in kept if params["optim.type"] == "adam_atan2"} == {0.9}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"search": {"optim.eps": KNOBS["optim.eps"]}},
            "adamw or muon or nadam or radam, and the base has adam_atan2; drop it, or set base.optim.type",
        ),
        (
            {"search": {**KNOBS, "optim.type": {"type": "choice", "values": ["adam_atan2"]}}},
            "search.optim.eps is a field of optim.type adamw or muon or nadam or radam, and search.optim.type has adam_atan2",
        ),
        (
            {"search": {**KNOBS, "optim.eps": {**KNOBS["optim.eps"], "when": {"optim.type": "adam_atan2"}}}},
            "search.optim.eps is a field of optim.type adamw or muon or nadam or radam, and its `when` wants 'adam_atan2'",
        ),
        (
            {"search": {"start.heads": {"type": "choice", "values": ["keep", "fresh"]}}},
            "changes nothing where the base has start.from null",
        ),
        ({"base": {"evaluation": {"rollouts": 4}}}, "base.evaluation.rollouts 4 changes nothing with evaluation.noise 0.0"),
        (
            {"search": {"evaluation.rollouts": {"type": "int", "low": 1, "high": 4}}},
            "give evaluation.noise a value with which it does",
        ),
        ({"base": {"model": {"conv_kernel": 3}}}, "base.model.conv_kernel 3 changes nothing with model.ffn swiglu; leave it out"),
        (
            {
                "search": {"model.architecture": {"type": "choice", "values": ["trm", "cnn"]}},
                "base": {"training": {"kernels": "fused"}},
            },
            "training.kernels fused does not do model.architecture cnn, which search.model.architecture has",
        ),
        (
            {"search": {"start.digest": {"type": "choice", "values": ["0" * 64]}}},
            "start.digest cannot be searched",
        ),
        ({"search": {"optim.epps": KNOBS["optim.eps"]}}, r"optim.epps is not in the run configuration; did you mean optim.eps\?"),
        ({"search": {"training.loss.type": KNOBS["optim.type"]}}, "training.loss.type is written training.loss"),
        ({"constraints": ["epps < 1"]}, r"uses epps, which is not a name; did you mean eps\?"),
        ({"base": {"optim": {"momentum": 0.9}}, "search": KNOBS}, "base.optim.momentum goes with type muon or sgd, not adam_atan2"),
        (
            {"search": {**KNOBS, "optim.type": {"type": "choice", "values": ["adamw", "adagrad"]}}},
            "reaches 'adagrad', but optim.type must be one",
        ),
    ],
)
def test_a_field_of_no_member_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        space(changes)

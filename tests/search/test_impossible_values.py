"""What no trial can have, whatever the other knobs are, is refused before a sweep begins: by value, rule and remedy."""

from pathlib import Path
from typing import Any

import pytest
from space_cases import DEMO, load, write

from trm.config.base import RECORDED
from trm.config.files import merged
from trm.errors import ConfigError
from trm.search.planning.possible import require_possible
from trm.search.planning.survey import Survey, check_space
from trm.search.space.candidates import Rejected, Resolver
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace

PLAIN: dict[str, Any] = {"optim.lr": {"type": "choice", "values": [1e-3, 2e-3]}}
CNN: dict[str, Any] = {"model": {"architecture": "cnn"}}


def choice(*values: Any) -> dict[str, Any]:
    return {"type": "choice", "values": list(values)}


def space(search: dict[str, Any], base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """DEMO with another base and other knobs."""
    return {**DEMO, "constraints": [], "base": base, "search": {**PLAIN, **search}, **changes}


@pytest.mark.parametrize(
    ("search", "base", "message"),
    [
        (
            {"model.num_heads": choice(2, 5)},
            {"model": {"hidden_size": 16, "pos_encodings": "none"}},
            r"search.model.num_heads reaches 5, which no trial can have.*: 16 by 5; remove 5 from search.model.num_heads, or try ",
        ),
        (
            {"model.num_heads": {"type": "int", "low": 1, "high": 5}},
            {"model": {"hidden_size": 16, "pos_encodings": "none"}},
            r"search.model.num_heads reaches 5, .*; narrow search.model.num_heads, or try search.model.num_heads: "
            r"{type: choice, values: \[4\]}$",
        ),
        (
            {"optim.type": choice("adam_atan2", "muon")},
            CNN,
            r"search.optim.type reaches muon, .* those of cnn have none; remove muon from search.optim.type, or set "
            r"search.optim.type.values: \[adamw\], or another base.model.architecture$",
        ),
        (
            {"optim.type": choice("adam_atan2", "muon")},
            {"optim": {"trained": "heads"}},
            r"search.optim.type reaches muon, .*optim.trained heads trains none",
        ),
        (
            {"model.architecture": choice("trm", "cnn")},
            {"optim": {"type": "muon"}},
            r"search.model.architecture reaches cnn, .*; remove cnn .* or set base.optim.type: adamw",
        ),
        (
            {"optim.trained": choice("all", "puzzle_embedding"), "model.puzzle_emb_ndim": choice(0, 8)},
            {"model": {"gradient": "last_call", "puzzle_emb_len": 0}},
            r"reaches puzzle_embedding, .*puzzle_emb_ndim is 0; .* brings no gradient there; remove puzzle_embedding from .*, or "
            r"set search.optim.trained.values: \[all\] or heads; and set base.model.gradient: one_step",
        ),
        (
            {"training.depth_schedule": choice(None, "0.5:1x1 0.5:2x2")},
            {},
            r"reaches 0.5:1x1 0.5:2x2, .* must end with the network",
        ),
        (
            {"training.global_batch_size": choice(32, 30)},
            {},
            r"search.training.global_batch_size reaches 30, .*with 4 workers; remove 30 .*, or take multiples of 4$",
        ),
    ],
)
def test_a_value_that_no_trial_can_have_is_refused(search: dict[str, Any], base: dict[str, Any], message: str) -> None:
    made = SearchSpace.model_validate(space(search, base, resources={"workers": 4 if "30" in message else 1}))
    with pytest.raises(ConfigError, match=message):
        check_space(made)
    check_space(made, is_begun=True)  # a sweep that began with it goes on


def test_what_some_trial_can_have_is_not_refused() -> None:
    beside = {"model.architecture": choice("trm", "cnn"), "optim.type": choice("adam_atan2", "muon")}
    check_space(SearchSpace.model_validate(space(beside, {})))
    rare = {"training.depth_schedule": choice(None, "0.5:1x2 0.5:3x6"), "model.H_cycles": {"type": "int", "low": 1, "high": 6}}
    rare["model.L_cycles"] = {"type": "int", "low": 1, "high": 6}
    for extra in ({}, {"optim.lr": {"type": "float", "low": 1e-4, "high": 1e-3}}):  # walked through, and drawn
        check_space(SearchSpace.model_validate(space({**rare, **extra}, {})))


def test_a_value_is_looked_at_where_its_knob_is_searched() -> None:
    search = {"model.mlp_t": choice(True, False), "model.num_heads": {**choice(2, 5), "when": {"model.mlp_t": False}}}
    search["optim.lr"] = {"type": "float", "low": 1e-4, "high": 1e-3}
    made = SearchSpace.model_validate(space(search, {"model": {"hidden_size": 16, "pos_encodings": "none"}}))
    with pytest.raises(ConfigError, match=r"search.model.num_heads reaches 5"):
        require_possible(made, Resolver(made, None))


def test_a_constraint_may_rule_a_value_out() -> None:
    check_space(SearchSpace.model_validate(space({"model.H_cycles": choice(1, 2)}, {}, constraints=["H_cycles < 2"])))


def test_shares_that_do_not_add_up_are_told_where_the_text_is_read(tmp_path: Path) -> None:
    wrong = {"search": {"training.depth_schedule": choice(None, "0.5:1x1 0.4:2x2")}}
    with pytest.raises(ConfigError, match=r"reaches '0.5:1x1 0.4:2x2', but .* which is 0.9; mend it there: make them parts of"):
        load(tmp_path, wrong)
    recorded = SearchSpace.model_validate(merged(DEMO, wrong), context=RECORDED)
    for begun in (recorded, load_space(write(tmp_path, wrong), rules=3)):  # a sweep that began with it turns it down, as ever
        assert isinstance(Resolver(begun, None).resolve({"training.depth_schedule": "0.5:1x1 0.4:2x2"}), Rejected)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (
            {"model": {"gradient": 0}},
            r"^no trial can be, whatever the knobs are: model: gradient must be .*, got 0; set base.model.gradient: 1, or ",
        ),
        ({**CNN, "optim": {"type": "muon"}}, r"^no trial can be, .*; set base.optim.type: adamw, or another base.model.arch"),
    ],
)
def test_what_lies_in_the_base_alone_is_said_with_the_rule_s_own_remedy(base: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_space(SearchSpace.model_validate(space({}, base)))


def test_rules_are_counted_whatever_the_values_that_break_them() -> None:
    base = {"model": {"pos_encodings": "none", "mlp_t": False, "hidden_size": 16}}
    made = SearchSpace.model_validate(space({"model.num_heads": choice(3, 5, 6, 7)}, base))
    with pytest.raises(
        ConfigError,
        match=r"none of 8 draws kept every rule, 8 of them broke: .* 16 by 3; try search.model.num_heads.values: \[2\]$",
    ):
        check_space(made)
    with pytest.raises(ConfigError, match=r"8 of them broke"):
        _ = Survey(made, lambda config: pytest.fail("it costs nothing")).everyone

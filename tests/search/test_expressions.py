"""Constraints: they compute what they say, and can do nothing else."""

import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.config.data import DataConfig
from trm.config.leaves import exists
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.errors import ConfigError
from trm.search.knobs.constraint_names import known_names, leaf_names, names_of
from trm.search.knobs.constraints import Constraint

NAMES = frozenset({"a", "b", "text", "nothing"})
VALUES = {"a": 6, "b": 4.5, "text": "rope", "nothing": None}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a % 3 == 0", True),
        ("a % 4 == 0", False),
        ("4 < b <= 4.5 < a", True),
        ("text in ('rope', 'none') and not a > 7", True),
        ("text == 'learned' or a ** 2 == 36", True),
        ("max(a, b) - min(a, b) == 1.5", True),
        ("ceil(b) == 5 and floor(b) == 4 and abs(-a) == 6 and log2(8) == 3", True),
        ("nothing is None", True),
        ("(a if text == 'rope' else b) == 6", True),
        ("a // 4 + -a == -5", True),
    ],
)
def test_an_expression_computes_what_it_says(text: str, kept: bool) -> None:
    assert Constraint(text, NAMES).is_kept(VALUES) is kept


@given(
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.sampled_from([("<", operator.lt), ("<=", operator.le), ("==", operator.eq), ("!=", operator.ne), (">", operator.gt)]),
    st.sampled_from([("+", operator.add), ("-", operator.sub), ("*", operator.mul)]),
)
def test_it_agrees_with_python(
    left: int, right: int, compare: tuple[str, Callable[[int, int], bool]], combine: tuple[str, Callable[[int, int], int]]
) -> None:
    constraint = Constraint(f"(a {combine[0]} b) {compare[0]} b", frozenset({"a", "b"}))
    assert constraint.is_kept({"a": left, "b": right}) is compare[1](combine[1](left, right), right)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "a.__class__",
        "[x for x in (1,)]",
        "(lambda: 1)()",
        "open('x')",
        "a[0]",
        "f'{a}'",
        "max(a, key=b) > 1",
        "a := 3",
        "{1: 2}",
        "*a",
        "print(a)",
        "max.real",
        "a; b",
        "",
        "a ==",
        "1" * 600,
        "(" * 300 + "a" + ")" * 300,
    ],
)
def test_anything_else_is_refused_before_it_runs(text: str) -> None:
    with pytest.raises(ConfigError, match="constraint"):
        Constraint(text, NAMES)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9 ** 9 ** 9 > 1", "too large"),
        ("a ** -b ** 99999 > 1", "cannot be computed"),
        ("(0 - a) ** 0.5 > 1", "not a real number"),
        ("a / (a - 6) > 1", "division by zero"),
        ("nothing < 3", "cannot be computed with nothing=None"),
        ("text * 3 == text", "needs numbers"),
        ("a % 3", "gives 0, not true or false"),
    ],
)
def test_what_cannot_be_computed_names_the_rule_and_the_values(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        Constraint(text, NAMES).is_kept(VALUES)
    assert repr(text) in str(caught.value)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"uses num_head, which is not a name; did you mean num_heads\?"):
        Constraint("num_head > 1", known_names())


def test_the_names_are_every_leaf_once_and_what_follows_from_them() -> None:
    config = RunConfig(data=DataConfig(recipe="x"), training=TrainingConfig(steps=5, global_batch_size=64))
    values = names_of(config)
    tags = {"optim.type": "adam_atan2", "model.architecture": "trm", "training.loss": "stablemax"}
    own = {name for name, path in leaf_names().items() if exists(path, tags)}
    assert values.keys() == own | {"head_size", "depth"}
    assert not {"eps", "num_latents", "H_layers", "rest_lr", "widths"} & own, "adam_atan2 and trm lack these"
    assert (values["hidden_size"], values["lr"], values["beta2"], values["global_batch_size"]) == (512, 1e-4, 0.95, 64)
    assert (values["head_size"], values["depth"]) == (64, 21)
    assert (values["puzzle_emb_ndim"], values["evaluation_steps"], values["batch_size"]) == (512, 16, 64)
    assert {"step_flops", "step_gflops", "params_count", "max_steps"} <= known_names()
    assert not {"steps", "train_flops", "seed", "recipe"} & known_names()

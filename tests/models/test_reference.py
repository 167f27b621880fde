"""Published key names, both ways."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from trm import parity
from trm.config.architectures import AnyNetwork
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.errors import CheckpointError
from trm.models.build import build_network, from_published, to_published
from trm.models.recursive.reference import unwrapped

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_the_published_checkpoint(name: str) -> None:
    case = parity.read_case(GOLDEN / name)
    state, table = from_published(case.weights, case.model, case.shape)
    back = to_published(state, table, case.model)
    assert back.keys() == case.weights.keys()
    assert all(torch.equal(back[key], value) for key, value in case.weights.items())


PREFIXES = (
    "_orig_mod.model.inner.",
    "model.inner.",
    "",
    "module.",
    "module._orig_mod.",
    "_orig_mod.module.model.inner.",
    "net.trm.",
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_wrapping_of_the_keys_is_read(prefix: str) -> None:
    case = parity.read_case(GOLDEN / "trm_mlp")
    state, table = from_published(case.weights, case.model, case.shape)
    again, same = from_published(to_published(state, table, case.model, prefix=prefix), case.model, case.shape)
    assert all(torch.equal(again[key], value) for key, value in state.items())
    assert torch.equal(same, table)


def test_what_a_network_makes_itself_is_passed_over_and_said() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    more = {"_orig_mod.model.inner.rotary_emb.cos_cached": torch.zeros(3), "n_averaged": torch.tensor(7)}
    found = unwrapped({f"module.{key}": value for key, value in case.weights.items()} | more)
    assert found.tensors.keys() == unwrapped(case.weights).tensors.keys()
    assert found.notes == (
        "passes over rotary_emb.cos_cached, which a network makes itself",
        "passes over n_averaged, which is no weight",
    )


def test_averaged_weights_come_before_plain_ones_and_two_networks_are_refused() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    plain = {f"online_model.{key}": torch.zeros_like(value) for key, value in case.weights.items()}
    found = unwrapped(plain | {f"ema_model.{key}": value for key, value in case.weights.items()})
    wanted = unwrapped(case.weights).tensors
    assert all(torch.equal(found.tensors[key], value) for key, value in wanted.items())
    with pytest.raises(CheckpointError, match=r"one network: 'a\._orig_mod.* and 'b\._orig_mod.* are the same weight of two"):
        unwrapped({f"{name}.{key}": value for name in "ab" for key, value in case.weights.items()})


def test_what_does_not_fit_is_named() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    short = {key: value for key, value in case.weights.items() if not key.endswith("lm_head.weight")}
    with pytest.raises(CheckpointError, match=r"in the checkpoint lm_head\.weight missing"):
        from_published(short, case.model, case.shape)
    with pytest.raises(CheckpointError, match="extra unknown"):
        from_published(case.weights | {"extra": torch.zeros(2)}, case.model, case.shape)
    with pytest.raises(CheckpointError, match=r"embedding_weight is \(6, 32\), not \(7, 32\).*the data's vocabulary 6 \(not 7\)"):
        from_published(case.weights, case.model, DataShape(16, 7, 5))


def network_of(fields: dict[str, Any]) -> AnyNetwork:
    """The network with these fields."""
    return RunConfig.model_validate({"data": {"folder": "x"}, "model": fields, "training": {"steps": 1}}).model


def test_six_latents_are_told_of_where_one_was_meant() -> None:
    case = parity.read_case(GOLDEN / "hier6")
    fields = case.model.model_dump(exclude={"architecture", "num_latents"})
    with pytest.raises(CheckpointError, match=r"--set model\.architecture=latents --set model\.num_latents=6$"):
        from_published(case.weights, network_of(fields), case.shape)


WRONG = [
    ("trm_attention", {"hidden_size": 64}, "--set model.hidden_size=32"),
    ("trm_attention", {"L_layers": 4}, "--set model.L_layers=2"),
    ("trm_attention", {"expansion": 16.0}, "--set model.expansion="),
    ("trm_attention", {"mlp_t": True, "pos_encodings": "none"}, "--set model.mlp_t=false"),
    ("trm_attention", {"pos_encodings": "learned"}, "--set model.pos_encodings=rope"),
    ("trm_attention", {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0}, "--set model.puzzle_emb_ndim="),
    ("trm_mlp", {"mlp_t": False}, "--set model.mlp_t=true"),
    ("trm_mlp", {"puzzle_emb_len": 7}, "--set model.puzzle_emb_len="),
    ("trm_attention", {"architecture": "single_z"}, "--set model.architecture=trm"),
    ("singlez", {"architecture": "trm"}, "--set model.architecture=single_z"),
    ("hier6", {"num_latents": 4}, "--set model.num_latents=6"),
    ("trm_attention", {"networks": "separate"}, "--set model.networks=shared"),
    ("hrm", {"H_layers": 3}, "--set model.H_layers=1"),
    ("hrm", {"L_layers": 3, "hidden_size": 16}, "--set model.L_layers=2 --set model.hidden_size=32"),
    ("transformer", {"H_layers": 1}, "--set model.H_layers=2"),
]


@pytest.mark.parametrize(("name", "change", "remedy"), WRONG)
def test_the_weights_tell_what_the_configuration_would_have_to_say(name: str, change: dict[str, Any], remedy: str) -> None:
    case = parity.read_case(GOLDEN / name)
    wrong = network_of(case.model.model_dump() | change)
    with pytest.raises(CheckpointError) as raised:
        from_published(case.weights, wrong, case.shape)
    assert remedy in str(raised.value)
    settings = re.findall(r"--set model\.(\w+)=(\S+)", str(raised.value))
    mended = network_of(wrong.model_dump() | {key: yaml.safe_load(value) for key, value in settings})
    assert (
        from_published(case.weights, mended, case.shape)[0].keys() == from_published(case.weights, case.model, case.shape)[0].keys()
    )


OTHERS = [
    ("hrm", {}, "--set model.architecture=hrm --set model.H_layers=1 --set model.L_layers=2"),
    ("transformer", {"architecture": "hrm"}, "--set model.architecture=transformer --set model.H_layers=2"),
    ("hrm", {"architecture": "transformer"}, "--set model.architecture=hrm --set model.H_layers=1 --set model.L_layers=2"),
    ("trm_attention", {"architecture": "hrm"}, "--set model.architecture=trm"),
    ("singlez", {"architecture": "transformer"}, "--set model.architecture=single_z"),
]


@pytest.mark.parametrize(("name", "fields", "remedy"), OTHERS)
def test_the_weights_tell_of_another_network(name: str, fields: dict[str, Any], remedy: str) -> None:
    case = parity.read_case(GOLDEN / name)
    wrong = network_of({"hidden_size": 32, "num_heads": 2, "puzzle_emb_len": 1, **fields})
    with pytest.raises(CheckpointError) as raised:
        from_published(case.weights, wrong, case.shape)
    assert remedy in str(raised.value)


def test_heads_that_leave_channels_over_are_told_of() -> None:
    wrong = network_of({"architecture": "transformer", "hidden_size": 32, "num_heads": 2, "H_layers": 1})
    odd = network_of({"architecture": "transformer", "hidden_size": 32, "num_heads": 3, "H_layers": 1})
    shape = DataShape(9, 6, 1)
    weights = to_published(build_network(odd, shape, dtype=torch.float32).state_dict(), torch.zeros(1, 32), odd)
    with pytest.raises(CheckpointError, match=r"the width of attention, num_heads \* \(hidden_size // num_heads\), 30 \(not 32\)"):
        from_published(weights, wrong, shape)


def test_a_puzzle_table_of_any_number_of_rows_is_read() -> None:
    case = parity.read_case(GOLDEN / "trm_attention")
    _, table = from_published(case.weights, case.model, DataShape(case.shape.seq_len, case.shape.vocab_size, 999))
    assert table is not None
    assert len(table) == case.shape.num_puzzle_identifiers

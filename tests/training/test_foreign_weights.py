"""Weights of other programs are opened however they were wrapped, or refused with the reason; nothing they claim is believed."""

import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases
from safetensors.torch import save_file
from torch import Tensor, nn

from trm.errors import CheckpointError
from trm.models.build import to_published
from trm.models.recursive.reference import PUZZLE_KEY
from trm.training.foreign_weights import read_foreign
from trm.training.weights import read_foreign_weights

CONFIG = cases.config_of()
SHAPE = cases.manifest().shape


def network(prefix: str = "_orig_mod.model.inner.", seed: int = 0) -> dict[str, Tensor]:
    """A network's random weights by published key."""
    state = cases.begin(CONFIG)
    draws = torch.Generator().manual_seed(seed)
    held = {name: torch.randn(value.shape, generator=draws) for name, value in state.model.state_dict().items()}
    assert state.table is not None
    return to_published(held, torch.randn(state.table.weight.shape, generator=draws), CONFIG.model, prefix=prefix)


WEIGHTS = network("")
LAYOUTS: dict[str, Any] = {
    "bare": lambda: network(),
    "data parallel": lambda: network("module."),
    "data parallel over compiled": lambda: network("module._orig_mod.model.inner."),
    "ordered": lambda: OrderedDict(network()),
    "parameters": lambda: {key: nn.Parameter(value) for key, value in network().items()},
    "state_dict": lambda: {"state_dict": network(), "epoch": 3},
    "model and step": lambda: {"model": network("module."), "step": 7, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}},
    "model_state_dict": lambda: {"model_state_dict": network(), "args": None},
    "nested": lambda: {"checkpoint": {"net": {"weights": network()}}},
    "average beside": lambda: {"model": network(seed=1), "ema": network()},
    "average of the trained weights": lambda: {
        "model": network() | {"_orig_mod.model.inner.lm_head.weight": torch.zeros(4, 16)},
        "ema_state": {key: value for key, value in network("").items() if not key.endswith(("_init", PUZZLE_KEY))},
    },
    "with scratch": lambda: network() | {"_orig_mod.model.inner.puzzle_emb.local_weights": torch.zeros(8, 16)},
}


HEAD = {"model.inner.lm_head.weight": torch.zeros(4, 16)}


@pytest.mark.parametrize(
    "held",
    [{"model": network(), "ema": HEAD}, network() | {f"ema.{key}": value for key, value in HEAD.items()}],
    ids=["nested", "flat"],
)
def test_an_average_of_a_part_is_no_network(tmp_path: Path, held: dict[str, Any]) -> None:
    torch.save(held, tmp_path / "step_7")
    with pytest.raises(
        CheckpointError, match=r"an average must be of the whole network: .* without embed_tokens.* and \d more; save"
    ):
        read_foreign(tmp_path / "step_7")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_of_torch_is_opened_however_it_is_wrapped(tmp_path: Path, layout: str) -> None:
    torch.save(LAYOUTS[layout](), tmp_path / "step_7")
    found = read_foreign(tmp_path / "step_7").tensors
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[key], value) for key, value in WEIGHTS.items())


def test_old_files_of_torch_and_safetensors_are_opened_too(tmp_path: Path) -> None:
    torch.save({"model": network()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(network("module."), tmp_path / "any-name")
    for name in ("old.pt", "any-name"):
        found = read_foreign(tmp_path / name).tensors
        assert all(torch.equal(found[key], value) for key, value in WEIGHTS.items()), name


def test_what_was_passed_over_and_converted_is_said(tmp_path: Path) -> None:
    torch.save({"model": network(seed=1), "ema": network(), "step": 7, "optimizer": {}}, tmp_path / "a.pt")
    assert read_foreign(tmp_path / "a.pt").notes == ("takes ['model'] and, averaged, ['ema']", "passes over step, optimizer")
    torch.save({key: value.bfloat16() for key, value in network().items()}, tmp_path / "b.pt")
    found = read_foreign(tmp_path / "b.pt")
    (note,) = found.notes
    assert "more: bfloat16, and computed with as model.forward_dtype says" in note
    assert all(value.dtype == torch.float32 for value in found.tensors.values())
    assert torch.equal(found.tensors["lm_head.weight"], WEIGHTS["lm_head.weight"].bfloat16().float())


def damaged(change: Callable[[dict[str, Tensor]], Any]) -> Any:
    return change(network(""))


def with_value(number: float) -> Callable[[dict[str, Tensor]], Any]:
    def changed(weights: dict[str, Tensor]) -> Any:
        weights["lm_head.weight"][1, 2] = number
        return weights

    return changed


BAD: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "no number": (with_value(float("nan")), r"must be finite numbers: answer_head of .*bad\.pt"),
    "infinite": (with_value(-float("inf")), r"must be finite numbers: answer_head of .*bad\.pt"),
    "integers": (
        lambda weights: weights | {"lm_head.weight": torch.ones(4, 16, dtype=torch.int64)},
        r"lm_head\.weight .*torch\.int64",
    ),
    "sparse": (
        lambda weights: weights | {"lm_head.weight": torch.ones(4, 16).to_sparse()},
        "stored value by value: lm_head.weight",
    ),
    "one value for many": (
        lambda weights: weights | {PUZZLE_KEY: torch.ones(1).expand(1 << 40, 16)},
        r"stored value by value: puzzle_emb\.weights",
    ),
    "two networks": (lambda weights: {"model": weights, "net": dict(weights)}, r"one network: .* has \['model'\] and \['net'\]"),
    "no network": (lambda weights: {"step": 7, "lr": 0.1}, "holds the keys step, lr"),
    "a list": (lambda weights: [1, 2], "holds a list"),
    "a module": (lambda weights: nn.Linear(2, 2), r"an object of torch\.nn\.modules\.linear\.Linear is in it, and nothing foreign"),
    "another network": (lambda weights: {"fc.weight": torch.ones(2, 2)}, r"missing; fc\.weight unknown"),
    "HRM": (lambda weights: weights | {"H_level.layers.0.mlp.down_proj.weight": torch.ones(2)}, r"H_level\.layers\.0\S+ unknown"),
    "a table without rows": (
        lambda weights: weights | {PUZZLE_KEY: torch.zeros(0, 16)},
        r"puzzle_emb\.weights is \(0, 16\), not \(9",
    ),
    "another size": (lambda weights: weights | {"lm_head.weight": torch.ones(4, 8)}, r"lm_head\.weight is \(4, 8\), not \(4, 16\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    torch.save(damaged(make), tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=message):
        read_foreign_weights(tmp_path / "bad.pt", CONFIG, SHAPE)


def test_a_file_that_unpacks_to_more_than_it_has_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"model": {"lm_head.weight": torch.zeros(1 << 20)}}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in whole.namelist():
            bomb.writestr(name, whole.read(name))
    assert (tmp_path / "bomb.pt").stat().st_size < 1 << 14
    with pytest.raises(CheckpointError, match=r"has \d+ bytes and unpacks to 4\d{6}"):
        read_foreign(tmp_path / "bomb.pt")
    (tmp_path / "torn.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:-4000])
    with pytest.raises(CheckpointError, match="must be whole"):
        read_foreign(tmp_path / "torn.pt")


def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    claimed = json.dumps({"lm_head.weight": {"dtype": "F32", "shape": [1 << 20, 1 << 12], "data_offsets": [0, 1 << 34]}}).encode()
    (tmp_path / "big.safetensors").write_bytes(len(claimed).to_bytes(8, "little") + claimed + bytes(64))
    with pytest.raises(CheckpointError, match="must be whole"):
        read_foreign(tmp_path / "big.safetensors")


def test_the_rows_of_a_table_are_those_that_it_was_trained_with(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "a.pt")
    found = read_foreign_weights(tmp_path / "a.pt", CONFIG, replace(SHAPE, num_puzzle_identifiers=3))
    assert found.table_rows == SHAPE.num_puzzle_identifiers
    assert found.shape == SHAPE

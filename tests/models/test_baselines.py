"""The baselines: their known sizes, what their cells see of each other, and what is refused."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from trm.config.architectures import AnyNetwork
from trm.config.grid_networks import CellMlpConfig, CnnConfig
from trm.config.networks import DataShape
from trm.config.recursive_networks import DirectConfig
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.models.build import build_network
from trm.models.cell_mlp.arithmetic import weight_sizes
from trm.models.cnn.arithmetic import convolution_sizes, head_sizes
from trm.models.cost import run_cost

NO_TOKENS: dict[str, Any] = {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0}
SHAPE = DataShape(seq_len=25, vocab_size=5, num_puzzle_identifiers=3)


def counted(sizes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(size) for size in sizes.values())


def run_of(**model: Any) -> RunConfig:
    return RunConfig.model_validate({"data": {"folder": "x"}, "model": model, "training": {"steps": 1}})


def test_they_have_the_parameters_of_the_code_that_they_come_from() -> None:
    """Of acharyaanusha's mazes: three channels in, two classes; its cell recursions count the vector that latents start from."""
    config = CnnConfig()
    chain = (3, *config.channels)
    assert chain == (3, 32, 64, 64, 32)
    assert counted(convolution_sizes(chain)) + counted(head_sizes(32, 2)) == 74_850
    assert counted(weight_sizes(CellMlpConfig(), 3, 2)) + 64 == 28_258
    assert counted(weight_sizes(CellMlpConfig(hidden_size=32, convolutions=2), 3, 2)) + 32 == 9_922


def seen(config: AnyNetwork, cell: int) -> Tensor:
    """Cells whose logits change with the token of `cell` within two supervision steps."""
    config = config.model_copy(update=NO_TOKENS)
    network = build_network(config, SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    answers = []
    for token in (1, 2):
        inputs = torch.full((1, SHAPE.seq_len), 3, dtype=torch.int32)
        inputs[0, cell] = token
        latents, _ = network(network.initial_latents(1), inputs, None)
        answers.append(network(latents, inputs, None)[1].logits[0])
    return (answers[0] != answers[1]).any(-1).nonzero().flatten()


def test_a_cell_without_convolutions_sees_nothing_of_the_others() -> None:
    assert seen(CellMlpConfig(hidden_size=16), 12).tolist() == [12]


def test_two_convolutions_see_two_cells_far_and_no_recursion_sees_farther() -> None:
    assert len(seen(CellMlpConfig(hidden_size=16, convolutions=2), 12)) == 25
    corner = [row * 5 + column for row in range(3) for column in range(3)]
    assert seen(CellMlpConfig(hidden_size=16, convolutions=2), 0).tolist() == corner
    assert seen(CnnConfig(hidden_size=16, widths="16"), 0).tolist() == corner


def test_a_direct_transformer_is_one_call() -> None:
    config = DirectConfig(hidden_size=16, num_heads=2, layers=4)
    assert (config.halt_max_steps, config.recursion.depth, config.effective_depth) == (1, 1, 4)
    assert len(seen(config, 3)) == 25


@pytest.mark.parametrize("model", [{"architecture": "cnn"}, {"architecture": "cell_mlp", "convolutions": 2}])
def test_convolutions_need_rows_of_cells(model: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"the puzzles have 12 cells, which has no square root; set grid_width to the cells"):
        run_cost(run_of(**model), DataShape(12, 6, 3))
    assert run_cost(run_of(**model, grid_width=4), DataShape(12, 6, 3)).step_flops > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "cell_mlp", "hidden_size": 30}, "a hidden_size that divides by 4, got 30; try hidden_size 28"),
        ({"architecture": "cnn", "num_heads": 2}, "num_heads"),
        (
            {"architecture": "cnn", "widths": "32-wide"},
            "widths are numbers from 1 to 16384 with - between them, got '32-wide'; write",
        ),
        ({"architecture": "cnn", "widths": [0]}, "numbers from 1 to 16384 .* got '0'"),
        (
            {"architecture": "cnn", "halt_max_steps": 16},
            "cnn carries nothing .* got halt_max_steps 16; leave it out or set halt_max_steps: 1",
        ),
        (
            {"architecture": "direct", "halt_max_steps": 2},
            "direct carries nothing .* got halt_max_steps 2; leave it out or set halt_max_steps: 1",
        ),
    ],
)
def test_what_a_baseline_has_not_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        run_of(**fields)


@pytest.mark.parametrize("architecture", ["cnn", "direct"])
def test_what_carries_nothing_is_asked_once(architecture: str) -> None:
    values = run_of(architecture=architecture).model_dump()
    assert RunConfig.model_validate(values | {"evaluation": {"steps": 1}}).evaluation.steps == 1
    with pytest.raises(ValidationError, match=f"evaluation.steps 4 would ask {architecture} again"):
        RunConfig.model_validate(values | {"evaluation": {"steps": 4}})


def test_kernels_that_are_insisted_on_are_refused() -> None:
    values = run_of(architecture="cnn").model_dump() | {"training": {"steps": 1, "kernels": "fused"}}
    with pytest.raises(ValidationError, match=r"fused does not do model.architecture cnn; set training.kernels: auto"):
        RunConfig.model_validate(values)


def test_what_has_no_effect_changes_no_digest() -> None:
    digests = {run_of(architecture="cell_mlp", **fields).network_digest() for fields in ({}, {"grid_width": 5})}
    digests |= {run_of(architecture="cell_mlp", halt_exploration_prob=0.5).network_digest()}
    assert len(digests) == 1
    assert run_of(architecture="cnn", widths="32-64-64") == run_of(architecture="cnn")
    assert run_of(architecture="cnn", widths=32) == run_of(architecture="cnn", widths=[32])
    assert run_of(architecture="cnn", widths=[32, 64]).network_digest() != run_of(architecture="cnn").network_digest()

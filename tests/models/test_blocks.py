"""Options of a block: what they compute, by their formulas; which go together; which make the same network."""

import itertools
import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.models import gates, layers
from trm.models.cost import run_cost
from trm.models.recursive.network import TinyRecursiveModel

SMALL: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "expansion": 1.0, "puzzle_emb_len": 2}


def drawn(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def run_of(**model: object) -> RunConfig:
    return RunConfig.model_validate({"data": {"folder": "x"}, "model": {**SMALL, **model}, "training": {"steps": 1}})


@pytest.mark.parametrize("axis", [0, -1])
def test_a_normed_swiglu_gates_what_has_no_magnitude(axis: int) -> None:
    gate, up = drawn(3, 4), drawn(3, 4, seed=1)
    found = gates.Gate(eps=1e-9)(gate, up, axis=axis)  # type: ignore[arg-type]
    product = gate * up
    wanted = torch.sigmoid(gate) * product / product.square().mean(axis, keepdim=True).sqrt()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gates.Gate(eps=1e-9)(gate, 1000 * up, axis=axis), wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("activation", "at_two", "at_minus_one"),
    [
        ("silu", 2 / (1 + math.exp(-2)), -1 / (1 + math.e)),
        ("gelu", 1.954597694087775, -0.158808009),
        ("relu", 2.0, 0.0),
        ("relu2", 4.0, 0.0),
    ],
)
def test_activations_have_their_known_values(activation: gates.Activation, at_two: float, at_minus_one: float) -> None:
    found = gates.Gate(activation)(torch.tensor([2.0, -1.0], dtype=torch.float64), torch.tensor([3.0, 3.0]), axis=-1)
    torch.testing.assert_close(found, torch.tensor([3 * at_two, 3 * at_minus_one], dtype=torch.float64), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("positions", [0, 1])
def test_a_short_convolution_is_the_depthwise_one_of_the_published_code(width: int, positions: int) -> None:
    hidden, kernel, bias = drawn(3, 7, 5), drawn(5, 1, width, seed=1), drawn(5, seed=2)
    wanted = functional.conv1d(hidden.transpose(1, 2), kernel, bias, padding=width // 2, groups=5)[..., :7].transpose(1, 2)
    turned = hidden if positions == 1 else hidden.transpose(0, 1)
    found = gates.short_convolution(turned, kernel, bias, positions=positions)  # type: ignore[arg-type]
    torch.testing.assert_close(found if positions == 1 else found.transpose(0, 1), wanted)


def test_a_convolved_block_is_its_formula() -> None:
    x, gate_up, down, kernel, bias = drawn(2, 5, 4), drawn(12, 4), drawn(4, 6), drawn(6, 1, 2), drawn(6)
    gate, up = (x @ gate_up.t()).chunk(2, -1)
    hidden = functional.silu(gate) * up
    before = functional.pad(hidden, (0, 0, 1, 0))[:, :-1]
    update = functional.silu(bias + before * kernel[:, 0, 0] + hidden * kernel[:, 0, 1]) @ down.t()
    wanted = functional.rms_norm(x + update, (4,), eps=1e-5)
    torch.testing.assert_close(layers.residual_conv_swiglu(x, gate_up, down, kernel, bias, positions=1, eps=1e-5), wanted)


def scores(table: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Of one head of 8 channels, query and key (8,) put at every position."""
    length, stacked = len(table), torch.cat((query, key))
    paired = stacked.view(2, 2, 4).transpose(1, 2).reshape(-1)  # the order that `pair_channels` gives weights
    turned = layers.rotate(paired.expand(1, length, 16), table.double(), 2)
    return turned[0, :, :8] @ turned[0, :, 8:].t()


def test_turns_by_row_and_column_make_scores_of_the_way_between_cells() -> None:
    rows, columns = 3, 4
    table = layers.grid_rotary_table(1, rows * columns, columns, 8, 1, 10000.0)
    found = scores(table, drawn(8), drawn(8, seed=1))
    by_way: dict[tuple[int, int], float] = {}
    for a, b in itertools.product(range(rows * columns), repeat=2):
        way = (b // columns - a // columns, b % columns - a % columns)
        assert float(found[1 + a, 1 + b]) == pytest.approx(by_way.setdefault(way, float(found[1 + a, 1 + b])), abs=1e-5)
    assert len({round(value, 4) for value in by_way.values()}) == len(by_way) == (2 * rows - 1) * (2 * columns - 1)
    assert torch.equal(table[0], torch.tensor([1.0, 0.0]).expand(8, 2)), "a puzzle token is not turned"


def test_one_row_of_cells_is_turned_as_far_as_its_columns_say() -> None:
    grid, line = layers.grid_rotary_table(0, 5, 5, 8, 1, 100.0), layers.rotary_table(5, 4, 1, 100.0)
    pairs = grid.view(5, 2, 4, 2)
    assert torch.equal(pairs[:, :, :2, 0], torch.ones(5, 2, 2)), "row 0 turns nothing"
    torch.testing.assert_close(pairs[:, :, 2:], line.view(5, 2, 2, 2))


def test_a_grid_is_a_square_or_told_its_width() -> None:
    config = run_of(pos_encodings="rope2d")
    run_cost(config, DataShape(9, 6, 3))
    with pytest.raises(ConfigError, match=r"the puzzles have 12 cells, which has no square root; set grid_width .*4 for instance"):
        run_cost(config, DataShape(12, 6, 3))
    wide = run_of(pos_encodings="rope2d", grid_width=4)
    run_cost(wide, DataShape(12, 6, 3))
    with pytest.raises(ConfigError, match="have 9 cells, which does not divide by grid_width 4; set grid_width"):
        run_cost(wide, DataShape(9, 6, 3))
    square, table = (
        TinyRecursiveModel(run.model, DataShape(size, 6, 3), dtype=torch.float32).rotary  # type: ignore[arg-type]
        for run, size in ((config, 9), (wide, 12))
    )
    assert square is not None
    assert table is not None
    assert square.shape == (2 + 9, 16, 2)
    assert table.shape == (2 + 12, 16, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pos_encodings": "rope2d", "num_heads": 8}, "rope2d needs a head size that divides by 4: .* is 2; try num_heads 4"),
        ({"pos_encodings": "rope2d", "mlp_t": True}, "so pos_encodings rope2d has no effect; set pos_encodings: none"),
        ({"ffn": "normed_swiglu", "activation": "gelu"}, "has the gate of silu, got activation gelu; set activation: silu"),
        ({"ffn": "conv_swiglu", "conv_kernel": 0}, "greater than or equal to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        run_of(**fields)


def test_options_at_their_defaults_and_without_effect_change_no_digest() -> None:
    plain = run_of().network_digest()
    written = run_of(ffn="swiglu", activation="silu", conv_kernel=2, grid_width=None)
    assert plain == written.network_digest() == run_of(conv_kernel=5).network_digest() == run_of(grid_width=3).network_digest()
    others = [
        run_of(**fields).network_digest()
        for fields in (
            {"ffn": "normed_swiglu"},
            {"ffn": "conv_swiglu"},
            {"ffn": "conv_swiglu", "conv_kernel": 3},
            {"activation": "relu"},
            {"pos_encodings": "rope2d"},
            {"pos_encodings": "rope2d", "grid_width": 3},
        )
    ]
    assert len({plain, *others}) == 1 + len(others)

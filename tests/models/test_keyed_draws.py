"""Draws on the device are functions of key, draw and place, uniform and normal as they claim, and apart from one another."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from trm.data.batches.keyed_random import device_keys
from trm.models.keyed_draws import derived, dropped, normal_quantiles, normals, truncated_quantiles

SIZE = (61, 66)
ROWS = 256
"""256 * 61 * 66: about a million draws."""


def keys_of(seed: int = 1, step: int = 0, rows: int = ROWS) -> Tensor:
    return torch.from_numpy(device_keys(seed, 7, step, np.arange(rows)))


def splitmix64(seed: int, place: int) -> int:
    """As published, in whole numbers without a bound."""
    word = 1 << 64
    state = (seed + (place + 1) * 0x9E3779B97F4A7C15) % word
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % word
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % word
    return state ^ (state >> 31)


def test_draws_are_the_published_generator() -> None:
    assert splitmix64(1234567, 0) == 6457827717110365317  # the reference's own example
    ranks = torch.arange(1 << 16, dtype=torch.float32)  # in place of quantiles: which of them was drawn
    for draw in (0, 3, (1 << 24) - 1):
        drawn = normals(torch.tensor([1234567, -5]), draw, (2, 6), ranks)
        for row, seed in enumerate((1234567, (1 << 64) - 5)):
            for token in range(2):
                for width in range(6):
                    bits = splitmix64(seed, (draw << 40) + 2 * token + width // 4)
                    word = bits >> (16 * (width % 4)) & 0xFFFF
                    assert drawn[row, token, width] == (word + (1 << 15)) % (1 << 16)


def test_a_draw_hangs_on_its_key_alone() -> None:
    quantiles, keys = normal_quantiles(), keys_of(rows=8)
    whole = normals(keys, 2, SIZE, quantiles), dropped(keys, 2, SIZE, 0.3)
    order = torch.tensor([5, 0, 3])
    assert torch.equal(normals(keys[order], 2, SIZE, quantiles), whole[0][order])
    assert torch.equal(dropped(keys[order], 2, SIZE, 0.3), whole[1][order])
    assert torch.equal(normals(keys, 2, SIZE, quantiles, is_turned=True), whole[0].transpose(0, 1))
    assert torch.equal(dropped(keys, 2, SIZE, 0.3, is_turned=True), whole[1].transpose(0, 1))
    assert torch.equal(derived(keys[order], 4), derived(keys, 4)[order])
    assert torch.equal(keys, keys_of(rows=8))  # which nothing wrote to
    everybody = torch.cat([keys, *(derived(keys, number) for number in range(50))])
    assert len(everybody.unique()) == len(everybody)


@pytest.mark.parametrize(("quantiles", "distribution"), [(normal_quantiles(), 0.0), (truncated_quantiles(), 2.0)])
def test_values_are_distributed_as_they_claim(quantiles: Tensor, distribution: float) -> None:
    """Kolmogorov and Smirnov's distance from the distribution below its bound of one in a thousand, moments below four sigma."""
    drawn = normals(keys_of(), 1, SIZE, quantiles).double().flatten().sort().values
    count = len(drawn)
    tail = 0.5 * math.erfc(distribution / math.sqrt(2)) if distribution else 0.0
    kept = 1 - 2 * tail
    scale = 1.0
    if distribution:  # variance of a normal cut at 2 sigma
        scale = math.sqrt(1 - 2 * distribution * math.exp(-0.5 * distribution**2) / math.sqrt(2 * math.pi) / kept)
        assert drawn.abs().max() <= distribution / scale
    expected = (torch.special.ndtr(drawn * scale) - tail) / kept
    ranks = torch.arange(count, dtype=torch.float64)
    distance = max(float((expected - ranks / count).abs().max()), float((expected - (ranks + 1) / count).abs().max()))
    assert distance < 1.95 / math.sqrt(count)
    assert abs(float(drawn.mean())) < 4 / math.sqrt(count)
    assert abs(float(drawn.square().mean()) - 1) < 4 * math.sqrt(2 / count)
    exact = quantiles.double()
    assert abs(float(exact.mean())) < 1e-9
    assert abs(float(exact.square().mean()) - 1) < 1e-6


def test_all_words_come_alike() -> None:
    """Pearson's statistic over the 65,536 values, which is normal about their number, within four sigma."""
    ranks = torch.arange(1 << 16, dtype=torch.float32)
    counts = normals(keys_of(rows=1024), 0, (64, 64), ranks).long().flatten().bincount(minlength=1 << 16).double()
    expected = counts.sum() / len(counts)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert abs(statistic - (len(counts) - 1)) < 4 * math.sqrt(2 * (len(counts) - 1))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.003])
def test_places_are_dropped_at_their_rate(rate: float) -> None:
    is_dropped = dropped(keys_of(), 0, SIZE, rate)
    assert abs(float(is_dropped.double().mean()) - rate) < 4 * math.sqrt(rate * (1 - rate) / is_dropped.numel())
    assert not dropped(keys_of(), 0, SIZE, 0.0).any()


OTHERS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "draws": lambda keys, q: (normals(keys, 0, SIZE, q), normals(keys, 1, SIZE, q)),
    "distant draws": lambda keys, q: (normals(keys, 0, SIZE, q), normals(keys, 1 << 20, SIZE, q)),
    "steps": lambda keys, q: (normals(keys, 0, SIZE, q), normals(keys_of(step=1), 0, SIZE, q)),
    "seeds": lambda keys, q: (normals(keys, 0, SIZE, q), normals(keys_of(seed=2), 0, SIZE, q)),
    "slots": lambda keys, q: (drawn := normals(keys, 0, SIZE, q), drawn.roll(1, 0)),
    "tokens": lambda keys, q: (drawn := normals(keys, 0, SIZE, q), drawn.roll(1, 1)),
    "channels": lambda keys, q: (drawn := normals(keys, 0, SIZE, q), drawn.roll(1, 2)),
    "words": lambda keys, q: (drawn := normals(keys, 0, SIZE, q), drawn.roll(4, 2)),
    "parts": lambda keys, q: (normals(keys, 0, SIZE, q), normals(derived(keys, 0), 0, SIZE, q)),
    "two parts": lambda keys, q: (normals(derived(keys, 1), 0, SIZE, q), normals(derived(keys, 2), 0, SIZE, q)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_draws_know_nothing_of_one_another(name: str) -> None:
    """Their correlation, and that of their squares, within four sigma; Pearson's statistic of 16 by 16 cells below one in 10^5."""
    first, second = (part.double().flatten() for part in OTHERS[name](keys_of(), normal_quantiles()))
    count = len(first)
    assert abs(float(first @ second)) / count < 4 / math.sqrt(count)
    assert abs(float((first.square() - 1) @ (second.square() - 1))) / count < 4 * 2 / math.sqrt(count)
    cells = [(torch.special.ndtr(part) * 16).long().clamp(max=15) for part in (first, second)]
    counts = (cells[0] * 16 + cells[1]).bincount(minlength=256).double()
    statistic = float(((counts - count / 256) ** 2).sum() / (count / 256))
    assert statistic < 255 + 4.3 * math.sqrt(2 * 255)


@pytest.mark.parametrize("is_turned", [False, True])
def test_compiled_code_is_handed_draws_of_the_shape_that_it_was_told(is_turned: bool) -> None:
    keys = keys_of(rows=3)
    for operator, arguments in (
        (torch.ops.trm.derived_keys, (keys, 5)),
        (torch.ops.trm.drawn_ranks, (keys, 5, 7, 9, is_turned)),
        (torch.ops.trm.drawn_below, (keys, 5, 7, 9, 1 << 20, is_turned)),
    ):
        torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))
    ranks = torch.ops.trm.drawn_ranks(keys, 5, 7, 9, is_turned)
    quantiles = normal_quantiles()
    assert torch.equal(quantiles[ranks.long()], normals(keys, 5, (7, 9), quantiles, is_turned=is_turned))
    assert torch.equal(torch.ops.trm.derived_keys(keys, 5), derived(keys, 5))

"""What a network draws: each formula against its definition, in training alone or also in evaluation, nothing where it is off."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from trm.config.blocks import RecursiveConfig
from trm.config.data import DataConfig
from trm.config.networks import DataShape
from trm.config.recursive_networks import LatentsConfig, SingleZConfig, TrmConfig
from trm.config.run import RunConfig
from trm.data.batches.keyed_random import device_keys
from trm.models import halting
from trm.models.keyed_draws import DROPOUT, PATH, START, dropped, normal_quantiles, normals, truncated_quantiles
from trm.models.network import Draws, Latents
from trm.models.recursive.network import TinyRecursiveModel

SHAPE = DataShape(seq_len=5, vocab_size=6, num_puzzle_identifiers=3)
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "L_layers": 2,
    "expansion": 1.0,
    "puzzle_emb_ndim": 0,
    "puzzle_emb_len": 0,
}
ROWS, SIZE = 7, (5, 16)
KINDS: dict[str, RecursiveConfig] = {
    "trm": TrmConfig(**SMALL, H_cycles=2, L_cycles=2),
    "mixer": TrmConfig(**SMALL, H_cycles=2, L_cycles=2, mlp_t=True, pos_encodings="none"),
    "single_z": SingleZConfig(**SMALL, H_cycles=2, L_cycles=2),
    "latents": LatentsConfig(**SMALL, H_cycles=2, L_cycles=3, num_latents=2),
}


def network_of(config: RecursiveConfig, **changes: Any) -> TinyRecursiveModel:
    return TinyRecursiveModel(type(config).model_validate(config.model_dump() | changes), SHAPE, dtype=torch.float64)


def inputs() -> Tensor:
    return torch.randint(0, 6, (ROWS, 5), generator=torch.Generator().manual_seed(1), dtype=torch.int32)


def draws_of(step: int = 0, *, is_training: bool = True) -> Draws:
    return Draws(torch.from_numpy(device_keys(1, 2, step, torch.arange(ROWS).numpy())), is_training)


def by_hand(network: TinyRecursiveModel, latents: Latents, draws: Draws) -> Latents:
    """A supervision step as the definitions say it, in the order of the batch."""
    config, values = network.config, dict(latents)
    values["question"] = network._question(inputs(), None)
    for call, step in enumerate(network.recursion.steps):
        x = sum(values[name] for name in step.call.sources)
        assert isinstance(x, Tensor)
        for layer, block in enumerate(network._blocks(step.call.network)):
            x = network._turn(block(network._turn(x), block.weights(network.dtype), network.rotary))
            kept = ~dropped(draws.keys, DROPOUT + 64 * call + layer, SIZE, config.dropout)
            x = x * kept / (1 - config.dropout)
        old, b = values[step.call.target], config.relaxation
        noise = normals(draws.keys, PATH + call, SIZE, normal_quantiles()).double()
        values[step.call.target] = (1 - b) * old + b * x + config.path_noise * noise
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{"dropout": 0.3}, {"path_noise": 0.2}, {"relaxation": 0.6}, {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.9}]
)
def test_a_step_computes_what_its_definition_says(kind: str, changes: dict[str, float]) -> None:
    network = network_of(KINDS[kind], **changes)
    start, draws = network.initial_latents(ROWS), draws_of()
    found, _ = network(start, inputs(), None, draws)
    wanted = by_hand(network, start, draws)
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name].detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_off_leaves_every_bit(kind: str) -> None:
    network = network_of(KINDS[kind])
    start = network.initial_latents(ROWS)
    plain, drawn = (network(start, inputs(), None, *draws) for draws in ((), (draws_of(),)))
    assert all(torch.equal(value, drawn[0][name]) for name, value in plain[0].items())
    assert torch.equal(plain[1].logits, drawn[1].logits)


def test_dropout_and_path_noise_belong_to_training_unless_the_network_says_otherwise() -> None:
    quiet = network_of(KINDS["trm"], dropout=0.3, path_noise=0.2, relaxation=0.9)
    noisy = network_of(KINDS["trm"], dropout=0.3, path_noise=0.2, relaxation=0.9, path_noise_in="always")
    still = network_of(KINDS["trm"], relaxation=0.9)
    start = still.initial_latents(ROWS)
    steps = [network(start, inputs(), None, draws_of(is_training=False))[1].logits for network in (quiet, still, noisy)]
    assert torch.equal(steps[0], steps[1])
    assert not torch.equal(steps[0], steps[2])
    without_dropout = network_of(KINDS["trm"], path_noise=0.2, relaxation=0.9)
    assert torch.equal(steps[2], without_dropout(start, inputs(), None, draws_of())[1].logits)
    assert torch.equal(steps[0], quiet(start, inputs(), None)[1].logits)


def test_random_starts_are_drawn_anew_for_each_slot_that_is_refilled() -> None:
    network = network_of(KINDS["trm"], initial_latents="random")
    carry = halting.initial_carry(network, ROWS, 5, "cpu")
    first = halting.refill(carry, inputs(), inputs(), carry.puzzle_identifiers, network, draws_of(0))
    halted = torch.tensor([row % 2 == 0 for row in range(ROWS)])
    second = halting.refill(replace(first, halted=halted), inputs(), inputs(), carry.puzzle_identifiers, network, draws_of(1))
    for latent, name in enumerate(("z_H", "z_L")):
        for step, carried in ((0, first), (1, second)):
            wanted = normals(draws_of(step).keys, START + latent, SIZE, truncated_quantiles()).double()
            assert torch.equal(carried.latents[name][halted], wanted[halted])
        assert torch.equal(second.latents[name][~halted], first.latents[name][~halted])
    assert len(torch.cat([first.latents["z_H"], first.latents["z_L"]]).flatten(1).unique(dim=0)) == 2 * ROWS
    fixed = network.initial_latents(ROWS)["z_H"]
    assert torch.equal(fixed, network.H_init.expand_as(fixed))  # what nobody draws for


def run_of(**sections: Any) -> RunConfig:
    return RunConfig(data=DataConfig(folder="x"), **{"training": {"steps": 1}, **sections})


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("model", {"dropout": 1.0}),
        ("model", {"dropout": -0.1}),
        ("model", {"path_noise": -0.01}),
        ("model", {"relaxation": 0.0}),
        ("model", {"relaxation": 1.1}),
        ("model", {"initial_latents": "learned"}),
        ("training", {"carry_noise": -1.0}),
        ("training", {"carry_noise": True}),
    ],
)
def test_wrong_values_are_refused(section: str, value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(value))):
        run_of(**{section: {"steps": 1, **value} if section == "training" else value})


def test_fields_at_their_defaults_count_in_no_digest() -> None:
    assert run_of().network_digest() == run_of(model={"path_noise_in": "always"}).network_digest()  # without noise
    digests = [
        run_of(**sections).network_digest()
        for sections in (
            {},
            {"model": {"dropout": 0.1}},
            {"model": {"path_noise": 0.1}},
            {"model": {"path_noise": 0.1, "path_noise_in": "always"}},
            {"model": {"relaxation": 0.9}},
            {"model": {"initial_latents": "random"}},
            {"training": {"steps": 1, "carry_noise": 0.1}},
        )
    ]
    assert len(set(digests)) == len(digests)

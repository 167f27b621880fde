"""Noise on what slots carry: its size, a function of each row's key, on every latent a draw of its own."""

import torch

from trm.data.batches.keyed_random import device_keys
from trm.losses.carry_noise import CarryNoise
from trm.models.halting import Carry

ROWS = 64


def test_every_latent_is_given_noise_of_its_own_by_the_rows_keys() -> None:
    values = {name: torch.full((ROWS, 9, 16), value) for name, value in (("z_H", 3.0), ("z_L", -1.0))}
    cells = torch.zeros(ROWS, 5, dtype=torch.int32)
    carry = Carry(values, cells[:, 0], cells[:, 0].bool(), cells, cells, cells[:, 0])
    keys = torch.from_numpy(device_keys(1, 2, 3, torch.arange(ROWS).numpy()))
    noisy = CarryNoise(0.05, torch.device("cpu"))(carry, keys)
    noise = [noisy.latents[name] - value for name, value in values.items()]
    for one in noise:
        assert abs(float(one.mean())) < 4 * 0.05 / one.numel() ** 0.5
        assert abs(float(one.square().mean().sqrt()) / 0.05 - 1) < 4 / (2 * one.numel()) ** 0.5
    assert abs(float((noise[0] * noise[1]).mean())) < 4 * 0.05**2 / noise[0].numel() ** 0.5
    order = torch.arange(ROWS).flip(0)
    turned = CarryNoise(0.05, torch.device("cpu"))(carry, keys[order])
    assert torch.equal(turned.latents["z_L"], noisy.latents["z_L"][order])
    assert all(torch.equal(noisy.tensors()[name], value) for name, value in carry.tensors().items() if name not in values)

"""Every published network at sizes of no golden case, against a second writing of it by published key names."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trm.config.architectures import AnyNetwork
from trm.config.networks import DataShape
from trm.config.recursive_networks import HrmConfig, LatentsConfig, SingleZConfig, TransformerConfig, TrmConfig
from trm.models.build import build_network, to_published

SHAPE = DataShape(seq_len=6, vocab_size=5, num_puzzle_identifiers=3)
ROWS, STEPS = 3, 2
Weights = dict[str, Tensor]
Update = Callable[[Tensor], Tensor]
CASES: dict[str, tuple[AnyNetwork, str]] = {
    "trm": (
        TrmConfig(hidden_size=24, num_heads=3, H_cycles=3, L_cycles=2, L_layers=1, puzzle_emb_ndim=30, puzzle_emb_len=0),
        "trm",
    ),
    "trm mixer": (TrmConfig(hidden_size=20, mlp_t=True, pos_encodings="none", H_cycles=1, L_cycles=4, puzzle_emb_len=3), "trm"),
    "single_z": (SingleZConfig(hidden_size=16, num_heads=4, H_cycles=2, L_cycles=5, L_layers=3, puzzle_emb_len=1), "single_z"),
    "single_z of one call": (SingleZConfig(hidden_size=16, num_heads=1, H_cycles=1, L_cycles=1, puzzle_emb_len=1), "single_z"),
    "more turns than latents": (
        LatentsConfig(hidden_size=16, num_heads=2, num_latents=3, H_cycles=2, L_cycles=7, L_layers=1),
        "latents",
    ),
    "more latents than turns": (
        LatentsConfig(hidden_size=16, num_heads=2, num_latents=5, H_cycles=2, L_cycles=2, L_layers=1),
        "latents",
    ),
    "hrm": (HrmConfig(hidden_size=16, num_heads=2, H_cycles=3, L_cycles=1, H_layers=2, L_layers=1, expansion=2.5), "hrm"),
    "hrm learned": (
        HrmConfig(hidden_size=12, num_heads=3, H_cycles=1, L_cycles=3, puzzle_emb_ndim=0, pos_encodings="learned", H_layers=1),
        "hrm",
    ),
    "hrm mixer": (HrmConfig(hidden_size=8, mlp_t=True, pos_encodings="none", puzzle_emb_ndim=20, H_layers=1, L_layers=2), "hrm"),
    "transformer": (TransformerConfig(hidden_size=26, num_heads=4, H_layers=3), "transformer"),
    "transformer learned": (TransformerConfig(hidden_size=16, num_heads=2, H_layers=1, pos_encodings="learned"), "transformer"),
}


class Second:
    """A published network written a second time, from the specification's formulas."""

    def __init__(self, config: Any, weights: Weights) -> None:
        self.config, self.weights = config, weights
        self.length = config.puzzle_len + SHAPE.seq_len

    def norm(self, x: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + self.config.rms_norm_eps).sqrt()

    def swiglu(self, x: Tensor, name: str) -> Tensor:
        gate, up = (x @ self.weights[f"{name}.gate_up_proj.weight"].T).chunk(2, -1)
        return (gate * torch.sigmoid(gate) * up) @ self.weights[f"{name}.down_proj.weight"].T

    def attention(self, x: Tensor, name: str) -> Tensor:
        size, heads = self.config.hidden_size // self.config.num_heads, self.config.num_heads
        query, key, value = (x @ self.weights[f"{name}.qkv_proj.weight"].T).view(self.length, 3, heads, size).unbind(1)
        if self.config.pos_encodings == "rope":
            inverse = 1 / self.config.rope_theta ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
            angles = torch.outer(torch.arange(self.length, dtype=torch.float32), inverse).repeat(1, 2)[:, None]
            cos, sin = angles.cos().double(), angles.sin().double()
            query, key = (
                part * cos + torch.cat((-part[..., size // 2 :], part[..., : size // 2]), -1) * sin for part in (query, key)
            )
        mixed = [torch.softmax(query[:, head] @ key[:, head].T / math.sqrt(size), -1) @ value[:, head] for head in range(heads)]
        return torch.cat(mixed, -1) @ self.weights[f"{name}.o_proj.weight"].T

    def stack(self, level: str, layers: int) -> Update:
        def blocks(x: Tensor) -> Tensor:
            for layer in range(layers):
                name = f"{level}.layers.{layer}"
                if self.config.mlp_t:
                    x = self.norm(x.T + self.swiglu(x.T, f"{name}.mlp_t")).T
                else:
                    x = self.norm(x + self.attention(x, f"{name}.self_attn"))
                x = self.norm(x + self.swiglu(x, f"{name}.mlp"))
            return x

        return blocks

    def question(self, cells: Tensor, row: Tensor | None) -> Tensor:
        found = self.weights["embed_tokens.embedding_weight"][cells.long()]
        if row is not None:
            width = self.config.hidden_size
            padded = torch.cat((row, row.new_zeros(self.config.puzzle_len * width - len(row))))
            found = torch.cat((padded.view(-1, width), found))
        if self.config.pos_encodings == "learned":
            found = (found + self.weights["embed_pos.embedding_weight"]) / math.sqrt(2)
        return found * math.sqrt(self.config.hidden_size)

    def start(self, kind: str) -> list[Tensor]:
        names = {"trm": ["H_init", "L_init"], "hrm": ["H_init", "L_init"], "single_z": ["L_init"], "transformer": ["H_init"]}
        several = ["H_init", *(f"L{i + 1}_init" for i in range(getattr(self.config, "num_latents", 0)))]
        return [self.weights[name].expand(self.length, -1) for name in names.get(kind, several)]

    def recurse(self, kind: str, z: list[Tensor], x: Tensor) -> list[Tensor]:
        """One supervision step on all latents, the answer first."""
        c = self.config
        if kind == "transformer":
            return [self.stack("H_level", c.H_layers)(z[0] + x)]
        low = self.stack("L_level", c.L_layers)
        if kind == "hrm":
            high = self.stack("H_level", c.H_layers)
            for turn in range(c.H_cycles):
                for inner in range(c.L_cycles):
                    is_last = turn == c.H_cycles - 1 and inner == c.L_cycles - 1
                    z = [z[0], low(z[1] + z[0] + x)] if is_last else [z[0], low(z[1] + z[0] + x).detach()]
                z = [high(z[0] + z[1]) if turn == c.H_cycles - 1 else high(z[0] + z[1]).detach(), z[1]]
            return z
        for turn in range(c.H_cycles):
            if turn == c.H_cycles - 1:
                z = [one.detach() for one in z]
            for inner in range(c.L_cycles):
                if kind == "single_z":
                    z = [low(z[0] + x)]
                else:
                    place = 1 + inner % (len(z) - 1)
                    z = [*z[:place], low(sum(z[1:]) + z[0] + x), *z[place + 1 :]]
            z = [low(sum(z) if kind != "single_z" else z[0]), *z[1:]]
        return z


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_those_of_a_second_writing(name: str) -> None:
    config, kind = CASES[name]
    generator = torch.Generator().manual_seed(5)
    model = build_network(config, SHAPE, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        model.get_parameter("halting_head").normal_(generator=generator)
    inputs = torch.randint(0, SHAPE.vocab_size, (ROWS, SHAPE.seq_len), generator=generator, dtype=torch.int32)
    rows = torch.randn(ROWS, config.puzzle_ndim, generator=generator, dtype=torch.float64) if config.puzzle_ndim else None
    published = to_published(model.state_dict(), None, config, prefix="")
    weights = {key: value.clone().requires_grad_(not key.endswith("_init")) for key, value in published.items()}
    second = Second(config, weights)

    latents, total, wanted = model.initial_latents(ROWS), torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    carried = [second.start(kind) for _ in range(ROWS)]
    for _ in range(STEPS):
        latents, output = model(latents, inputs, rows)
        total = total + (output.logits**2).sum() + (output.q_halt - 2 * output.q_continue).sum()
        for row in range(ROWS):
            z = second.recurse(kind, carried[row], second.question(inputs[row], None if rows is None else rows[row]))
            carried[row] = [one.detach() for one in z]
            logits = z[0][config.puzzle_len :] @ weights["lm_head.weight"].T
            pair = z[0][0] @ weights["q_head.weight"].T + weights["q_head.bias"]
            torch.testing.assert_close(output.logits[row], logits, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(torch.stack((output.q_halt[row], output.q_continue[row])), pair, rtol=1e-9, atol=1e-9)
            wanted = wanted + (logits**2).sum() + pair[0] - 2 * pair[1]
    total.backward()
    wanted.backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    found = to_published({key: value for key, value in gradients.items() if value is not None}, None, config, prefix="")
    assert found.keys() == {key for key, value in weights.items() if value.requires_grad}
    for key, value in found.items():
        torch.testing.assert_close(value, weights[key].grad, rtol=1e-8, atol=1e-9)

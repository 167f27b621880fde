"""Muon against singular values and torch's own, Lion and SGD against their formulas, groups against optimizers of their own."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trm.config.optimizers import AdamATan2Config, AdamWConfig, AnyOptimizer, LionConfig, MuonConfig, OptimConfig, SGDConfig
from trm.errors import ConfigError
from trm.optim.choice import build_optimizer
from trm.optim.muon import COEFFICIENTS, orthogonalized
from trm.optim.optimizer import BACKBONE, Optimizer, learning_rates

SIZES = {
    "token_embedding": (5, 4),
    "blocks.0.mix_in": (12, 4),
    "blocks.0.mix_out": (4, 4),
    "blocks.0.gain": (4,),
    "blocks.1.mix_in": (12, 4),
    "blocks.1.down": (4, 9),
    "blocks.1.kernel": (2, 2, 3),
    "answer_head": (5, 4),
    "halting_bias": (2,),
}


def parameters(dtype: torch.dtype = torch.float64, sizes: Any = SIZES) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return {name: nn.Parameter(torch.randn(size, generator=generator, dtype=dtype)) for name, size in sizes.items()}


def built(config: AnyOptimizer, values: dict[str, nn.Parameter]) -> Optimizer:
    return build_optimizer(config, values, uses_kernels=False)


def step(optimizer: Optimizer, number: int, share: float = 1.0, kind: Callable[[float], Any] = float) -> None:
    """Updates by gradients that are set."""
    rates = learning_rates(optimizer.groups, share)
    numbers = {group.name: optimizer.numbers(group, number, lr) for group, lr in rates}
    optimizer.apply({name: {key: kind(value) for key, value in own.items()} for name, own in numbers.items()})
    optimizer.count()


def gradients(values: dict[str, nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for value in values.values():
        value.grad = torch.randn(value.shape, generator=generator, dtype=value.dtype)


@pytest.mark.parametrize("size", [(3, 7), (7, 3), (5, 5)])
@pytest.mark.parametrize("steps", [1, 5])
def test_iterations_are_their_polynomial_on_singular_values(size: tuple[int, int], steps: int) -> None:
    """X has singular vectors U, V and values s / |s|; k iterations give U p(p(...)) V', p(s) = a s + b s^3 + c s^5."""
    a, b, c = COEFFICIENTS
    matrices = torch.randn(3, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    s = s / s.square().sum(-1, keepdim=True).sqrt()
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(orthogonalized(matrices, steps), u @ (s[..., None] * v), rtol=1e-9, atol=1e-9)
    assert steps == 1 or bool(((s > 0.6) & (s < 1.3)).all())
    assert not orthogonalized(torch.zeros(1, *size), steps).any()


@pytest.mark.parametrize("adjustment", ["original", "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_of_blocks_go_the_way_of_torch_s_muon(adjustment: str, nesterov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch multiplies in bfloat16; told not to, it comes to the same values."""
    module = pytest.importorskip("torch.optim._muon")
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    config = MuonConfig(lr=0.05, weight_decay=0.3, momentum=0.8, nesterov=nesterov, lr_adjustment=adjustment, ns_steps=3)
    ours, theirs = parameters(), parameters()
    matrices = [value for name, value in theirs.items() if name.startswith("blocks") and value.dim() == 2]
    assert len(matrices) == 4
    torch_s = module.Muon(matrices, lr=0.05, weight_decay=0.3, momentum=0.8, nesterov=nesterov, adjust_lr_fn=adjustment, ns_steps=3)
    rest = {name: value for name, value in theirs.items() if not any(value is one for one in matrices)}
    adamw = torch.optim.AdamW(rest.values(), lr=1e-4, betas=(0.9, 0.95), weight_decay=1.0)
    optimizer = built(config, ours)
    for number in range(1, 5):
        for values in (ours, theirs):
            gradients(values, number)
        torch_s.step()
        adamw.step()
        step(optimizer, number)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-9)


def test_muon_says_what_it_updates_at_which_rate_and_what_it_keeps() -> None:
    values = parameters()
    optimizer = built(MuonConfig(lr=0.1, rest_lr=0.01, head_lr=0.002, embedding_weight_decay=0.0), values)
    assert [(group.name, group.lr) for group in optimizer.groups] == [
        (BACKBONE, 0.1),
        ("rest backbone", 0.01),
        ("rest embedding", 0.01),
        ("rest head and head biases", 0.002),
    ]
    gradients(values, 1)
    step(optimizer, 1)
    kept = {name for name in optimizer.saved() if name.startswith(("blocks.0.mix_in", "halting"))}
    assert kept == {"blocks.0.mix_in.momentum_buffer", "halting_bias.exp_avg", "halting_bias.exp_avg_sq", "halting_bias.step"}


def test_muon_is_refused_where_no_block_has_a_matrix() -> None:
    values = parameters(sizes={"blocks.0.kernel": (2, 2, 3), "answer_head": (5, 4)})
    with pytest.raises(ConfigError, match=r"none of the 2 trained parameters is one; set optim\.type: adam_atan2"):
        built(MuonConfig(rest="adam_atan2"), values)


@pytest.mark.parametrize("config", [MuonConfig(), MuonConfig(ns_steps=2), AdamWConfig()])
def test_flops_of_an_update_agree_with_torch_s_counter(config: AnyOptimizer) -> None:
    values = parameters(torch.float32)
    optimizer = built(config, values)
    gradients(values, 1)
    with FlopCounterMode(display=False) as counter:
        step(optimizer, 1)
    assert config.update_flops(SIZES) == counter.get_total_flops()


@pytest.mark.parametrize(
    "config", [AdamATan2Config(), AdamWConfig(), LionConfig(), SGDConfig(), SGDConfig(momentum=0.0), MuonConfig()]
)
def test_as_many_moments_are_kept_as_are_counted(config: AnyOptimizer) -> None:
    values = parameters(torch.float32)
    optimizer = built(config, values)
    gradients(values, 1)
    step(optimizer, 1)
    held = sum(value.numel() for key, value in optimizer.saved().items() if not key.endswith(".step"))
    assert held == sum(config.moments_of(name, size) * math.prod(size) for name, size in SIZES.items())


def test_lion_is_the_published_rule() -> None:
    config = LionConfig(lr=0.1, beta1=0.8, beta2=0.9, weight_decay=0.5)
    values = {"blocks.0.a": nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))}
    (p,) = values.values()
    optimizer = built(config, values)
    expected, m = p.detach().clone(), torch.zeros(2).double()
    for number, gradient in enumerate([[0.3, -1.0], [-2.0, 2.0], [1e-4, 0.0]], start=1):
        p.grad = g = torch.tensor(gradient, dtype=torch.float64)
        step(optimizer, number, 0.5)
        expected = expected * (1 - 0.05 * 0.5) - 0.05 * (0.8 * m + 0.2 * g).sign()
        m = 0.9 * m + 0.1 * g
    torch.testing.assert_close(p.detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.9, True), (0.0, False)])
def test_sgd_is_torch_s_without_its_coupled_weight_decay(momentum: float, nesterov: bool) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = built(SGDConfig(lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=0.0), ours)
    torch_s = torch.optim.SGD(theirs.values(), lr=0.1, momentum=momentum, nesterov=nesterov)
    for number in range(1, 4):
        for values in (ours, theirs):
            gradients(values, number)
        torch_s.step()
        step(optimizer, number)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-12, atol=1e-12)


def every() -> Sequence[AnyOptimizer]:
    shared: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.3}
    return [kind(**shared) for kind in (AdamATan2Config, AdamWConfig, LionConfig, SGDConfig)]


@pytest.mark.parametrize("config", every(), ids=lambda config: config.type)
def test_a_group_s_own_rates_are_those_of_an_optimizer_of_its_own(config: AnyOptimizer) -> None:
    """Each parameter comes to the bits of an optimizer whose only rates are the parameter's."""
    own = config.model_copy(update={"embedding_lr": 0.01, "head_lr": 0.003, "head_weight_decay": 0.7, "bias_weight_decay": 0.0})
    expected: dict[str, tuple[float, float]] = dict.fromkeys(SIZES, (0.02, 0.3))
    expected |= {"token_embedding": (0.01, 0.3), "answer_head": (0.003, 0.7), "halting_bias": (0.003, 0.0)}
    expected["blocks.0.gain"] = (0.02, 0.0)
    together = parameters()
    optimizer = built(own, together)
    assert optimizer.groups[0].lr == 0.02
    assert len(optimizer.groups) == 5
    apart = {}
    for name, (lr, decay) in expected.items():
        alone = parameters()
        single = built(config.model_copy(update={"lr": lr, "weight_decay": decay}), alone)
        assert [group.name for group in single.groups] == [BACKBONE]
        for number in (1, 2):
            gradients(alone, number)
            step(single, number, 0.5)
        apart[name] = alone[name]
    for number in (1, 2):
        gradients(together, number)
        step(optimizer, number, 0.5)
    assert [name for name, value in together.items() if not torch.equal(value, apart[name])] == []


@pytest.mark.parametrize("config", [*every(), MuonConfig()], ids=lambda config: config.type)
def test_numbers_may_be_tensors_that_a_recording_reads(config: AnyOptimizer) -> None:
    ends = []
    for kind in (float, lambda value: torch.tensor(value, dtype=torch.float64)):
        values = parameters()
        optimizer = built(config, values)
        for number in (1, 2):
            gradients(values, number)
            step(optimizer, number, kind=kind)
        ends.append(values)
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-12, atol=1e-12)
    assert optimizer.is_recordable or config.type in ("adamw", "muon"), "on a CPU torch's fused AdamW is not"


def test_a_field_of_a_group_that_is_not_said_changes_no_digest_and_no_name() -> None:
    assert OptimConfig.rates_of(AdamWConfig(), "answer_head", (2, 3)) == (1e-4, 0.1)
    optimizer = built(AdamWConfig(), parameters())
    assert [group.name for group in optimizer.groups] == [BACKBONE]

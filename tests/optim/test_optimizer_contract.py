"""Every optimizer keeps the contract of its door; AdamW is the published rule; what breaks the contract is told by rule."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
import torch
from torch import nn

from trm.config.optimizers import (
    AdamATan2Config,
    AdamWConfig,
    AnyOptimizer,
    ImportedOptimizer,
    LionConfig,
    MuonConfig,
    NAdamConfig,
    RAdamConfig,
    SGDConfig,
)
from trm.contracts.optimizers import CHECKS, check_rates, check_state, check_untouched
from trm.errors import ContractError
from trm.optim.choice import build_optimizer
from trm.optim.optimizer import BACKBONE

OWN_RATES = {"embedding_lr": 3e-3, "head_lr": 2e-3, "head_weight_decay": 0.5, "bias_weight_decay": 0.0}
EVERY = {
    "adam_atan2": AdamATan2Config(),
    "adamw": AdamWConfig(),
    "lion": LionConfig(),
    "sgd": SGDConfig(),
    "sgd without momentum": SGDConfig(momentum=0.0, lr=0.1),
    "nesterov": SGDConfig(nesterov=True),
    "nadam": NAdamConfig(momentum_decay=0.5),
    "radam": RAdamConfig(),
    "muon": MuonConfig(),
    "muon with adam_atan2": MuonConfig(rest="adam_atan2", lr_adjustment="match_rms_adamw", nesterov=False),
    "adam_atan2 in groups": AdamATan2Config(**OWN_RATES),
    "adamw in groups": AdamWConfig(**OWN_RATES),
    "muon in groups": MuonConfig(**OWN_RATES),
}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_optimizer_keeps_the_contract(check: Callable[[AnyOptimizer], None], config: AnyOptimizer) -> None:
    check(config)


def test_adamw_is_the_published_rule() -> None:
    """p *= 1 - lr wd; p -= lr mhat / (sqrt(vhat) + eps) (arXiv 1711.05101, algorithm 2)."""
    config = AdamWConfig(lr=0.1, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.5)
    p = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = build_optimizer(config, {"p": p}, uses_kernels=False)
    expected, m, v = p.detach().clone(), torch.zeros(2).double(), torch.zeros(2).double()
    for step, (gradient, lr) in enumerate([([0.3, -1.0], 0.1), ([0.0, 2.0], 0.05), ([1e-4, 0.5], 0.02)], start=1):
        g = p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.apply({BACKBONE: optimizer.numbers(optimizer.groups[0], step, lr)})
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        expected = expected * (1 - lr * 0.5) - lr * (m / (1 - 0.8**step)) / ((v / (1 - 0.9**step)).sqrt() + 1e-3)
    torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-9)


class _Counted(torch.optim.Optimizer):
    """Steps of one size whatever the rate, its count outside of its state."""

    def __init__(self, parameters: Any, keeps: Any) -> None:
        super().__init__(parameters, {"lr": 1.0})
        self.keeps, self.steps = keeps, 0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["count"] = self.keeps
                p.sub_(0.01 / self.steps)


class Careless(ImportedOptimizer):
    """Breaks several rules."""

    type: Literal["careless"] = "careless"
    keeps: int | None = None

    def build(self, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Optimizer:
        return _Counted(parameters.values(), self.keeps)


@pytest.mark.parametrize(
    ("check", "keeps", "problem"),
    [
        (check_rates, None, "at learning rate 0 nothing may move"),
        (check_untouched, None, "head.bias has no gradient and moved"),
        (check_state, None, "a restored optimizer must go on to the bit"),
        (check_state, 3, "the state of an optimizer is tensors, .* keeps count as int; keep count as a tensor"),
    ],
)
def test_what_breaks_the_contract_is_told_by_rule(check: Callable[[Any], None], keeps: int | None, problem: str) -> None:
    with pytest.raises((ContractError, ValueError), match=problem):
        check(Careless(keeps=keeps))

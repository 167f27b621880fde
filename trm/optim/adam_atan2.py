"""AdamATan2: Adam without an epsilon, the quotient taken by an arctangent (arXiv 2407.05872, section 4)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trm.config.optimizers import AdamATan2Config
from trm.kernels.optimizer import Rates, adam_atan2
from trm.optim.groups import ParameterGroup, for_torch, named
from trm.optim.optimizer import Group, Numbers, TorchOptimizer


class Factors(NamedTuple):
    """What the update of step t takes besides gradients and moments: numbers, or () tensors that a recorded step reads anew."""

    keep: float | Tensor
    """1 - lr * wd: what weight decay leaves of a parameter."""
    root: float | Tensor
    """sqrt(1 - b2^t): bias correction of the second moment."""
    move: float | Tensor
    """-lr / (1 - b1^t): what the arctangent is multiplied by."""


def factors_at(step: int, *, lr: float, betas: tuple[float, float], weight_decay: float) -> Factors:
    """The factors of step `step` (from 1)."""
    return Factors(1 - lr * weight_decay, (1 - betas[1] ** step) ** 0.5, -lr / (1 - betas[0] ** step))


class AdamATan2(torch.optim.Optimizer):
    """p *= 1 - lr * wd; m, v as in Adam; p -= lr / (1 - b1^t) * atan2(m, sqrt(v) / sqrt(1 - b2^t)).

    The update cannot exceed lr * pi / 2 after bias correction of m, whatever the gradient's scale. State of a parameter:
    `exp_avg`, `exp_avg_sq` (as the parameter), `step` (() float32 on the CPU).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
        *,
        is_fused: bool = False,
    ) -> None:
        """`is_fused`: by `trm.kernels`, for float32 on a CPU; it rounds differently."""
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        self.is_fused = is_fused
        self._arithmetic = update_

    # Torch's own has its compiler kept from looking inside, and imports it for that: a second of every process.
    add_param_group = torch.optim.Optimizer.add_param_group.__wrapped__  # type: ignore[attr-defined]

    def compile(self, **options: Any) -> None:
        """Has the arithmetic compiled by torch at its next call, into one kernel or two; for factors that are tensors."""
        self._arithmetic = torch.compile(update_, dynamic=False, **options)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None, "AdamATan2 evaluates no closure"
        for group in self.param_groups:
            if params := [p for p in group["params"] if p.grad is not None]:
                step = int(self._state(params[0])["step"].item()) + 1
                factors = factors_at(step, lr=group["lr"], betas=group["betas"], weight_decay=group["weight_decay"])
                self._update(params, group["betas"], factors)
                self._count(params)

    @torch.no_grad()
    def apply(self, factors: Sequence[Factors]) -> None:
        """The arithmetic of `step` with given factors of each group, all of it on the parameters' device; `count` has to follow."""
        for group, own in zip(self.param_groups, factors, strict=True):
            if params := [p for p in group["params"] if p.grad is not None]:
                self._update(params, group["betas"], own)

    def count(self) -> None:
        """Notes one step more for every parameter that was ever updated: the host's part, which a recorded step leaves out."""
        self._count(list(self.state))

    def _count(self, params: list[Tensor]) -> None:
        torch._foreach_add_([self.state[p]["step"] for p in params], 1)

    def _update(self, params: list[Tensor], betas: tuple[float, float], factors: Factors) -> None:
        states = [self._state(p) for p in params]
        gradients = [p.grad for p in params if p.grad is not None]
        first, second = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        if self.is_fused:
            keep, root, move = (float(factor) for factor in factors)
            adam_atan2(
                params, gradients, first, second, Rates(keep, betas[0], 1 - betas[0], betas[1], 1 - betas[1], 1 / root, -move)
            )
            return
        self._arithmetic(params, gradients, (first, second), betas, factors)

    def _state(self, param: Tensor) -> dict[str, Any]:
        state: dict[str, Any] = self.state[param]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(param, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(param, memory_format=torch.preserve_format)
        return state


def update_(
    params: list[Tensor],
    gradients: list[Tensor],
    moments: tuple[list[Tensor], list[Tensor]],
    betas: tuple[float, float],
    factors: Factors,
) -> None:
    """The update itself, in place; on CUDA each line is a kernel for all parameters where torch has one."""
    first, second = moments
    torch._foreach_mul_(params, factors.keep)
    torch._foreach_lerp_(first, gradients, 1 - betas[0])
    torch._foreach_mul_(second, betas[1])
    torch._foreach_addcmul_(second, gradients, gradients, 1 - betas[1])
    update = torch._foreach_sqrt(second)
    torch._foreach_div_(update, factors.root)
    for numerator, denominator in zip(first, update, strict=True):
        torch.atan2(numerator, denominator, out=denominator)
    if isinstance(factors.move, Tensor):
        torch._foreach_addcmul_(params, update, [factors.move.expand_as(one) for one in update])
    else:
        torch._foreach_add_(params, update, alpha=factors.move)


class ByFactors(TorchOptimizer):
    """AdamATan2 as a training step drives it: the host works out the factors, the device applies them."""

    optimizer: AdamATan2
    is_recordable = True

    def __init__(self, config: AdamATan2Config, groups: Sequence[ParameterGroup], *, is_fused: bool) -> None:
        """The optimizer that `config` describes, of parameters in `groups`."""
        inner = AdamATan2(for_torch(groups), betas=(config.beta1, config.beta2), is_fused=is_fused)
        super().__init__(inner, *named(groups))
        self._decays = {one.name: one.weight_decay for one in groups}
        self._betas = (config.beta1, config.beta2)

    def numbers(self, group: Group, step: int, lr: float) -> dict[str, float]:
        """The factors of a step, by their names."""
        factors = factors_at(step, lr=lr, betas=self._betas, weight_decay=self._decays[group.name])
        return {name: float(factor) for name, factor in factors._asdict().items()}

    def apply(self, numbers: Mapping[str, Numbers]) -> None:
        """One update."""
        self.optimizer.apply([Factors(**numbers[group.name]) for group in self.groups])

    def count(self) -> None:
        """Counts a step of every parameter that was ever updated."""
        self.optimizer.count()

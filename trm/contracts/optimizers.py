"""What every optimizer keeps: `CHECKS`, each a function of an optimizer's configuration."""

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trm.config.data import DataConfig
from trm.config.networks import DataShape
from trm.config.optimizers import AdamATan2Config, AnyOptimizer
from trm.config.recursive_networks import TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.contracts.rules import require
from trm.contracts.runs import whole_and_resumed
from trm.optim.choice import build_optimizer
from trm.optim.optimizer import Optimizer, learning_rates

SHAPE = DataShape(seq_len=9, vocab_size=6, num_puzzle_identifiers=5)
STEPS = 60
HALF = 3
LEARNING_RATE = 0.01
SIZES = {"blocks.0.weight": (3, 4), "head.weight": (2, 3), "head.bias": (2,)}


def check_learns(config: AnyOptimizer) -> None:
    """On a bowl the steps lead down: after 60 of them the mean square of all weights is less than half of what it was."""
    parameters = _parameters()
    optimizer = _built(config, parameters)
    before = _height(parameters)
    _run(optimizer, parameters, 0, STEPS)
    after = _height(parameters)
    require(after < before / 2, f"steps must lead down, {STEPS} on a bowl went from {before:.3g} to {after:.3g}", remedy="mend it")


def check_rates(config: AnyOptimizer) -> None:
    """Its groups have names of their own and positive rates, and at a learning rate of 0 nothing moves."""
    parameters = _parameters()
    optimizer = _built(config, parameters)
    names = [group.name for group in optimizer.groups]
    require(len(set(names)) == len(names) >= 1, f"groups must have names of their own, got {names}", remedy="rename them")
    rates = {group.name: group.lr for group in optimizer.groups}
    require(min(rates.values()) > 0, f"a group's peak rate must be above 0, got {rates}", remedy="give each the rate it learns at")
    before = {name: value.detach().clone() for name, value in parameters.items()}
    _run(optimizer, parameters, 0, 2, share=0.0)
    moved = [name for name, value in parameters.items() if not torch.equal(value, before[name])]
    require(not moved, f"at learning rate 0 nothing may move, {moved} did", remedy="scale the whole update by group['lr']")


def check_untouched(config: AnyOptimizer) -> None:
    """A parameter without a gradient stays as it is and gets no state."""
    parameters = _parameters()
    optimizer = _built(config, parameters)
    idle, before = "head.bias", parameters["head.bias"].detach().clone()
    _run(optimizer, parameters, 0, 2, without=idle)
    require(torch.equal(parameters[idle], before), f"{idle} has no gradient and moved", remedy="skip parameters with grad None")
    kept = [name for name in optimizer.saved() if name.startswith(f"{idle}.")]
    require(not kept, f"{idle} has no gradient and got state {kept}", remedy="make state when a gradient comes first")


def check_repeats(config: AnyOptimizer) -> None:
    """The same gradients lead to the same bits, and the global generator is left alone."""
    state, ends = torch.get_rng_state(), []
    for _ in range(2):
        parameters = _parameters()
        _run(_built(config, parameters), parameters, 0, HALF)
        ends.append(parameters)
    same = all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    require(same, "a step must repeat to the bit, and did not", remedy="draw nothing, and add in a fixed order")
    require(torch.equal(state, torch.get_rng_state()), "the global generator must be left alone", remedy="draw nothing in a step")


def check_state(config: AnyOptimizer) -> None:
    """Its state is tensors by the names of parameters, and goes on from them to the bit."""
    whole, half = _parameters(), _parameters()
    _run(_built(config, whole), whole, 0, 2 * HALF)
    first = _built(config, half)
    _run(first, half, 0, HALF)
    saved = {name: value.clone() for name, value in first.saved().items()}
    strange = [name for name in saved if name.rpartition(".")[0] not in half]
    require(not strange, f"state must be called PARAMETER.KEY, got {strange}", remedy="keep it in self.state[parameter]")
    second = _built(config, half)
    second.restore(saved)
    _run(second, half, HALF, 2 * HALF)
    apart = [name for name, value in whole.items() if not torch.equal(value, half[name])]
    require(not apart, f"a restored optimizer must go on to the bit: {apart} differ", remedy="keep all that a step reads in state")


def check_training(config: AnyOptimizer) -> None:
    """A small run trains to finite weights; stopped half way, saved and loaded, it comes to the same bits."""
    run = _configured(config)
    whole, resumed = whole_and_resumed(run, SHAPE, HALF)
    for file, tensors in whole.items():
        apart = [name for name, value in tensors.items() if not torch.equal(value, resumed[file][name])]
        require(not apart, f"a resumed run must be the same: {apart} of {file} differ", remedy="keep all state in tensors")
        wild = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
        require(not wild, f"a small run must stay finite: {wild} are not", remedy="mind divisions by zero")


def check_configuration(config: AnyOptimizer) -> None:
    """The configuration survives a file, and another optimizer is another run."""
    run = _configured(config)
    again = RunConfig.model_validate_json(run.model_dump_json())
    require(again.optim == run.optim, f"a file must give {run.optim!r} back, got {again.optim!r}", remedy="use plain fields")
    require(again.network_digest() == run.network_digest(), "a digest must follow from the values", remedy="use plain fields")
    is_default = config.type == AdamATan2Config().type
    differs = run.network_digest() != _configured(AdamATan2Config(lr=config.lr)).network_digest()
    require(differs or is_default, "another optimizer must be another run", remedy="keep `type` among the fields")


CHECKS: tuple[Callable[[AnyOptimizer], None], ...] = (
    check_learns,
    check_rates,
    check_untouched,
    check_repeats,
    check_state,
    check_training,
    check_configuration,
)
"""All that an optimizer keeps."""


def _parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(5)
    return {name: nn.Parameter(torch.randn(size, generator=generator)) for name, size in SIZES.items()}


def _built(config: AnyOptimizer, parameters: dict[str, nn.Parameter]) -> Optimizer:
    rates = {name: LEARNING_RATE for name in type(config).model_fields if re.fullmatch(r"(\w+_)?lr", name)}
    decays = {name: 0.0 for name in type(config).model_fields if re.fullmatch(r"(\w+_)?weight_decay", name)}
    changes = {name: value for name, value in (rates | decays).items() if getattr(config, name) is not None}
    return build_optimizer(config.model_copy(update=changes), parameters, uses_kernels=False)


def _height(parameters: dict[str, nn.Parameter]) -> float:
    squares: list[Tensor] = [value.detach().square().mean() for value in parameters.values()]
    return float(torch.stack(squares).mean())


def _run(
    optimizer: Optimizer, parameters: dict[str, nn.Parameter], first: int, until: int, *, share: float = 1.0, without: str = ""
) -> None:
    """Steps down a bowl around zero, each at `share` of the peak rates, `without` the gradient of one parameter."""
    for step in range(first, until):
        for name, parameter in parameters.items():
            parameter.grad = None if name == without else parameter.detach().clone()
        rates = learning_rates(optimizer.groups, share)
        optimizer.apply({group.name: optimizer.numbers(group, step + 1, lr) for group, lr in rates})
        optimizer.count()


def _configured(config: AnyOptimizer) -> RunConfig:
    model = TrmConfig(H_cycles=1, L_cycles=1, L_layers=1, hidden_size=16, num_heads=2, puzzle_emb_len=1, halt_max_steps=2)
    training = TrainingConfig(global_batch_size=4, steps=2 * HALF)
    own = config.model_copy(update={"lr_warmup_steps": 0})
    return RunConfig(data=DataConfig(folder="contract"), model=model, optim=own, training=training)

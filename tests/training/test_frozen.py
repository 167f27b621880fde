"""What is not trained keeps its bits, has no gradient and costs none."""

import pytest
import torch
import training_cases as cases
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.optimizers import AdamATan2Config
from trm.config.parts import part_of
from trm.config.run import RunConfig
from trm.models import layers
from trm.models.cost import run_cost
from trm.optim.frozen import freeze
from trm.training.loop import take_step
from trm.training.start import start_plan
from trm.training.state import TrainingState

LEARNING = {"heads": {"head"}, "puzzle_embedding": {"table"}, "all": {"embedding", "block", "head", "table"}}


SMALL = {"hidden_size": 16, "num_heads": 2, "halt_max_steps": 4}
NETWORKS = {
    "hrm": {**SMALL, "architecture": "hrm", "H_layers": 1, "L_layers": 2},
    "transformer": {**SMALL, "architecture": "transformer", "H_layers": 2},
    "every_cycle": {**SMALL, "H_cycles": 3, "L_cycles": 1, "answers_after": "every_cycle"},
}


def of(trained: str, variant: str = "attention", **training: object) -> RunConfig:
    optim = {**cases.BASE["optim"], "trained": trained, "grad_clip": None}
    if variant not in NETWORKS:
        return cases.config_of(variant, optim=optim, training=training)
    whole = {**cases.BASE, "model": NETWORKS[variant], "optim": optim, "training": {**cases.BASE["training"], **training}}
    return RunConfig.model_validate(whole)


def parts(state: TrainingState) -> dict[str, dict[str, torch.Tensor]]:
    """All weights by the part that they are of."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in state.model.named_parameters():
        found.setdefault(part_of(name), {})[name] = value.detach().clone()
    assert state.table is not None
    return found | {"table": {"table": state.table.weight.clone()}}


@pytest.mark.parametrize("kernels", ["plain", "auto"])
@pytest.mark.parametrize("variant", ["attention", "mlp"])
@pytest.mark.parametrize("trained", LEARNING)
def test_what_is_not_trained_keeps_every_bit(trained: str, variant: str, kernels: str) -> None:
    state = cases.begin(of(trained, variant, kernels=kernels))
    assert state.table is not None
    state.table.weight.copy_(torch.randn(state.table.weight.shape, generator=torch.Generator().manual_seed(1)))
    before = parts(state)
    cases.advance(state, 6)
    after = parts(state)
    kept = {part for part, own in before.items() if all(torch.equal(value, after[part][name]) for name, value in own.items())}
    assert before.keys() - kept == LEARNING[trained]
    names = set() if state.average is None else set(state.average.average)
    assert {part_of(name) for name in names} == LEARNING[trained] - {"table"}
    assert {part_of(name) for name in state.optimizer.saved()} == LEARNING[trained] - {"table"}


@pytest.mark.parametrize("variant", ["attention", "mlp"])
def test_what_learns_alone_learns_as_beside_all_else(variant: str) -> None:
    """The first gradient of the trained part is that of a run in which all is trained."""
    whole = cases.begin(of("all", variant, kernels="plain"))
    cases.advance(whole, 1)
    for trained in ("heads", "puzzle_embedding"):
        state = cases.begin(of(trained, variant, kernels="plain"))
        cases.advance(state, 1)
        for part in LEARNING[trained]:
            for name, value in parts(state)[part].items():
                assert torch.equal(value, parts(whole)[part][name]), name


@pytest.mark.parametrize("variant", ["attention", "mlp", "continue", *NETWORKS])
@pytest.mark.parametrize("trained", LEARNING)
def test_flops_are_those_of_what_learns(trained: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_uses_cpu_layers", lambda x: False)
    config = of(trained, variant, kernels="plain")
    state = TrainingState(config, cases.manifest().shape, max_steps=cases.STEPS)
    batch = start_plan(state, cases.SPLITS["train"], cases.manifest()).batch(0)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        take_step(state, batch)
    assert run_cost(config, state.shape).step_flops == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_what_a_network_made_without_a_gradient_stays_so_and_is_told_among_the_rest() -> None:
    """A checkpoint holds its average, as before parts could be frozen."""
    network = nn.Module()
    network.held = nn.Parameter(torch.ones(2), requires_grad=False)
    network.answer_head = nn.Parameter(torch.ones(2))
    assert len(freeze(network, AdamATan2Config())) == 2
    assert [value.requires_grad for value in network.parameters()] == [False, True]
    assert freeze(network, AdamATan2Config(trained="heads")) == [network.answer_head]


def test_what_would_train_nothing_is_refused() -> None:
    bare = {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0}
    with pytest.raises(ValueError, match=r"trained puzzle_embedding needs a puzzle embedding, .* set optim\.trained: all or heads"):
        cases.config_of(model=bare, optim={"trained": "puzzle_embedding"})
    with pytest.raises(
        ValueError, match=r"model\.gradient last_call brings no gradient there; set model\.gradient: one_step, last_cycle or all"
    ):
        cases.config_of(model={"gradient": "last_call"}, optim={"trained": "puzzle_embedding"})
    with pytest.raises(ValueError, match=r"optim\.trained heads trains none; set optim\.type: adamw"):
        cases.config_of(optim={"trained": "heads", "type": "muon"})

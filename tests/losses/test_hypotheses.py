"""Of several hypotheses the one with the best answer learns: against its definition, ties, costs, resume, what is refused."""

from typing import Any, Literal

import pytest
import torch
from own_members import forgotten
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.architectures import ImportedNetwork
from trm.config.data import DataConfig
from trm.config.losses import ImportedLoss
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.config.unions import add_member
from trm.contracts.runs import random_batch, take_steps, whole_and_resumed
from trm.losses.answer import answer_loss
from trm.losses.loss import Work
from trm.losses.objective import supervision_loss
from trm.losses.stablemax import stablemax_cross_entropy
from trm.losses.supervision import Supervision
from trm.models.cost import run_cost
from trm.models.network import Draws
from trm.training.state import TrainingState
from trm.training.step import device_step
from trm.training.step_inputs import fresh, packed, views

SHAPE = DataShape(seq_len=9, vocab_size=6, num_puzzle_identifiers=5)
ROWS = 8
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "expansion": 1.0,
    "puzzle_emb_ndim": 0,
    "puzzle_emb_len": 0,
    "halt_max_steps": 3,
}
SMALL |= {"H_cycles": 2, "L_cycles": 1, "L_layers": 1}


def run_of(hypotheses: int, model: dict[str, Any] | None = None, **training: Any) -> RunConfig:
    fields = {"global_batch_size": ROWS, "steps": 8, "hypotheses": hypotheses, "kernels": "plain", **training}
    values = {"data": DataConfig(folder="x"), "model": SMALL | (model or {}), "optim": {"lr": 1e-2, "lr_warmup_steps": 0}}
    return RunConfig.model_validate({**values, "training": fields})


def state_of(run: RunConfig) -> TrainingState:
    return TrainingState(run, SHAPE, max_steps=8)


def own_names(architecture: str) -> list[str]:
    return {"trm": ["z_L"], "latents": ["z_L1", "z_L2"], "single_z": ["z"]}[architecture]


@pytest.mark.parametrize("architecture", ["trm", "latents", "single_z"])
def test_an_update_is_that_of_its_definition(architecture: str) -> None:
    """All forward with a graph, the loss of the winners alone made backward: the gradients, and what is carried on."""
    extra = {"num_latents": 2} if architecture == "latents" else {}
    run = run_of(3, {"architecture": architecture, "forward_dtype": "float64", **extra})
    state = state_of(run)
    take_steps(state, SHAPE, 0, 2)  # so that hypotheses have gone apart, and some slots are fresh while others go on
    batch = random_batch(state, SHAPE, 2)
    given, before = fresh(state, batch).arrays, state.carry
    halted = before.halted[:, None, None]
    questions = torch.where(before.halted[:, None], given["inputs"], before.inputs)
    labels = torch.where(before.halted[:, None], given["labels"], before.labels)
    own, starts = own_names(architecture), state.model.initial_latents(ROWS)
    assert isinstance(state.loss, Supervision)
    assert state.loss.hypotheses is not None
    outputs, latents = [], []
    for number in range(3):
        mine: dict[str, Tensor] = {}
        for name, start in starts.items():
            key = f"{name}.{number}" if number and name in own else name
            begun = state.loss.hypotheses._starts[key] if key != name else start  # type: ignore[index]
            mine[name] = torch.where(halted, begun, before.latents[key])
        new, output = state.model(mine, questions, None)
        outputs.append(output)
        latents.append(new)
    losses = torch.stack([answer_loss(output.logits, labels, stablemax_cross_entropy, torch.float64) for output in outputs])
    winner = losses.argmin(0)
    assert len(winner.unique()) > 1
    rows = torch.arange(ROWS)
    best = outputs[0]._replace(
        **{name: torch.stack([getattr(one, name) for one in outputs])[winner, rows] for name in ("logits", "q_halt", "q_continue")}
    )
    total = supervision_loss(best, labels, cross_entropy=stablemax_cross_entropy, dtype=torch.float64).loss / ROWS
    wanted = torch.autograd.grad(total, state.parameters)

    (one,) = state.loss.passes(Work(given, before, state.model, state.network, None))
    for gradient, true in zip(torch.autograd.grad(one.loss, state.parameters), wanted, strict=True):
        torch.testing.assert_close(gradient, true, rtol=1e-9, atol=1e-12)
    learned = device_step(state, fresh(state, batch))
    for number, new in enumerate(latents):
        for name in own:
            torch.testing.assert_close(learned.latents[f"{name}.{number}" if number else name], new[name].detach())
    if architecture != "single_z":
        answers = torch.stack([new["z_H"] for new in latents])[winner, rows]
        torch.testing.assert_close(learned.latents["z_H"], answers.detach())
    halts = (best.q_halt > 0) | (learned.steps >= 3)
    assert not (learned.halted & ~halts).any()  # exploration may delay


def test_equal_hypotheses_are_one_and_ties_go_to_the_first() -> None:
    """Hypotheses that start alike: the run without any, bit for bit, and the first wins all."""
    alone, alike = state_of(run_of(1)), state_of(run_of(3))
    assert isinstance(alike.loss, Supervision)
    assert alike.loss.hypotheses is not None
    start = alike.model.get_buffer("L_init")
    alike.loss.hypotheses._starts = {"z_L.1": start, "z_L.2": start}
    for state in (alone, alike):
        take_steps(state, SHAPE, 0, 6)
        state.metrics.flush(state.gang)
    expected, found = alone.files_to_save(), alike.files_to_save()
    assert all(torch.equal(value, found[file][name]) for file, tensors in expected.items() for name, value in tensors.items())
    report = alike.metrics.take_report()
    assert [report[f"hypothesis_{number}_wins"] for number in range(3)] == [1, 0, 0]
    assert "hypothesis_0_wins" not in alone.metrics.take_report()


@pytest.mark.parametrize("starts", ["fixed", "random"])
def test_shares_of_wins_add_up_and_a_resumed_run_is_the_same(starts: str) -> None:
    run = run_of(4, {"initial_latents": starts, "dropout": 0.1, "path_noise": 0.01}, carry_noise=0.01)
    state = state_of(run)
    take_steps(state, SHAPE, 0, 4)
    state.metrics.flush(state.gang)
    report = state.metrics.take_report()
    shares = [report[f"hypothesis_{number}_wins"] for number in range(4)]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 1
    whole, resumed = whole_and_resumed(run, SHAPE, 3)
    assert {"carry.z_L", "carry.z_L.1", "carry.z_L.3"} < whole["state.safetensors"].keys()
    for file, tensors in whole.items():
        assert not [name for name, value in tensors.items() if not torch.equal(value, resumed[file][name])]


def test_several_passes_and_micro_batches_draw_and_choose_as_they_should() -> None:
    drawn = {"dropout": 0.1, "path_noise": 0.1, "initial_latents": "random", "forward_dtype": "float64"}
    run, parted = (run_of(3, drawn, carry_noise=0.01, passes_per_update=2, micro_batches=parts) for parts in (1, 2))
    states = [state_of(one) for one in (run, parted)]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        take_steps(states[0], SHAPE, 0, 1)
    assert counter.get_total_flops() == pytest.approx(run_cost(run, SHAPE).step_flops, rel=0.02)
    take_steps(states[0], SHAPE, 1, 3)
    take_steps(states[1], SHAPE, 0, 3)
    for name, value in states[0].carry.tensors().items():
        torch.testing.assert_close(states[1].carry.tensors()[name], value, rtol=1e-9, atol=1e-9)


def test_random_starts_of_hypotheses_differ_by_slot_and_hypothesis() -> None:
    state = state_of(run_of(3, {"initial_latents": "random", "H_cycles": 1}))
    given = fresh(state, random_batch(state, SHAPE, 0)).arrays
    assert isinstance(state.loss, Supervision)
    assert state.loss.hypotheses is not None
    draws = Draws(given["keys"], is_training=True)
    filled = state.loss.hypotheses.refilled(
        state.carry, state.carry, Work(given, state.carry, state.model, state.network, None), draws
    )
    starts = torch.cat([filled.latents[f"z_L.{number}"] for number in (1, 2)] + [state.model.starts(ROWS, draws)["z_L"]])
    assert len(starts.flatten(1).unique(dim=0)) == 3 * ROWS
    assert float(starts.std()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("changes", [{}, {"architecture": "hrm"}, {"mlp_t": True, "pos_encodings": "none"}], ids=str)
def test_costs_are_what_is_computed_and_kept(changes: dict[str, Any]) -> None:
    model = {name: value for name, value in SMALL.items() if "architecture" not in changes or name not in ("L_layers", "L_cycles")}
    run = run_of(4)
    run = RunConfig.model_validate(run.model_dump() | {"model": model | changes})
    state, cost = state_of(run), run_cost(run, SHAPE)
    given = fresh(state, random_batch(state, SHAPE, 0))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        carry = device_step(state, given)
    assert cost.step_flops == pytest.approx(counter.get_total_flops(), rel=0.02)
    one = run_cost(run_of(1).model_copy(update={"model": run.model}), SHAPE)
    own = sum(value.nbytes for name, value in carry.latents.items() if "." in name)
    assert cost.checkpoint_bytes - one.checkpoint_bytes == own
    assert cost.memory_bytes - one.memory_bytes == 3 * own
    assert cost.forward_flops_row == one.forward_flops_row


def test_a_step_asks_for_no_value() -> None:
    """It runs on a device without memory, so a CUDA graph can hold it."""
    drawn = {"dropout": 0.1, "path_noise": 0.1, "relaxation": 0.9, "initial_latents": "random", "forward_dtype": "bfloat16"}
    for model in (drawn, {"forward_dtype": "bfloat16"}):
        state = TrainingState(run_of(3, model, carry_noise=0.1), SHAPE, max_steps=2, device="meta")
        buffer, layout = packed(state, random_batch(state, SHAPE, 0))
        device_step(state, views(state, buffer.to("meta"), layout))


class OwnNetwork(ImportedNetwork):
    """A network of a person's own."""

    architecture: Literal["own"] = "own"


class OwnLoss(ImportedLoss):
    """A loss of a person's own."""

    type: Literal["own_loss"] = "own_loss"


def test_what_has_no_hypotheses_is_refused() -> None:
    with forgotten():
        add_member(ImportedNetwork, OwnNetwork, __name__)
        add_member(ImportedLoss, OwnLoss, __name__)
        assert run_of(1, {"architecture": "trm"}).training.hypotheses == 1
        values = run_of(2).model_dump(mode="json")
        with pytest.raises(ValueError, match=r"training.hypotheses 2 are latents that blocks update, and own has none; set"):
            RunConfig.model_validate(values | {"model": {"architecture": "own"}})
        for hypotheses, sigma, said in ((2, 0.0, "hypotheses 2"), (1, 0.1, "carry_noise 0.1")):
            with pytest.raises(ValueError, match=rf"training.{said} is of the losses .*own_loss is your own"):
                run_of(hypotheses, loss="own_loss", carry_noise=sigma)
    with pytest.raises(ValueError, match="hypotheses"):
        run_of(0)
    assert run_of(2).network_digest() != run_of(1).network_digest()

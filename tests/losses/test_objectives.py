"""Parts of an objective that are off by default: their formulas, their gradients, their cost; what is off leaves every bit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.losses import SoftmaxLoss, StablemaxLoss
from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.losses.loss import Pass, Work
from trm.losses.objective import supervision_loss
from trm.losses.softmax import softmax_cross_entropy
from trm.losses.stablemax import stablemax_cross_entropy
from trm.losses.sums import INTERMEDIATE
from trm.losses.supervision import PREVIOUS
from trm.models import layers
from trm.models.cost import passes_of, run_cost
from trm.models.network import Output
from trm.training.cuda_graph import RecordedStep
from trm.training.start import start_plan
from trm.training.state import TrainingState
from trm.training.step_inputs import fresh

LABELS = torch.tensor([[0, 2, -100], [1, 1, 0]])


def objective(**parts: Any) -> dict[str, Any]:
    return {"loss": {"type": "softmax", **parts}}


def s(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 1, 1 / (1 - x.clamp(max=0)))


@given(st.lists(st.floats(-4, 4).filter(lambda x: abs(x) > 1e-3), min_size=3, max_size=6), st.sampled_from([0.0, 0.1, 0.7]))
def test_smoothed_stablemax_is_its_formula_and_so_is_its_gradient(values: list[float], smoothing: float) -> None:
    x = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1])
    shares = torch.full_like(x, smoothing / len(values))
    shares[0, 1] += 1 - smoothing
    by_hand = -(shares * (s(x) / s(x).sum(-1, keepdim=True)).log()).sum(-1)
    found = stablemax_cross_entropy(x, target, smoothing)
    torch.testing.assert_close(found, by_hand)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, torch.autograd.grad(by_hand.sum(), x)[0])
    assert torch.autograd.gradcheck(lambda x: stablemax_cross_entropy(x, target, smoothing), (x,))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e30, -1e30])
def test_smoothed_stablemax_is_finite_where_one_branch_is_not(value: float) -> None:
    x = torch.tensor([[value, 0.5, value]], requires_grad=True)
    stablemax_cross_entropy(x, torch.tensor([0]), 0.2).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_smoothed_softmax_is_torch_s() -> None:
    logits = torch.randn(4, 5, 7, dtype=torch.float64)
    target = torch.randint(0, 7, (4, 5))
    expected = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.3, reduction="none")
    torch.testing.assert_close(softmax_cross_entropy(logits, target, 0.3), expected.view(4, 5))
    assert torch.equal(softmax_cross_entropy(logits, target, 0.0), softmax_cross_entropy(logits, target))


def answers(count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(4)
    for _ in range(count):
        yield torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)


def row_losses(logits: Tensor) -> Tensor:
    each = functional.cross_entropy(logits.flatten(0, 1), LABELS.flatten(), reduction="none", ignore_index=-100).view(2, 3)
    return each.sum(-1) / (LABELS >= 0).sum(-1)


def test_the_parts_add_up_by_their_weights() -> None:
    first, second, last, previous = answers(4)
    q, target, steps = (
        torch.tensor([0.3, -1.0]).double(),
        torch.tensor([0.9, 0.1]).double(),
        torch.tensor([1, 3], dtype=torch.int32),
    )
    parts = SoftmaxLoss(halt_loss_weight=0.05, answer_target="difference", intermediate_weight=0.3, step_weights=0.5)
    found = supervision_loss(
        Output(last, q, q, (first, second)),
        LABELS,
        cross_entropy=softmax_cross_entropy,
        dtype=torch.float64,
        continue_target=target,
        objective=parts,
        steps=steps,
        previous=previous,
    )
    weights = torch.tensor([1.5, 2.5]).double()
    inner = row_losses(first - previous) + row_losses(second - first)
    exact = found.is_exact.double()
    halting = functional.binary_cross_entropy_with_logits(q, exact, reduction="none")
    going_on = functional.binary_cross_entropy_with_logits(q, target, reduction="none")
    rows = row_losses(last - second) + 0.3 * inner + 0.05 * (halting + going_on)
    torch.testing.assert_close(found.loss, (weights * rows).sum())
    torch.testing.assert_close(found.answer_loss, row_losses(last - second).sum())
    assert found.intermediate_loss is not None
    torch.testing.assert_close(found.intermediate_loss, inner.sum())


def test_no_gradient_goes_into_the_answer_before() -> None:
    last, previous = (answer.requires_grad_() for answer in answers(2))
    q = torch.zeros(2).double()
    parts = StablemaxLoss(answer_target="difference")
    keys: dict[str, Any] = {"cross_entropy": stablemax_cross_entropy, "dtype": torch.float64, "objective": parts}
    supervision_loss(Output(last, q, q), LABELS, previous=previous, **keys).loss.backward()
    assert previous.grad is None
    assert last.grad is not None


def passes(state: TrainingState) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of the passes of the next update, and the gradient that they leave."""
    item = start_plan(state, cases.SPLITS["train"], cases.manifest()).batch(state.step)
    made, losses = state.loss.passes(Work(fresh(state, item).arrays, state.carry, state.model, state.network, state.table)), []
    while True:
        try:
            one: Pass = next(made)
        except StopIteration as end:
            state.carry = end.value.carry
            return losses, {name: value.grad for name, value in state.model.named_parameters() if value.grad is not None}
        losses.append(one.loss.item())
        one.loss.backward()


def test_several_passes_are_the_mean_of_as_many_supervision_steps() -> None:
    """Of the same weights: the second goes on where the first ended, and halted slots take the update's puzzle for them."""
    double = {"forward_dtype": "float64", "halt_exploration_prob": 0.0, "puzzle_emb_ndim": 0, "puzzle_emb_len": 0}
    together = cases.begin(cases.config_of(model=double, training={"passes_per_update": 3}))
    alone = cases.begin(cases.config_of(model=double))
    expected, gradients = [], []
    for _ in range(3):
        alone.model.zero_grad()
        losses, gradient = passes(alone)
        expected += losses
        gradients.append(gradient)
    found, summed = passes(together)
    assert [3 * loss for loss in found] == pytest.approx(expected)
    for name, value in summed.items():
        torch.testing.assert_close(3 * value, sum(one[name] for one in gradients))
    for name, value in together.carry.tensors().items():
        torch.testing.assert_close(value, alone.carry.tensors()[name])


def test_reports_are_means_over_all_passes() -> None:
    state = cases.begin(cases.config_of(training={"passes_per_update": 2, "log_every_steps": 100}))
    losses = cases.losses_until(state, 1)
    other = cases.begin(cases.config_of(training={"passes_per_update": 2}))
    assert losses[0] == pytest.approx(sum(passes(other)[0]), rel=1e-5)
    cases.advance(state, 12)
    point = state.metrics.take_point()
    assert 0 < point["halted_share"] <= 1
    assert 1 <= point["mean_halting_step"] <= 4


@pytest.mark.parametrize("variant", ["attention", "continue", "draws"])
def test_micro_batches_are_the_same_numbers(variant: str) -> None:
    def trained(parts: int) -> tuple[list[float], dict[str, Tensor]]:
        training = cases.VARIANTS[variant].get("training", {}) | {"micro_batches": parts}
        model = cases.VARIANTS[variant].get("model", {}) | {"forward_dtype": "float64"}
        state = cases.begin(cases.config_of(variant, model=model, training=training))
        return cases.losses_until(state, 8), cases.everything(state)

    losses, whole = trained(1)
    for parts in (2, 8):
        again, found = trained(parts)
        assert again == pytest.approx(losses, rel=1e-9)
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-9)


def test_a_run_goes_on_with_other_micro_batches(tmp_path: Path) -> None:
    """Where memory turned out to be short."""
    state = cases.begin(cases.config_of())
    cases.advance(state, 5)
    state.save(tmp_path / "half")
    again = cases.resume(tmp_path / "half", cases.config_of(training={"micro_batches": 4}))
    assert cases.losses_until(again, 10) == pytest.approx(cases.losses_until(state, 10), rel=1e-4)


def test_the_answer_before_is_carried_and_zero_in_a_fresh_slot() -> None:
    state = cases.begin(cases.config_of(training=objective(answer_target="difference")))
    assert not state.carry.extras[PREVIOUS].any()
    cases.advance(state, 1)
    assert state.carry.extras[PREVIOUS].any()
    assert f"carry.{PREVIOUS}" in state.files_to_save()["state.safetensors"]
    state.carry.extras[PREVIOUS].fill_(1e4)  # what fresh slots do not see
    state.carry.halted.fill_(True)
    cases.advance(state, 2)
    assert state.metrics.take_report()["lm_loss"] < 100


def test_the_answer_before_is_saved_beside_latents_that_are_logits_too(tmp_path: Path) -> None:
    config = cases.config_of(
        model={"architecture": "cell_mlp", "grid_width": 3, "halt_max_steps": 4}, training=objective(answer_target="difference")
    )
    state = cases.begin(config)
    cases.advance(state, 2)
    state.save(tmp_path / "half")
    again = cases.resume(tmp_path / "half", config)
    assert cases.losses_until(again, 5) == cases.losses_until(state, 5)


def test_inner_answers_are_read_in_training_alone_and_told_by_name() -> None:
    state = cases.begin(
        cases.config_of(model={"H_cycles": 3}, training=objective(intermediate_weight=0.5) | {"log_every_steps": 1})
    )
    cases.advance(state, 2)
    report = state.metrics.take_report()
    assert report[INTERMEDIATE] > report["lm_loss"] > 0
    assert INTERMEDIATE in state.curve.table().column_names
    plain = cases.begin(cases.config_of(training={"log_every_steps": 1}))
    cases.advance(plain, 2)
    assert INTERMEDIATE not in plain.curve.table().column_names


def test_inner_answers_of_cycles_without_gradient_teach_the_head_alone() -> None:
    def gradient(weight: float) -> dict[str, Tensor]:
        values = {"H_cycles": 3, "forward_dtype": "float64"}
        return passes(cases.begin(cases.config_of(model=values, training=objective(intermediate_weight=weight))))[1]

    without, read = gradient(0.0), gradient(0.5)
    apart = [name for name in without if not torch.equal(without[name], read[name])]
    assert apart == ["answer_head"]


COSTS: dict[str, dict[str, Any]] = {
    "inner answers": {"training": objective(intermediate_weight=0.5)},
    "inner answers, all differentiated": {"model": {"gradient": "all"}, "training": objective(intermediate_weight=0.5)},
    "inner answers of hrm": {"model": {"architecture": "hrm", "H_layers": 1}, "training": objective(intermediate_weight=0.5)},
    "inner answers, heads alone": {"optim": {"trained": "heads"}, "training": objective(intermediate_weight=0.5)},
    "inner answers, puzzle embedding alone": {
        "model": {"gradient": 2},
        "optim": {"trained": "puzzle_embedding"},
        "training": objective(intermediate_weight=0.5),
    },
    "three passes": {"training": {"passes_per_update": 3}},
    "passes that learn to go on": {"model": {"no_ACT_continue": False}, "training": {"passes_per_update": 2}},
    "micro batches": {"training": {"micro_batches": 4}},
    "differences, smoothed, weighted": {
        "training": objective(answer_target="difference", label_smoothing=0.1, step_weights=1.0, halt_loss_weight=0.1)
    },
}


def costly(name: str) -> RunConfig:
    sections = COSTS[name]
    model = {"H_cycles": 3, "L_cycles": 2, "halt_max_steps": 4} | sections.get("model", {})
    return cases.config_of(model=model, optim=sections.get("optim", {}), training={"kernels": "plain"} | sections["training"])


@pytest.mark.parametrize("name", COSTS)
def test_flops_of_a_real_step_are_those_foretold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_uses_cpu_layers", lambda x: False)
    config = costly(name)
    state = TrainingState(config, cases.manifest().shape, max_steps=cases.STEPS)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        cases.advance(state, 1)
    assert run_cost(config, state.shape).step_flops == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_one_place_says_how_often_an_update_goes_through_the_network() -> None:
    config = costly("passes that learn to go on")
    assert (passes_of(config).learned, passes_of(config).forwards, passes_of(config).reads_cycles) == (2, 2, False)


def test_memory_is_divided_by_micro_batches_and_grows_by_what_is_held() -> None:
    def bytes_of(**training: Any) -> int:
        config = cases.config_of(model={"H_cycles": 3, "hidden_size": 64}, training={"global_batch_size": 64, **training})
        return run_cost(config, cases.manifest().shape).memory_bytes

    whole, fixed = bytes_of(), bytes_of(micro_batches=64)
    assert bytes_of(micro_batches=4) == pytest.approx(fixed + (whole - fixed) / 4, rel=0.05)
    assert bytes_of(**objective(intermediate_weight=0.1)) > whole
    assert bytes_of(**objective(answer_target="difference")) > whole
    assert bytes_of(passes_per_update=4) == whole


def test_recorded_steps_follow_every_part() -> None:
    config = cases.config_of("objectives")
    stepwise, recorded = cases.begin(config), cases.begin(config)
    cases.advance(stepwise, 6)
    stepper, feed = RecordedStep(torch.device("cpu")), start_plan(recorded, cases.SPLITS["train"], cases.manifest())
    for step in range(6):
        stepper(recorded, feed.batch(step))
    torch.testing.assert_close(recorded.parameters, stepwise.parameters)


def test_at_their_defaults_they_are_in_no_file_and_no_digest() -> None:
    config = cases.config_of()
    values = config.model_dump(mode="json")
    assert values["training"]["loss"] == "stablemax"
    explicit = {"type": "stablemax", "label_smoothing": 0.0, "halt_loss_weight": 0.5, "step_weights": 0.0}
    same = cases.config_of(model={"halt_bias": -5.0}, training={"loss": explicit, "passes_per_update": 1, "micro_batches": 1})
    assert same == config
    assert same.network_digest() == config.network_digest()
    assert cases.config_of(training={"micro_batches": 2}).network_digest() == config.network_digest(), "as other operators"
    for changed in ({"loss": {"label_smoothing": 0.1}}, {"passes_per_update": 2}):
        other = cases.config_of(training=changed)
        assert other.network_digest() != config.network_digest()
        assert RunConfig.model_validate_json(other.model_dump_json()) == other


def test_without_an_inner_cycle_there_is_nothing_to_weigh_and_no_other_run() -> None:
    weighed, smoothed = objective(intermediate_weight=0.5), objective(intermediate_weight=0.5, label_smoothing=0.1)
    for training, plain in ((weighed, objective()), (smoothed, objective(label_smoothing=0.1))):
        one, other = (cases.config_of(model={"H_cycles": 1}, training=each) for each in (training, plain))
        assert not one.reads_cycles
        assert one.network_digest() == other.network_digest()
        assert cases.config_of(training=training).network_digest() != cases.config_of(training=plain).network_digest()
    assert cases.config_of(
        training=weighed | {"depth_schedule": [[0.5, 2, 1], [0.5, 1, 1]]}, model={"H_cycles": 1, "L_cycles": 1}
    ).reads_cycles


def test_validation_is_by_labels_as_they_are() -> None:
    states = [cases.begin(cases.config_of(training=objective(label_smoothing=smoothing))) for smoothing in (0.0, 0.3)]
    logits, labels = torch.randn(3, 4, 5), torch.randint(0, 5, (3, 4))
    assert torch.equal(*(state.loss.of_answers(logits, labels) for state in states))


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, objective(label_smoothing=1.0), "less than 1"),
        ({}, objective(halt_loss_weight=-0.1), "greater than or equal to 0"),
        ({}, objective(answer_target="raw"), "plain.*difference"),
        ({}, objective(step_weights=-0.25), r"1 \+ a t above 0, got -0.25 with model.halt_max_steps 4; set it above -0.25"),
        ({}, {"passes_per_update": 0}, "greater than or equal to 1"),
        ({}, {"micro_batches": 3}, "must divide global_batch_size, got 3 for 8; set micro_batches: 1"),
        ({"answers_after": "every_cycle"}, objective(halt_loss_weight=0.1), "means nothing for trm with answers after every cycle"),
        (
            {"answers_after": "every_cycle"},
            objective(intermediate_weight=0.1),
            "which counts every cycle's answer in full; set it to 0",
        ),
        ({"answers_after": "every_cycle", "halt_bias": -3.0}, {}, "halt_bias -3 means nothing for answers_after every_cycle"),
        (
            {"architecture": "direct", "halt_max_steps": 1, "halt_bias": -3.0},
            {},
            "means nothing for the architecture direct, .* take a network that halts",
        ),
        (
            {"architecture": "cnn", "halt_max_steps": 1},
            {"carry_noise": 0.1},
            "carry_noise 0.1 is of latents that slots carry, and cnn has none; set",
        ),
        (
            {},
            objective(intermediate_weight=0.1) | {"kernels": "fused"},
            "fused does not do training.loss.intermediate_weight 0.1; set training.loss.intermediate_weight: 0, or",
        ),
    ],
)
def test_what_means_nothing_is_refused(model: dict[str, Any], training: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        cases.config_of(model=model, training=training)


def test_a_worker_s_slots_must_divide_too() -> None:
    from trm.config.training import require_divisible

    with pytest.raises(ConfigError, match="must divide a worker's slots, got 4 for 6") as error:
        require_divisible(12, 2, 4)
    assert error.value.remedy == "try 3"

"""The losses against their formulas, and their gradients where a naive form breaks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trm.losses.answer import IGNORED, CrossEntropy, answer_loss
from trm.losses.objective import halting_loss, supervision_loss
from trm.losses.softmax import softmax_cross_entropy
from trm.losses.stablemax import stablemax_cross_entropy
from trm.models.network import Output

floats = st.floats(-40, 40, width=32)


def stable(x: float) -> float:
    return x + 1 if x >= 0 else 1 / (1 - x)


def log_stablemax(logits: Tensor) -> Tensor:
    """Of every value of the last axis, from the loss that each would have as the target."""
    targets = torch.arange(logits.shape[-1]).expand_as(logits)
    return -stablemax_cross_entropy(logits[..., None, :].expand(*logits.shape, logits.shape[-1]), targets)


def plain_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The same loss left to autograd, in a form whose gradient is finite."""
    positive, negative = torch.relu(logits), logits.clamp(max=0)
    total = ((positive + 1) / (1 - negative)).sum(-1, keepdim=True)
    log_p = torch.log1p(positive) - torch.log1p(-negative) - torch.log(total)
    return -log_p.gather(-1, target[..., None]).squeeze(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_hand_written_loss_and_gradient_are_those_of_autograd_bit_for_bit(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(16, 9, 11, generator=generator, dtype=dtype) * torch.tensor([1.0, 0.01, 30.0] * 3)[:, None]
    values[0, 0, :3] = torch.tensor([0.0, 1.0, -1.0])
    target, weights = torch.randint(0, 11, (16, 9), generator=generator), torch.randn(16, 9, generator=generator, dtype=dtype)
    found = []
    for form in (stablemax_cross_entropy, plain_cross_entropy):
        logits = values.clone().requires_grad_()
        loss = form(logits, target)
        (loss * weights).sum().backward()
        found.append((loss.detach(), logits.grad))
    assert all(torch.equal(ours, plain) for ours, plain in zip(*found, strict=True))


@given(st.lists(floats, min_size=2, max_size=8))
def test_stablemax_equals_its_formula(values: list[float]) -> None:
    total = sum(map(stable, values))
    expected = torch.tensor([math.log(stable(v) / total) for v in values], dtype=torch.float64)
    torch.testing.assert_close(log_stablemax(torch.tensor(values, dtype=torch.float64)), expected)


@given(st.lists(floats, min_size=2, max_size=8))
def test_stablemax_is_a_distribution(values: list[float]) -> None:
    assert log_stablemax(torch.tensor(values, dtype=torch.float64)).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [1.0, 0.0, -1.0, 1e30, -1e30])
def test_the_gradient_is_finite_where_branches_meet_or_explode(value: float, dtype: torch.dtype) -> None:
    logits = torch.tensor([[[value, 1.0, 0.5]]], dtype=dtype, requires_grad=True)
    answer_loss(logits, torch.tensor([[0]]), stablemax_cross_entropy, dtype).sum().backward()
    assert logits.grad.isfinite().all()


def test_the_gradient_of_s_is_one_at_zero_from_both_sides() -> None:
    for value in (-1e-9, 0.0, 1e-9):
        logits = torch.tensor([value, 0.7], dtype=torch.float64, requires_grad=True)
        log_stablemax(logits)[0].backward()
        total = 1 + 1.7
        torch.testing.assert_close(
            logits.grad, torch.tensor([1 - 1 / total, -1 / total], dtype=torch.float64), rtol=1e-7, atol=1e-7
        )


@given(st.lists(floats.filter(lambda v: abs(v) > 1e-3), min_size=3, max_size=6))
def test_stablemax_has_the_gradient_of_its_values(values: list[float]) -> None:
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_stablemax, logits)


@pytest.mark.parametrize("kind", [stablemax_cross_entropy, softmax_cross_entropy])
def test_a_row_s_loss_is_the_mean_over_its_labelled_cells(kind: CrossEntropy) -> None:
    logits = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, 2, 3, 4], [IGNORED, 0, IGNORED, 2], [IGNORED] * 4])
    log_p = log_stablemax(logits) if kind is stablemax_cross_entropy else logits.log_softmax(-1)
    expected = [
        -sum(log_p[0, i, i + 1] for i in range(4)) / 4,
        -(log_p[1, 1, 0] + log_p[1, 3, 2]) / 2,
        torch.zeros((), dtype=torch.float64),
    ]
    torch.testing.assert_close(answer_loss(logits, labels, kind, torch.float64), torch.stack(expected))


def test_float32_stablemax_follows_float64() -> None:
    logits = 3 * torch.randn(4, 9, 11, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 11, (4, 9), generator=torch.Generator().manual_seed(2))
    single = answer_loss(logits, labels, stablemax_cross_entropy, torch.float32)
    torch.testing.assert_close(
        single.double(), answer_loss(logits, labels, stablemax_cross_entropy, torch.float64), rtol=1e-5, atol=1e-6
    )


def said(predictions: list[list[int]], q_halt: list[float], q_continue: list[float]) -> Output:
    logits = torch.nn.functional.one_hot(torch.tensor(predictions), 4).double() * 3 - 1
    pair: list[Tensor] = [torch.tensor(q, dtype=torch.float64) for q in (q_halt, q_continue)]
    return Output(logits, *pair)


def test_all_losses_of_a_step() -> None:
    output = said([[1, 2], [1, 3], [0, 0]], [2.0, -1.0, 0.5], [0.3, -0.2, 0.0])
    labels = torch.tensor([[1, 2], [1, 2], [IGNORED, 0]])
    target = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    losses = supervision_loss(output, labels, cross_entropy=stablemax_cross_entropy, dtype=torch.float64, continue_target=target)
    assert losses.is_exact.tolist() == [True, False, True]
    assert losses.correct_cells.tolist() == [2, 1, 1]
    assert losses.labelled_cells.tolist() == [2, 2, 1]

    def cross_entropy(q: float, wanted: float) -> float:
        p = 1 / (1 + math.exp(-q))
        return -wanted * math.log(p) - (1 - wanted) * math.log(1 - p)

    right, wrong = -math.log(3 / 4.5), -math.log(0.5 / 4.5)
    assert losses.answer_loss.item() == pytest.approx(right + (right + wrong) / 2 + right)
    assert losses.halting_loss.item() == pytest.approx(cross_entropy(2.0, 1) + cross_entropy(-1.0, 0) + cross_entropy(0.5, 1))
    assert losses.continue_loss is not None
    assert losses.continue_loss.item() == pytest.approx(
        sum(cross_entropy(q, t) for q, t in zip([0.3, -0.2, 0.0], [0.9, 0.5, 0.1], strict=True))
    )
    halting = losses.halting_loss.item() + losses.continue_loss.item()
    assert losses.loss.item() == pytest.approx(losses.answer_loss.item() + 0.5 * halting)


def test_without_a_target_there_is_no_continue_loss_and_its_head_learns_nothing() -> None:
    output = said([[1, 2]], [0.1], [0.2])
    leaves = Output(*(value.requires_grad_() for value in output[:3]))
    losses = supervision_loss(leaves, torch.tensor([[1, 2]]), cross_entropy=softmax_cross_entropy, dtype=torch.float32)
    losses.loss.backward()
    assert losses.continue_loss is None
    assert leaves.q_continue.grad is None
    assert not losses.answer_loss.requires_grad


def test_halting_loss_is_a_sum_over_rows() -> None:
    q = torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64)
    assert halting_loss(q, torch.tensor([True, False, True])).item() == pytest.approx(3 * math.log(2))

"""The optimizers against plain scalar formulas, the schedule against its values, the average against its recursion."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trm.config.optimizers import AdamATan2Config
from trm.optim import adam_atan2
from trm.optim.adam_atan2 import AdamATan2, Factors, factors_at
from trm.optim.averaging import WeightAverage
from trm.optim.optimizer import Group, learning_rates
from trm.optim.schedule import lr_factor
from trm.optim.sign_sgd import SignSGD


def scalar_adam_atan2(p: float, gradients: list[float], lr: float, b1: float, b2: float, decay: float) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        p *= 1 - lr * decay
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        p -= lr / (1 - b1**t) * math.atan2(m, math.sqrt(v) / math.sqrt(1 - b2**t))
    return p


@given(
    st.floats(-3, 3),
    st.lists(st.sampled_from([0.0, 1e-30, -1e-8, 1.0, -2.5, 1e6]), min_size=1, max_size=6),
    st.floats(1e-4, 0.1),
    st.floats(0, 1),
)
def test_adam_atan2_equals_its_scalar_formula(start: float, gradients: list[float], lr: float, decay: float) -> None:
    p = torch.tensor([start, start], dtype=torch.float64, requires_grad=True)
    other = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    optimizer = AdamATan2([p, other], lr=lr, betas=(0.9, 0.95), weight_decay=decay)
    for g in gradients:
        p.grad, other.grad = torch.full_like(p, g), torch.full_like(other, -g)
        optimizer.step()
    expected = scalar_adam_atan2(start, gradients, lr, 0.9, 0.95, decay)
    mirrored = scalar_adam_atan2(1.0, [-g for g in gradients], lr, 0.9, 0.95, decay)
    torch.testing.assert_close(p.detach(), torch.full_like(p, expected), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other.detach(), torch.full_like(other, mirrored), rtol=1e-12, atol=1e-12)


def test_adam_atan2_does_not_see_the_gradient_s_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 10, generator=generator, dtype=torch.float64)
    ends = []
    for scale in (1e-6, 1.0, 1e6):
        p = torch.zeros(10, dtype=torch.float64, requires_grad=True)
        optimizer = AdamATan2([p], lr=0.01, weight_decay=0.0)
        for g in gradients:
            p.grad = g * scale
            optimizer.step()
        ends.append(p.detach())
    torch.testing.assert_close(ends[0], ends[1])
    torch.testing.assert_close(ends[2], ends[1])


def test_adam_atan2_leaves_a_parameter_without_gradient_alone() -> None:
    touched, idle = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = AdamATan2([touched, idle], weight_decay=1.0)
    touched.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(idle.detach(), torch.ones(2))
    assert not optimizer.state[idle]


def test_adam_atan2_goes_on_from_its_saved_state() -> None:
    def run(steps: int, saved_at: int | None) -> torch.Tensor:
        p = torch.ones(4, requires_grad=True)
        optimizer = AdamATan2([p], lr=0.1)
        for i in range(steps):
            if i == saved_at:
                state = optimizer.state_dict()
                optimizer = AdamATan2([p], lr=0.1)
                optimizer.load_state_dict(state)
            p.grad = torch.full((4,), 1.0 + i)
            optimizer.step()
        return p.detach()

    assert torch.equal(run(6, saved_at=3), run(6, saved_at=None))


@pytest.mark.parametrize("form", ["numbers", "tensors", "compiled"])
def test_every_form_of_the_update_is_the_same(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in the arithmetic, tensors that a recording reads, and what torch traces for its compiler."""
    monkeypatch.setattr(adam_atan2, "update_", inspect.unwrap(adam_atan2.update_))  # the tests' type checks cannot be traced
    generator = torch.Generator().manual_seed(4)
    starts = [torch.randn(size, generator=generator) for size in ((3, 5), (2, 256), (7,))]
    gradients = [[torch.randn(start.shape, generator=generator) for start in starts] for _ in range(4)]
    ends = []
    for kind in ("step", form):
        params = [start.clone().requires_grad_() for start in starts]
        optimizer = AdamATan2(params, lr=0.05, weight_decay=0.3)
        if kind == "compiled":
            optimizer.compile(backend="aot_eager")
        for t, given_gradients in enumerate(gradients, start=1):
            for p, gradient in zip(params, given_gradients, strict=True):
                p.grad = gradient.clone()
            factors = factors_at(t, lr=0.05, betas=(0.9, 0.95), weight_decay=0.3)
            if kind == "step":
                optimizer.step()
            else:
                optimizer.apply([factors if kind == "numbers" else Factors(*(torch.tensor(factor) for factor in factors))])
                optimizer.count()
        ends.append([p.detach() for p in params] + [moment for state in optimizer.state.values() for moment in state.values()])
    for plain, other in zip(*ends, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-6, atol=1e-7)


def test_sign_sgd_sums_gradients_of_equal_identifiers_and_touches_no_other_row() -> None:
    table = torch.ones(5, 3)
    optimizer = SignSGD(table, lr=0.1, weight_decay=0.5)
    gradients = torch.tensor([[1.0, -1.0, 0.0], [-3.0, 2.0, 0.0], [5.0, 5.0, 5.0]])
    optimizer.apply(torch.tensor([4, 4, 1], dtype=torch.int32), gradients, optimizer.numbers(0.1))
    decayed = 1 - 0.1 * 0.5
    expected = torch.ones(5, 3)
    expected[4] = torch.tensor([decayed + 0.1, decayed - 0.1, decayed])
    expected[1] = decayed - 0.1
    torch.testing.assert_close(table, expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 100))
def test_sign_sgd_equals_a_loop_over_identifiers(identifiers: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    gradients = torch.randint(-2, 3, (len(identifiers), 2), generator=generator).double()
    expected = table.clone()
    for i in set(identifiers):
        total = sum(gradients[k] for k, j in enumerate(identifiers) if j == i)
        expected[i] = expected[i] * (1 - 0.01 * 0.1) - 0.01 * torch.sign(total)
    optimizer = SignSGD(table, lr=0.01, weight_decay=0.1)
    optimizer.apply(torch.tensor(identifiers), gradients, optimizer.numbers(0.01))
    torch.testing.assert_close(table, expected, rtol=1e-15, atol=1e-15)


def test_the_order_of_ranks_does_not_matter_to_sign_sgd() -> None:
    identifiers = torch.tensor([3, 0, 3, 2, 0])
    gradients = torch.tensor([[1.0], [2.0], [-4.0], [1.0], [-2.0]])
    order = torch.tensor([4, 2, 0, 1, 3])
    tables = [torch.zeros(4, 1) for _ in range(2)]
    for table, rows in zip(tables, (slice(None), order), strict=True):
        optimizer = SignSGD(table, lr=1.0, weight_decay=0.0)
        optimizer.apply(identifiers[rows], gradients[rows], optimizer.numbers(1.0))
    assert torch.equal(tables[0], tables[1])
    assert tables[0].flatten().tolist() == [0.0, 0.0, -1.0, 1.0]


def test_warm_up_is_linear_from_the_first_step_and_constant_after() -> None:
    optim = AdamATan2Config(lr_warmup_steps=4)
    assert [lr_factor(step, optim, 10) for step in (1, 2, 3, 4, 5, 10)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])
    groups = [Group("one", 2.0), Group("other", 4.0)]
    assert [lr for _, lr in learning_rates(groups, 0.25)] == [0.5, 1.0], "every group at the share of its own peak"


def test_the_cosine_ends_at_its_floor_and_passes_its_middle() -> None:
    optim = AdamATan2Config(lr=1.0, lr_warmup_steps=2, lr_min_ratio=0.2)
    assert lr_factor(2, optim, 12) == pytest.approx(1.0)
    assert lr_factor(7, optim, 12) == pytest.approx(0.6)
    assert lr_factor(12, optim, 12) == pytest.approx(0.2)
    assert lr_factor(99, optim, 12) == pytest.approx(0.2)


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert lr_factor(1, AdamATan2Config(lr_warmup_steps=0), 100) == pytest.approx(1.0)


def test_the_average_follows_its_recursion() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    average = WeightAverage([("p", p)], rate=0.9)
    expected = p.detach().clone()
    for step in range(1, 6):
        with torch.no_grad():
            p.mul_(1.5)
        average.update(step)
        expected = 0.9 * expected + 0.1 * p.detach()
    torch.testing.assert_close(average.average["p"], expected)


def test_a_warm_average_forgets_its_start_at_first_and_ends_at_its_rate() -> None:
    average = WeightAverage([], rate=0.999, warmup=True)
    assert average.rate_at(1) == pytest.approx(2 / 11)
    assert average.rate_at(90) == pytest.approx(91 / 100)
    assert average.rate_at(100_000) == 0.999
    assert WeightAverage([], rate=0.999).rate_at(1) == 0.999


def test_swapping_in_is_in_place_and_undone_bit_for_bit_even_on_an_error() -> None:
    p = torch.nn.Parameter(torch.tensor([1.0, 1 / 3, torch.nan]))
    average = WeightAverage([("p", p)], rate=0.5)
    with torch.no_grad():
        p.add_(1.0)
    average.update(1)
    raw, pointer, mean = p.detach().clone(), p.data_ptr(), average.average["p"].clone()

    def evaluate() -> None:
        with average.swapped_in():
            assert p.detach().numpy().tobytes() == mean.numpy().tobytes()
            assert p.data_ptr() == pointer
            raise RuntimeError("evaluation broke")

    with pytest.raises(RuntimeError, match="evaluation broke"):
        evaluate()
    assert p.detach().numpy().tobytes() == raw.numpy().tobytes()
    assert average.average["p"].numpy().tobytes() == mean.numpy().tobytes()


def test_a_share_may_be_a_tensor() -> None:
    ends = []
    for kind in (float, torch.tensor):
        p = torch.nn.Parameter(torch.tensor([1.0, 1 / 3]))
        average = WeightAverage([("p", p)], rate=0.9)
        with torch.no_grad():
            p.add_(1 / 7)
        average.move(kind(0.1))
        ends.append(average.average["p"])
    assert torch.equal(*ends)


def test_a_saved_average_is_taken_over_and_a_foreign_one_is_not() -> None:
    p = torch.nn.Parameter(torch.zeros(2))
    average = WeightAverage([("p", p)], rate=0.5)
    average.load({"p": torch.ones(2)})
    assert torch.equal(average.average["p"], torch.ones(2))
    with pytest.raises(AssertionError, match="another network"):
        average.load({"q": torch.ones(2)})


def test_a_line_falls_to_zero_over_the_last_share_and_a_constant_stays() -> None:
    optim = AdamATan2Config(lr_warmup_steps=2, schedule="linear", lr_decay_share=0.25, lr_min_ratio=0.3)
    assert [lr_factor(step, optim, 20) for step in (1, 2, 15, 16, 18, 20, 21)] == pytest.approx([0.5, 1, 1, 0.8, 0.4, 0, 0])
    whole = AdamATan2Config(lr_warmup_steps=10, schedule="linear", lr_decay_share=1.0)
    assert [lr_factor(step, whole, 20) for step in (5, 10, 15, 20)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    constant = AdamATan2Config(lr_warmup_steps=2, schedule="constant", lr_min_ratio=0.1)
    assert [lr_factor(step, constant, 20) for step in (1, 2, 20)] == [0.5, 1.0, 1.0]


def test_schedules_that_are_the_same_count_the_same() -> None:
    """A constant is a cosine with its floor at the peak, whatever else is said of a floor that nothing falls to."""
    plain, constant = AdamATan2Config(), AdamATan2Config(schedule="constant", lr_min_ratio=0.1, lr_decay_share=0.5)
    assert plain.deciding_values() | {"schedule": ""} == constant.deciding_values() | {"schedule": ""}
    lines = [AdamATan2Config(schedule="linear", lr_min_ratio=floor).deciding_values() for floor in (0.1, 1.0)]
    assert lines[0] == lines[1] != constant.deciding_values()

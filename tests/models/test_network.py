"""Laws of the network: rows do not see each other, types change nothing, the hand-written gradients are gradients."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from trm.config.networks import DataShape, ModelConfig
from trm.config.recursive_networks import LatentsConfig, TrmConfig
from trm.kernels.build import why_missing
from trm.models import cpu_layers as handwritten
from trm.models import layers
from trm.models.initial import truncated_normal_
from trm.models.precision import forward_dtype, loss_dtype, set_products, weight_dtype
from trm.models.puzzle_embedding import PuzzleEmbedding
from trm.models.recursive.network import TinyRecursiveModel
from trm.models.recursive.sizes import buffer_sizes, weight_sizes
from trm.training.process import CONTEXT_BYTES, limit_gpu_memory

SHAPE = DataShape(seq_len=9, vocab_size=6, num_puzzle_identifiers=5)
SMALL = {"hidden_size": 16, "num_heads": 2, "H_cycles": 2, "L_cycles": 2, "L_layers": 2, "expansion": 1.0, "puzzle_emb_len": 2}
VARIANTS = {
    "attention": TrmConfig(**SMALL),
    "mlp": TrmConfig(**SMALL, mlp_t=True, pos_encodings="none"),
    "learned": TrmConfig(**{**SMALL, "puzzle_emb_len": 0, "puzzle_emb_ndim": 0, "pos_encodings": "learned"}),
    "normed": TrmConfig(**SMALL, ffn="normed_swiglu", pos_encodings="rope2d"),
    "conv mlp": TrmConfig(**SMALL, ffn="conv_swiglu", activation="gelu", mlp_t=True, pos_encodings="none"),
    "narrow_rows": TrmConfig(**{**SMALL, "puzzle_emb_ndim": 20, "puzzle_emb_len": 0}),
}
BATCH = 5


def build(config: ModelConfig, dtype: torch.dtype = torch.float64, seed: int = 1) -> TinyRecursiveModel:
    return TinyRecursiveModel(config, SHAPE, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def question(config: ModelConfig, dtype: torch.dtype = torch.float64, seed: int = 2) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(0, SHAPE.vocab_size, (BATCH, SHAPE.seq_len), generator=generator, dtype=torch.int32)
    rows = torch.randn(BATCH, config.puzzle_ndim, generator=generator, dtype=dtype) if config.puzzle_ndim else None
    return inputs, rows


@pytest.fixture(params=VARIANTS, ids=list(VARIANTS))
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return VARIANTS[request.param]


def test_permuting_a_batch_permutes_its_outputs(config: ModelConfig) -> None:
    model, (inputs, rows) = build(config), question(config)
    order = torch.tensor([3, 0, 4, 1, 2])
    latents, output = model(model.initial_latents(BATCH), inputs, rows)
    permuted, other = model(model.initial_latents(BATCH), inputs[order], None if rows is None else rows[order])
    for ours, theirs in zip((*permuted.values(), *other[:3]), (*latents.values(), *output[:3]), strict=True):
        torch.testing.assert_close(ours, theirs[order], rtol=1e-12, atol=1e-12)


def test_one_row_sees_nothing_of_the_others(config: ModelConfig) -> None:
    model, (inputs, rows) = build(config), question(config)
    _, together = model(model.initial_latents(BATCH), inputs, rows)
    _, alone = model(model.initial_latents(1), inputs[:1], None if rows is None else rows[:1])
    torch.testing.assert_close(alone.logits, together.logits[:1], rtol=1e-12, atol=1e-12)


def test_float32_follows_float64(config: ModelConfig) -> None:
    inputs, rows = question(config)
    _, exact = build(config)(build(config).initial_latents(BATCH), inputs, rows)
    single = build(config, torch.float32)
    _, rounded = single(single.initial_latents(BATCH), inputs, None if rows is None else rows.float())
    torch.testing.assert_close(rounded.logits.double(), exact.logits, rtol=1e-3, atol=1e-4)
    assert rounded.q_halt.dtype == torch.float32
    assert exact.q_halt.dtype == torch.float64


def test_bfloat16_keeps_float32_weights_and_follows_loosely(config: ModelConfig) -> None:
    inputs, rows = question(config)
    model = build(config, torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    latents, output = model(model.initial_latents(BATCH), inputs, None if rows is None else rows.float())
    assert latents["z_H"].dtype == output.logits.dtype == torch.bfloat16
    assert output.q_halt.dtype == torch.float32
    _, exact = build(config)(build(config).initial_latents(BATCH), inputs, rows)
    error = (output.logits.double() - exact.logits).norm() / exact.logits.norm()
    assert error < 0.15, f"bfloat16 is off by {error:.3f} of the logits' norm"
    output.logits.float().square().mean().backward()
    assert all(p.grad is None or (p.grad.dtype == torch.float32 and p.grad.isfinite().all()) for p in model.parameters())


def test_the_compiler_s_plain_form_equals_the_hand_written_one(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, rows = question(config)

    def gradients() -> list[Tensor]:
        model = build(config)
        latents, output = model(model.initial_latents(BATCH), inputs, rows)
        (output.logits.square().sum() + output.q_halt.square().sum()).backward()
        return [*latents.values(), *output, *(p.grad for p in model.parameters() if p.grad is not None)]

    hand_written = gradients()
    monkeypatch.setattr(layers, "_uses_cpu_layers", lambda x: False)
    plain = gradients()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    compiled = gradients()
    for ours, theirs, traced in zip(hand_written, plain, compiled, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(traced, theirs, rtol=1e-9, atol=1e-9)


def test_without_gradient_the_same_numbers_come_out(config: ModelConfig) -> None:
    model, (inputs, rows) = build(config), question(config)
    latents, output = model(model.initial_latents(BATCH), inputs, rows)
    with torch.no_grad():
        again, same = model(model.initial_latents(BATCH), inputs, rows)
    for ours, theirs in zip((*again.values(), *same), (*latents.values(), *output), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_only_the_last_cycle_is_differentiated(config: ModelConfig) -> None:
    inputs, rows = question(config)
    deep, model = build(config), build(config.model_copy(update={"H_cycles": 1}))
    with torch.no_grad():
        middle, _ = model(model.initial_latents(BATCH), inputs, rows)
    latents, output = deep(deep.initial_latents(BATCH), inputs, rows)
    _, expected = model(middle, inputs, rows)
    assert not any(value.requires_grad for value in latents.values())
    for result in (output, expected):
        result.logits.square().sum().backward()
    for ours, theirs in zip(deep.parameters(), model.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None and theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("is_fused", [True, False])
def test_one_latent_of_several_is_trm_to_the_bit(is_fused: bool) -> None:
    if is_fused and why_missing() is not None:
        pytest.skip("no kernels")
    fields, found = {**SMALL, "L_cycles": 3}, []
    for config in (TrmConfig(**fields), LatentsConfig(**fields, num_latents=1)):
        generator = torch.Generator().manual_seed(1)
        model = TinyRecursiveModel(config, SHAPE, dtype=torch.float32, generator=generator, is_fused=is_fused)
        inputs, rows = question(config, torch.float32)
        latents, output = model(model.initial_latents(BATCH), inputs, rows)
        output.logits.square().sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([*latents.values(), *output[:3], *gradients])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize("slice_bytes", [1, 1 << 20])
def test_hand_written_swiglu_has_the_gradient_of_its_values(
    by_rows: bool, slice_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwritten, "SLICE_BYTES", slice_bytes)
    monkeypatch.setattr(handwritten, "SLICE_TOKENS", 3)
    monkeypatch.setattr(handwritten, "SLICE_WIDTHS", 0)
    generator = torch.Generator().manual_seed(0)
    x, gate_up, down = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((4, 7), (6, 4), (4, 3)))
    x = x.t().contiguous().t() if by_rows else x
    arguments = [value.requires_grad_() for value in (x, gate_up, down)]
    assert torch.autograd.gradcheck(lambda *a: handwritten.residual_swiglu(*a, 1e-5), arguments)


def test_hand_written_projection_has_the_gradient_of_its_values() -> None:
    generator = torch.Generator().manual_seed(0)
    x, mixed = (torch.randn(7, 4, generator=generator, dtype=torch.float64).t().requires_grad_() for _ in range(2))
    weight = torch.randn(4, 4, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: handwritten.residual_linear(*a, 1e-5), (x, mixed, weight))


@pytest.mark.parametrize("is_compiling", [True, False])
def test_attention_turns_by_relative_positions_only(is_compiling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: is_compiling)
    length, heads, size = 12, 2, 8
    table = layers.rotary_table(length, size, heads, 10000.0).double()
    vector = torch.randn(2 * heads * size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = layers.rotate(vector.repeat(1, length, 1), table, 2 * heads)[0].view(length, 2, heads, size)
    scores = torch.einsum("ihd,jhd->hij", turned[:, 0], turned[:, 1])
    for offset in range(-length + 1, length):
        along = scores.diagonal(offset, 1, 2)
        torch.testing.assert_close(along, along[:, :1].expand_as(along), rtol=1e-5, atol=1e-5)


def test_paired_channels_are_half_a_head_apart_and_values_stay() -> None:
    rows = torch.arange(24.0)[:, None].expand(24, 8).contiguous()
    paired = layers.pair_channels(rows, num_heads=2)[:, 0].tolist()
    assert paired[:8] == [0, 2, 1, 3, 4, 6, 5, 7]
    assert paired[8:16] == [8, 10, 9, 11, 12, 14, 13, 15]
    assert paired[16:] == list(range(16, 24))


def test_norm_has_unit_mean_square_along_its_axis() -> None:
    x = 7 * torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for axis in (0, 1, -1):
        mean_square = layers.rms_norm(x, 1e-12, dim=axis).square().mean(axis)
        torch.testing.assert_close(mean_square, torch.ones_like(mean_square))


def test_weights_have_the_sizes_that_arithmetic_says(config: ModelConfig) -> None:
    state = {name: tuple(value.shape) for name, value in build(config).state_dict().items()}
    assert state == weight_sizes(config, SHAPE) | buffer_sizes(config)


def test_initial_weights_have_the_standard_deviation_asked_for_and_stop_at_two_sigma() -> None:
    draws = truncated_normal_(torch.empty(200_000), 0.3, torch.Generator().manual_seed(0))
    assert draws.std().item() == pytest.approx(0.3, rel=0.01)
    assert draws.mean().item() == pytest.approx(0.0, abs=0.003)
    assert draws.abs().max().item() <= 2 * 0.3 / 0.8796 + 1e-4


def test_a_seed_means_one_network_in_every_type(config: ModelConfig) -> None:
    for ours, theirs in zip(build(config, torch.float32).parameters(), build(config).parameters(), strict=True):
        assert torch.equal(ours.double(), theirs)
    assert not torch.equal(build(config, seed=1).token_embedding, build(config, seed=2).token_embedding)


def test_at_first_no_puzzle_wants_to_halt(config: ModelConfig) -> None:
    model, (inputs, rows) = build(config), question(config)
    _, output = model(model.initial_latents(BATCH), inputs, rows)
    assert torch.equal(output.q_halt, torch.full((BATCH,), -5.0, dtype=torch.float64))


def test_building_a_network_leaves_the_global_generators_alone(config: ModelConfig) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    build(config)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_puzzle_rows_are_leaves_that_collect_the_gradient_of_every_slot() -> None:
    config = VARIANTS["attention"]
    table = PuzzleEmbedding(config, SHAPE, dtype=torch.float64)
    assert not table.weight.any()
    table.weight[2] = 1.0
    rows = table.rows(torch.tensor([2, 0, 2]), requires_grad=True)
    rows.sum().backward()
    assert torch.equal(rows.grad, torch.ones(3, config.puzzle_ndim, dtype=torch.float64))
    assert torch.equal(rows[:, 0], torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    assert not table.weight.requires_grad


def test_types_follow_the_device_unless_they_are_given() -> None:
    from trm.config.training import TrainingConfig

    auto, training = TrmConfig(), TrainingConfig()
    assert (forward_dtype(auto, "cpu"), forward_dtype(auto, "cuda")) == (torch.float32, torch.bfloat16)
    assert forward_dtype(TrmConfig(forward_dtype="float64"), "cuda") == torch.float64
    assert (weight_dtype(torch.bfloat16), weight_dtype(torch.float64)) == (torch.float32, torch.float64)
    assert (loss_dtype(training, "cpu"), loss_dtype(training, "cuda")) == (torch.float64, torch.float32)
    assert loss_dtype(TrainingConfig(loss_dtype="float32"), "cpu") == torch.float32


@pytest.mark.parametrize(
    ("forward_dtype", "device", "expected"), [("tf32", "cuda", "high"), ("float32", "cuda", "highest"), ("tf32", "cpu", "medium")]
)
def test_only_tf32_lets_cuda_round_the_factors_of_float32_products(forward_dtype: str, device: str, expected: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        set_products(TrmConfig.model_validate({"forward_dtype": forward_dtype}), device)
        assert torch.get_float32_matmul_precision() == expected
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(("share", "expected"), [(0.25, [0.25 - CONTEXT_BYTES / 2**34]), (0.01, [0.01]), (1.0, []), (0.0, [])])
def test_a_process_with_a_part_of_a_gpu_keeps_to_its_part(
    share: float, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2**34))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    limit_gpu_memory(share)
    assert told == pytest.approx(expected)

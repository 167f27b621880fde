"""Arithmetic against what torch counts and keeps."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.blocks import RecursiveConfig
from trm.config.data import DataConfig
from trm.config.networks import DataShape, ModelConfig
from trm.config.optimizers import AdamATan2Config, MuonConfig
from trm.config.recursive_networks import HrmConfig, LatentsConfig, SingleZConfig, TransformerConfig, TrmConfig
from trm.config.run import RunConfig
from trm.config.training import TrainingConfig
from trm.data.batches.plan import Batch
from trm.losses.objective import supervision_loss
from trm.losses.stablemax import stablemax_cross_entropy
from trm.models import cost, counting, halting, layers
from trm.models.precision import DTYPES
from trm.models.recursive import cost as arithmetic
from trm.models.recursive.network import TinyRecursiveModel
from trm.training.loop import take_step
from trm.training.state import TrainingState

CROSS = stablemax_cross_entropy
SHAPE = DataShape(seq_len=25, vocab_size=7, num_puzzle_identifiers=3)
BATCH = 4
OPTIMIZERS = {one.type: one for one in (AdamATan2Config(), MuonConfig())}
VARIANTS = {
    "attention": TrmConfig(hidden_size=64, num_heads=2, H_cycles=2, L_cycles=3, puzzle_emb_len=4),
    "long": TrmConfig(hidden_size=16, num_heads=2, H_cycles=1, L_cycles=1, L_layers=1, puzzle_emb_len=96),
    "mlp": TrmConfig(hidden_size=48, mlp_t=True, pos_encodings="none", H_cycles=3, L_cycles=2, L_layers=1, puzzle_emb_len=1),
    "bare": TrmConfig(hidden_size=32, num_heads=2, pos_encodings="learned", puzzle_emb_ndim=0, puzzle_emb_len=0),
    "normed": TrmConfig(hidden_size=64, num_heads=2, H_cycles=1, L_cycles=2, ffn="normed_swiglu", pos_encodings="rope2d"),
    "normed mlp": TrmConfig(hidden_size=48, H_cycles=1, L_cycles=2, mlp_t=True, pos_encodings="none", ffn="normed_swiglu"),
    "conv": TrmConfig(hidden_size=64, num_heads=2, H_cycles=1, L_cycles=2, ffn="conv_swiglu", conv_kernel=3),
    "conv mlp": TrmConfig(hidden_size=48, H_cycles=1, L_cycles=2, mlp_t=True, pos_encodings="none", ffn="conv_swiglu"),
    "relu2": TrmConfig(hidden_size=64, num_heads=2, H_cycles=1, L_cycles=2, activation="relu2"),
    "hrm": HrmConfig(hidden_size=32, num_heads=2, H_layers=1, L_layers=2),
    "odd heads": TransformerConfig(hidden_size=32, num_heads=3, H_layers=2),
    "every cycle": TrmConfig(
        hidden_size=32, num_heads=2, H_cycles=3, L_cycles=1, puzzle_emb_len=2, answers_after="every_cycle", networks="separate"
    ),
    "last call": TrmConfig(hidden_size=32, num_heads=2, H_cycles=1, L_cycles=1, L_layers=1, gradient="last_call", expansion=1.0),
    "continue": TrmConfig(hidden_size=32, num_heads=2, H_cycles=2, L_cycles=2, no_ACT_continue=False),
}


def run(model: ModelConfig, batch: int = BATCH, **training: float) -> RunConfig:
    length = training or {"steps": 10}
    return RunConfig(data=DataConfig(folder="x"), model=model, training=TrainingConfig(global_batch_size=batch, **length))


def counted(config: ModelConfig, *, is_training: bool) -> int:
    model = TinyRecursiveModel(config, SHAPE, dtype=torch.float32)
    rows = torch.zeros(BATCH, config.puzzle_ndim, requires_grad=True) if config.puzzle_ndim else None
    inputs = torch.zeros(BATCH, SHAPE.seq_len, dtype=torch.int32)
    labels, steps = inputs.long(), torch.ones(BATCH, dtype=torch.int32)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.set_grad_enabled(is_training):
        latents, output = model(model.initial_latents(BATCH), inputs, rows)
        if is_training:
            target = None
            if config.halting.learns_continue:
                with torch.no_grad():
                    target = halting.continue_target(model(latents, inputs, rows)[1], steps, config)
            losses = supervision_loss(output, labels, cross_entropy=CROSS, dtype=torch.float64, continue_target=target)
            losses.loss.backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("is_plain", [False, True])
def test_flops_agree_with_torch_s_counter(name: str, is_plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_plain:
        monkeypatch.setattr(layers, "_uses_cpu_layers", lambda x: False)
    figures = cost.run_cost(run(VARIANTS[name]), SHAPE)
    assert figures.step_flops == pytest.approx(counted(VARIANTS[name], is_training=True), rel=0.02)
    assert figures.forward_flops_row * BATCH == pytest.approx(counted(VARIANTS[name], is_training=False), rel=0.02)


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a model and its loss; made into a run by the test, for beartype looks at random items, which strategies may not."""
    heads, mlp_t, has_puzzles = draw(st.sampled_from([1, 2, 4])), draw(st.booleans()), draw(st.booleans())
    cycles = {name: draw(st.integers(1, 3)) for name in ("H_cycles", "L_cycles", "L_layers")}
    return {
        "hidden_size": heads * draw(st.sampled_from([8, 16])),
        "num_heads": heads,
        "expansion": draw(st.sampled_from([1.0, 4.0])),
        "mlp_t": mlp_t,
        "pos_encodings": draw(st.sampled_from(["learned", "none"] if mlp_t else ["rope", "learned", "none"])),
        "puzzle_emb_ndim": None if has_puzzles else 0,
        "puzzle_emb_len": draw(st.sampled_from([1, 4, 16])) if has_puzzles else 0,
        "no_ACT_continue": draw(st.booleans()),
        **cycles,
    }


@given(architectures(), st.sampled_from(["stablemax", "softmax"]), st.sampled_from(["adam_atan2", "muon"]))
@settings(max_examples=40, deadline=None)
def test_flops_of_a_real_step_agree_for_every_architecture(model: dict[str, Any], loss: str, optim: str) -> None:
    config = RunConfig(
        data=DataConfig(folder="x"),
        model=TrmConfig(**model),
        optim=OPTIMIZERS[optim],
        training=TrainingConfig(global_batch_size=BATCH, steps=10, loss=loss, kernels="plain"),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layers, "_uses_cpu_layers", lambda x: False)
        state = TrainingState(config, SHAPE, max_steps=10)
        cells = np.ones((BATCH, SHAPE.seq_len), np.int32)
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            take_step(state, Batch(cells, cells, np.zeros(BATCH, np.int32)))
    assert cost.run_cost(config, SHAPE).step_flops == pytest.approx(counter.get_total_flops(), rel=0.02)


LAYER_EVALUATIONS = [
    (TrmConfig(), 70),
    (TrmConfig(H_cycles=1, L_cycles=2), 18),
    (SingleZConfig(), 70),
    (LatentsConfig(), 70),
    (TrmConfig(networks="separate"), 70),
    (TrmConfig(gradient="one_step"), 42 + 4 * 2),
    (LatentsConfig(gradient="one_step"), 70),
    (TrmConfig(gradient=2), 42 + 28 * 2),
    (TrmConfig(gradient="all"), 126),
    (TrmConfig(answers_after="every_cycle"), 126),
    (HrmConfig(), 64),
    (HrmConfig(H_cycles=3, L_cycles=4, H_layers=1, L_layers=2), 11 * 2 + 2 * 1 + 3 * (2 + 1) + 12 * 2 + 3 * 1),
    (TransformerConfig(), 24),
]
"""What an update of a row costs in evaluations of a block, backward counted as two: the specification's formulas by hand."""


@pytest.mark.parametrize(("config", "evaluations"), LAYER_EVALUATIONS)
def test_an_update_costs_as_many_evaluations_of_a_block_as_its_formula_says(config: RecursiveConfig, evaluations: int) -> None:
    row, learns = counting.row_cost(config, SHAPE), config.halting.learns_continue
    flops = row.train_flops + (row.forward_flops if learns else 0)
    heads = 3 * arithmetic.head_flops_row(config, SHAPE, answers=config.recursion.answers)
    heads += arithmetic.head_flops_row(config, SHAPE) if learns else 0
    assert (flops - heads) / arithmetic.block_flops_row(config, SHAPE) == pytest.approx(evaluations)


SIZES = {
    "sudoku": (DataShape(81, 11, 1), (6_828_034, 5_028_866, 27_275_266, 27_144_194)),
    "maze": (DataShape(900, 6, 1), (6_822_914, 18_795_522, 27_270_146, 27_139_074)),
    "arc": (DataShape(900, 12, 1), (6_829_058, 18_801_666, 27_276_290, 27_145_218)),
}
"""Shape, and parameters at D 512 of attention, mixer, hrm, and the transformer with its published 12 heads."""


@pytest.mark.parametrize("name", SIZES)
def test_published_networks_have_their_published_sizes(name: str) -> None:
    """Without the puzzle embedding's table, which the published code keeps as a buffer."""
    (shape, (attention, mixer, hrm, twelve)), mixes = SIZES[name], {"mlp_t": True, "pos_encodings": "none"}
    for kind in (TrmConfig, SingleZConfig, LatentsConfig):
        assert cost.run_cost(run(kind()), shape).params_count == attention + 512
        assert cost.run_cost(run(kind(**mixes)), shape).params_count == mixer + 512
    assert cost.run_cost(run(HrmConfig()), shape).params_count == hrm + 512
    assert cost.run_cost(run(TransformerConfig()), shape).params_count == hrm + 512
    assert cost.run_cost(run(TransformerConfig(num_heads=12)), shape).params_count == twelve + 512
    once = shape.vocab_size * 512  # of embedding and head, each
    blocks = attention - 2 * once - 2 * 512 - 2
    assert cost.run_cost(run(TrmConfig(networks="separate")), shape).params_count == attention + blocks + 512
    assert cost.run_cost(run(TrmConfig(answers_after="every_cycle")), shape).params_count == attention - 2 * 512 - 2 + 512


def test_another_recursion_of_as_many_calls_costs_as_much() -> None:
    costs = {(cost.run_cost(run(kind()), SHAPE).step_flops) for kind in (TrmConfig, SingleZConfig, LatentsConfig)}
    assert len(costs) == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_parameters_are_counted_with_the_puzzle_table(name: str) -> None:
    config = VARIANTS[name]
    network = sum(p.numel() for p in TinyRecursiveModel(config, SHAPE, dtype=torch.float32).parameters())
    table = SHAPE.num_puzzle_identifiers * config.puzzle_ndim
    assert cost.run_cost(run(config), SHAPE).params_count == network + table


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("dtype", "least"), [("bfloat16", 0.85), ("float32", 0.45)])
def test_memory_bounds_what_autograd_keeps(name: str, dtype: str, least: float) -> None:
    config = VARIANTS[name].model_copy(update={"forward_dtype": dtype})
    model = TinyRecursiveModel(config, SHAPE, dtype=DTYPES[dtype])
    kept: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    batch = 32
    rows = torch.zeros(batch, config.puzzle_ndim, requires_grad=True) if config.puzzle_ndim else None
    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        _, output = model(model.initial_latents(batch), torch.zeros(batch, SHAPE.seq_len, dtype=torch.int32), rows)
        loss = supervision_loss(output, torch.zeros(batch, SHAPE.seq_len).long(), cross_entropy=CROSS, dtype=torch.float64)
    for p in model.parameters():
        kept.pop(p.untyped_storage().data_ptr(), None)
    predicted = batch * arithmetic.activation_row_bytes(config, SHAPE)
    assert loss.loss.requires_grad
    assert least * predicted <= sum(kept.values()) <= predicted


def test_workers_share_the_batch_s_memory_and_nothing_else() -> None:
    one, two = (cost.run_cost(run(VARIANTS["attention"], 64), SHAPE, workers=n, device="cuda") for n in (1, 2))
    rows = 32 * arithmetic.activation_row_bytes(VARIANTS["attention"].model_copy(update={"forward_dtype": "bfloat16"}), SHAPE)
    assert one.memory_bytes - two.memory_bytes == rows
    assert (one.step_flops, one.params_count, one.checkpoint_bytes) == (two.step_flops, two.params_count, two.checkpoint_bytes)


def test_a_device_decides_what_activations_take() -> None:
    config = run(VARIANTS["attention"], 64)
    cpu, cuda = (cost.run_cost(config, SHAPE, device=device) for device in ("cpu", "cuda"))
    assert cuda.step_flops == cpu.step_flops
    assert 0.5 < cuda.memory_bytes / cpu.memory_bytes < 0.5 / arithmetic.HANDWRITTEN_SHARE + 0.1
    assert cuda.checkpoint_bytes < cpu.checkpoint_bytes


def test_a_run_is_as_long_as_its_steps_flops_or_epochs_say() -> None:
    model = VARIANTS["bare"]
    figures = cost.run_cost(run(model), SHAPE)
    assert cost.total_steps(run(model, steps=7), figures, epoch_rows=2000.0) == 7
    flops = run(model, train_flops=10.5 * figures.step_flops)
    assert cost.total_steps(flops, figures, epoch_rows=2000.0) == 11
    assert cost.total_steps(run(model, epochs=3.0), figures, epoch_rows=2000.0) == int(3 * 1000 * 2.0 / BATCH)
    assert cost.total_steps(run(model, epochs=0.001), figures, epoch_rows=1) == 1
    paper = run(model, 768, epochs=50_000)
    assert cost.total_steps(paper, figures, epoch_rows=1000) == 65_104


def test_asking_the_cost_imports_no_torch() -> None:
    code = "import sys, trm.models.cost; sys.exit(any(m in sys.modules for m in ('torch', 'ray')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

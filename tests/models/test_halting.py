"""Laws of the carry: halted rows and only they start afresh; exploration can only delay; draws know no rank."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trm.config.networks import DataShape, ModelConfig
from trm.config.recursive_networks import HrmConfig, TransformerConfig, TrmConfig
from trm.models import halting
from trm.models.network import Output
from trm.models.recursive.network import TinyRecursiveModel

SHAPE = DataShape(seq_len=4, vocab_size=5, num_puzzle_identifiers=3)
CONFIG = TrmConfig(hidden_size=8, num_heads=1, L_layers=1, expansion=1.0, puzzle_emb_len=1, halt_max_steps=4)
BATCH = 6


@pytest.fixture(scope="module")
def model() -> TinyRecursiveModel:
    return TinyRecursiveModel(CONFIG, SHAPE, dtype=torch.float32)


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cells = [torch.randint(0, 5, (BATCH, SHAPE.seq_len), generator=generator, dtype=torch.int32) for _ in range(2)]
    return *cells, torch.randint(0, 3, (BATCH,), generator=generator, dtype=torch.int32)


def output(q_halt: list[float], q_continue: list[float] | None = None) -> Output:
    pair = (torch.tensor(q_halt), torch.tensor(q_continue or [0.0] * len(q_halt)))
    return Output(torch.zeros(len(q_halt), SHAPE.seq_len, SHAPE.vocab_size), *pair)


@given(st.lists(st.booleans(), min_size=BATCH, max_size=BATCH))
def test_halted_rows_and_only_they_start_afresh(halted: list[bool]) -> None:
    model = TinyRecursiveModel(CONFIG, SHAPE, dtype=torch.float32)
    old, new = batch(1), batch(2)
    worn = {name: torch.full((BATCH, 5, 8), value) for name, value in (("z_H", 3.0), ("z_L", 7.0))}
    carry = halting.Carry(worn, torch.full((BATCH,), 2, dtype=torch.int32), torch.tensor(halted), *old)
    filled = halting.refill(carry, *new, model)
    start = model.initial_latents(BATCH)
    for row, is_fresh in enumerate(halted):
        taken = new if is_fresh else old
        assert torch.equal(filled.inputs[row], taken[0][row])
        assert torch.equal(filled.labels[row], taken[1][row])
        assert filled.puzzle_identifiers[row] == taken[2][row]
        assert filled.steps[row] == (0 if is_fresh else 2)
        for ours, fresh, kept in zip(filled.latents.values(), start.values(), worn.values(), strict=True):
            assert torch.equal(ours[row], fresh[row] if is_fresh else kept[row])


def test_at_the_very_start_every_slot_takes_its_row(model: TinyRecursiveModel) -> None:
    incoming = batch(3)
    filled = halting.refill(halting.initial_carry(model, BATCH, SHAPE.seq_len, "cpu"), *incoming, model)
    assert torch.equal(filled.inputs, incoming[0])
    assert torch.equal(filled.puzzle_identifiers, incoming[2])
    assert not filled.steps.any()


def test_training_halts_above_zero_and_at_the_last_step() -> None:
    halted = halting.decide_halts(output([1.0, 0.0, -1.0, -1.0]), torch.tensor([1, 1, 3, 4]), CONFIG)
    assert halted.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    "config", [TransformerConfig(halt_max_steps=4, act_enabled=False), TrmConfig(halt_max_steps=4, answers_after="every_cycle")]
)
def test_a_network_that_stops_nobody_goes_to_the_last_step(config: ModelConfig) -> None:
    halted = halting.decide_halts(output([9.0, 9.0, -9.0], [0.0, 0.0, 0.0]), torch.tensor([1, 3, 4]), config)
    assert halted.tolist() == [False, False, True]
    assert halting.exploration_minimum(0, 0, 8, config) is None


@pytest.mark.parametrize("config", [HrmConfig(halt_max_steps=4), TransformerConfig(halt_max_steps=4)])
def test_hrm_and_the_transformer_compare_always(config: ModelConfig) -> None:
    halted = halting.decide_halts(output([-1.0, 1.0, 1.0, 0.0], [-2.0, 2.0, 1.0, 9.0]), torch.tensor([1, 1, 1, 4]), config)
    assert halted.tolist() == [True, False, False, True]


def test_hrm_learns_to_go_on_where_there_is_a_step_to_go_on_to_and_the_transformer_never() -> None:
    assert HrmConfig().halting.learns_continue
    assert not HrmConfig(halt_max_steps=1).halting.learns_continue
    assert not TransformerConfig().halting.learns_continue


def test_with_a_continue_loss_halting_must_beat_continuing() -> None:
    config = CONFIG.model_copy(update={"no_ACT_continue": False})
    steps = torch.tensor([1, 1, 1, 4])
    halted = halting.decide_halts(output([-1.0, 1.0, 1.0, 0.0], [-2.0, 2.0, 1.0, 9.0]), steps, config)
    assert halted.tolist() == [True, False, False, True]


def test_exploration_only_delays_and_never_past_the_last_step() -> None:
    wants = output([1.0] * 4)
    minimum = torch.tensor([0, 2, 3, 4], dtype=torch.int32)
    seen = [halting.decide_halts(wants, torch.full((4,), step), CONFIG, minimum).tolist() for step in range(1, 5)]
    assert seen == [[True, False, False, False], [True, True, False, False], [True, True, True, False], [True] * 4]


def test_advance_counts_the_step_and_keeps_the_puzzle(model: TinyRecursiveModel) -> None:
    carry = halting.refill(halting.initial_carry(model, BATCH, SHAPE.seq_len, "cpu"), *batch(4), model)
    latents, said = model(carry.latents, carry.inputs, torch.zeros(BATCH, 8))
    after = halting.advance(carry, latents, said, CONFIG, None)
    assert after.steps.tolist() == [1] * BATCH
    assert after.inputs is carry.inputs
    assert after.latents is latents


def test_minima_are_uniform_and_as_frequent_as_asked() -> None:
    config = CONFIG.model_copy(update={"halt_exploration_prob": 0.25})
    draws = np.concatenate([halting.exploration_minimum(7, step, 1000, config) for step in range(40)])
    share = {value: float(np.mean(draws == value)) for value in range(6)}
    assert share[1] == share[5] == 0
    assert share[0] == pytest.approx(0.75, abs=0.01)
    assert [share[v] for v in (2, 3, 4)] == pytest.approx([0.25 / 3] * 3, abs=0.007)


def test_minima_are_a_function_of_seed_and_step() -> None:
    config = CONFIG.model_copy(update={"halt_exploration_prob": 0.5})
    first = halting.exploration_minimum(1, 10, 64, config)
    assert np.array_equal(first, halting.exploration_minimum(1, 10, 64, config))
    assert not np.array_equal(first, halting.exploration_minimum(1, 11, 64, config))
    assert not np.array_equal(first, halting.exploration_minimum(2, 10, 64, config))
    assert first.dtype == np.int32


@pytest.mark.parametrize("update", [{"halt_exploration_prob": 0.0}, {"halt_max_steps": 1}])
def test_nothing_is_drawn_when_nothing_can_be_demanded(update: dict[str, float]) -> None:
    assert halting.exploration_minimum(0, 0, 8, CONFIG.model_copy(update=update)) is None


def test_the_value_of_going_on_is_the_better_of_the_next_pair_until_the_last_step() -> None:
    coming = output([0.0, 3.0, -2.0], [2.0, 1.0, 5.0])
    target = halting.continue_target(coming, torch.tensor([1, 2, 4]), CONFIG)
    torch.testing.assert_close(target, torch.sigmoid(torch.tensor([2.0, 3.0, -2.0])))

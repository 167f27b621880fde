"""A step on the buffers that a recording reads is the step that everybody else makes, bit for bit."""

from pathlib import Path

import pytest
import torch
import training_cases as cases

from trm.config.step_costs import StepCosts
from trm.training.cuda_graph import RECORDED_FLOPS, RecordedStep, is_recorded
from trm.training.state import TrainingState
from trm.training.step import device_step
from trm.training.step_inputs import packed, views

HALF = cases.STEPS // 2
PLAIN = {"kernels": "plain"}
CPU = torch.device("cpu")


def on_buffers(state: TrainingState) -> TrainingState:
    """The state, its steps made as on CUDA, launched one by one."""
    state.stepper = RecordedStep(CPU)
    return state


@pytest.mark.parametrize("variant", cases.VARIANTS)
def test_steps_on_buffers_change_no_bit_across_scoring_and_a_checkpoint(variant: str, tmp_path: Path) -> None:
    config = cases.config_of(variant, training=PLAIN)
    plain, placed = cases.begin(config), on_buffers(cases.begin(config))
    for state in (plain, placed):
        cases.advance(state, HALF)
        with state.averaged():
            state.model(
                state.carry.latents,
                state.carry.inputs,
                None if state.table is None else state.table.rows(state.carry.puzzle_identifiers),
            )
        state.save(tmp_path / "half")
        state.max_steps = 3 * cases.STEPS  # another learning rate from here on where it decays
        cases.advance(state, cases.STEPS)
    resumed = on_buffers(cases.resume(tmp_path / "half", config))
    resumed.max_steps = 3 * cases.STEPS
    cases.advance(resumed, cases.STEPS)
    expected = cases.everything(plain)
    for state in (placed, resumed):
        found = cases.everything(state)
        assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


def test_what_a_recording_works_on_keeps_its_place() -> None:
    state = on_buffers(cases.begin(cases.config_of(training=PLAIN)))
    cases.advance(state, 2)

    def places() -> list[int]:
        moments = [value for key, value in state.optimizer.saved().items() if not key.endswith(".step")]
        average = [] if state.average is None else list(state.average.average.values())
        carry = [*state.carry.latents.values(), state.carry.steps, state.carry.halted, state.carry.inputs, state.carry.labels]
        table = [] if state.table is None else [state.table.weight]
        return [tensor.data_ptr() for tensor in (*state.parameters, *moments, *average, *carry, *table, state.metrics.pending)]

    before = places()
    with state.averaged():
        pass
    cases.advance(state, 6)
    assert places() == before


def test_a_carry_that_was_exchanged_is_taken_over(tmp_path: Path) -> None:
    state, plain = on_buffers(cases.begin(cases.config_of(training=PLAIN))), cases.begin(cases.config_of(training=PLAIN))
    for one in (state, plain):
        cases.advance(one, 3)
    state.carry = plain.carry
    for one in (state, plain):
        cases.advance(one, 6)
    assert torch.equal(state.carry.latents["z_H"], plain.carry.latents["z_H"])


def test_small_steps_of_one_worker_on_cuda_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    state = cases.begin(cases.config_of(training=PLAIN))
    monkeypatch.setattr(state, "device", torch.device("cuda"))
    assert not is_recorded(state)
    monkeypatch.setattr(state, "config", cases.config_of(training={"cuda_graph": "auto"}))
    assert is_recorded(state)
    monkeypatch.setattr(state, "device", torch.device("cpu"))
    assert not is_recorded(state)
    monkeypatch.setattr(state, "device", torch.device("cuda"))
    monkeypatch.setattr(state, "flops", StepCosts.constant(2 * RECORDED_FLOPS))
    assert not is_recorded(state)
    monkeypatch.setattr(state, "config", cases.config_of(training={"cuda_graph": True}))
    assert is_recorded(state)


@pytest.mark.parametrize("variant", cases.VARIANTS)
def test_a_step_needs_no_value_of_any_tensor(variant: str) -> None:
    """On a device without memory, in the types of CUDA: reading a value fails there, and so does mixing in a tensor of the host."""
    config = cases.config_of(variant, model={**cases.VARIANTS[variant].get("model", {}), "forward_dtype": "bfloat16"})
    state = TrainingState(config, cases.manifest().shape, max_steps=cases.STEPS, device="meta")
    batch = cases.start_plan(state, cases.SPLITS["train"], cases.manifest()).batch(0)
    before = [tensor.shape for tensor in state.carry.latents.values()]
    for _ in range(2):
        buffer, layout = packed(state, batch)
        state.carry = device_step(state, views(state, buffer.to("meta"), layout))
        state.optimizer.count()
        state.step += 1
    assert [tensor.shape for tensor in state.carry.latents.values()] == before
    assert {tensor.device.type for tensor in (*state.carry.latents.values(), state.carry.steps, state.metrics.pending)} == {"meta"}
    assert {int(count) for key, count in state.optimizer.saved().items() if key.endswith(".step")} <= {2}

"""A depth schedule changes how deep a step is and nothing else: weights, evaluation, checkpoints are those of one network."""

from pathlib import Path

import pytest
import torch
import training_cases as cases
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trm.config.recursion import trm
from trm.errors import ConfigError
from trm.models import layers
from trm.models.network import Network
from trm.training.cuda_graph import RecordedStep
from trm.training.depth import Depths
from trm.training.scoring import score
from trm.training.start import start_plan
from trm.training.state import TrainingState

FIRST, SECOND = 6, 12
"""Steps at which the second and the third stage begin."""
STAGES = (trm(1, 1), trm(2, 2), trm(2, 1))


def test_a_stage_trains_as_a_network_of_its_depth_does() -> None:
    """Step by step the scheduled run is one whose network was made of the stage's depth, from the same weights and state."""
    scheduled = cases.begin(cases.config_of("deepening"))
    for number, until in enumerate((FIRST, SECOND, cases.STEPS)):
        H_cycles, L_cycles = ((1, 1), (2, 2), (2, 1))[number]
        alone = cases.begin(cases.config_of(model={"H_cycles": H_cycles, "L_cycles": L_cycles}))
        alone._restore(scheduled.files_to_save())
        alone.step, alone.position = scheduled.step, scheduled.position
        alone.metrics.totals |= scheduled.metrics.totals
        cases.advance(alone, until)
        cases.advance(scheduled, until)
        expected, found = cases.everything(alone), cases.everything(scheduled)
        assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


def test_between_steps_the_network_is_as_deep_as_it_is_configured() -> None:
    deepening, plain = (cases.begin(cases.config_of(variant)) for variant in ("deepening", "attention"))
    cases.advance(deepening, FIRST - 1)
    plain._restore(deepening.files_to_save())
    scores = [score(state, cases.SPLITS["validation"], cases.manifest()).evaluation.metrics for state in (deepening, plain)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("step", [0, 3, FIRST - 1, FIRST, FIRST + 1, SECOND - 1, SECOND, SECOND + 5])
def test_a_run_is_continued_in_any_stage(step: int, tmp_path: Path) -> None:
    config = cases.config_of("deepening")
    whole = cases.begin(config)
    cases.advance(whole, step)
    whole.save(tmp_path / "half")
    continued = cases.resume(tmp_path / "half", config)
    assert continued.train_flops == whole.train_flops == whole.flops.up_to(step)
    for state in (whole, continued):
        cases.advance(state, cases.STEPS)
    expected, found = cases.everything(whole), cases.everything(continued)
    assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


def test_what_a_longer_run_had_taken_stays_taken(tmp_path: Path) -> None:
    """A resume with another length moves the stages that are ahead; the FLOPs behind it are those that were spent."""
    config = cases.config_of("deepening")
    state = cases.begin(config)
    cases.advance(state, 8)
    state.save(tmp_path / "half")
    known = cases.manifest()
    longer = TrainingState.load(tmp_path / "half", config, known.shape, data_hash=known.content_hash, max_steps=2 * cases.STEPS)
    assert longer.train_flops == state.train_flops
    cases.advance(longer, 9)
    assert longer.train_flops == state.train_flops + longer.flops.at(8)
    assert longer.flops.at(8) == state.flops.first != state.flops.at(8)


def test_flops_of_every_step_are_those_of_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_uses_cpu_layers", lambda x: False)
    state = cases.begin(cases.config_of("deepening", training={"kernels": "plain"} | cases.VARIANTS["deepening"]["training"]))
    for step in range(cases.STEPS):
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            cases.advance(state, step + 1)
        assert state.flops.at(step) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_fused_kernels_follow_the_stages() -> None:
    """To rounding they do what plain operators do, in each stage."""
    states = [
        cases.begin(cases.config_of("deepening", training={"kernels": kernels} | cases.VARIANTS["deepening"]["training"]))
        for kernels in ("plain", "auto")
    ]
    plain, fused = (cases.losses_until(state, cases.STEPS) for state in states)
    assert fused == pytest.approx(plain, rel=1e-3)


def test_a_recorded_step_is_recorded_anew_where_a_stage_begins() -> None:
    state = cases.begin(cases.config_of("deepening"))
    stepper = RecordedStep(torch.device("cpu"))
    feed = start_plan(state, cases.SPLITS["train"], cases.manifest())
    calls = []
    for step in range(cases.STEPS):
        stepper(state, feed.batch(step))
        calls.append(stepper._calls)
    assert calls == [*range(1, FIRST + 1), *range(1, SECOND - FIRST + 1), *range(1, cases.STEPS - SECOND + 1)]
    stepwise = cases.begin(cases.config_of("deepening"))
    cases.advance(stepwise, cases.STEPS)
    torch.testing.assert_close(state.parameters, stepwise.parameters)


def test_a_network_whose_recursion_cannot_change_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = cases.begin(cases.config_of())
    monkeypatch.setattr(type(state.model), "recurse", Network.recurse)
    Depths(state.config, state.model, 10)
    with pytest.raises(ConfigError, match="needs a network whose recursion changes"):
        Depths(cases.config_of("deepening"), state.model, 10)


def test_the_stage_of_a_step() -> None:
    state = cases.begin(cases.config_of("deepening"))
    assert [state.depths.stage(step) for step in (0, 5, 6, 11, 12, 19, 30)] == [0, 0, 1, 1, 2, 2, 2]
    for step, recursion in ((0, STAGES[0]), (7, STAGES[1]), (12, STAGES[2])):
        with state.depths.at(step, state.model):
            assert state.model.recursion == recursion
        assert state.model.recursion == STAGES[2]

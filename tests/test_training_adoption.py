"""A leg that takes over another trial's checkpoint goes on from all of it, with its own knobs and nothing else changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases

from trm.config.run import CHANGES_WITHIN_RUN
from trm.errors import CheckpointError
from trm.optim.schedule import lr_at
from trm.training.leg import LegWork, run_leg
from trm.training.reporting import Progress, Reporter

HALF = cases.STEPS // 2
OTHER: dict[str, Any] = {
    "optim.lr": 7e-3,
    "optim.weight_decay": 0.9,
    "optim.puzzle_emb_lr": 0.05,
    "optim.puzzle_emb_weight_decay": 0.9,
    "optim.beta1": 0.5,
    "optim.beta2": 0.5,
    "optim.grad_clip": 0.01,
    "optim.ema_rate": 0.5,
    "model.halt_exploration_prob": 0.0,
    "model.halt_max_steps": 2,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "half"
    state = cases.begin(cases.config_of())
    cases.advance(state, HALF)
    state.save(folder)
    return folder


def test_it_goes_on_from_the_whole_state_with_its_own_knobs(source: Path) -> None:
    """By hand: the source's state, its configuration exchanged, comes to the same, bit for bit."""
    config = cases.adopting()
    adopted = cases.resume(source, config, is_adopted=True)
    by_hand = cases.resume(source, cases.config_of())
    assert (adopted.step, adopted.position) == (by_hand.step, by_hand.position)
    by_hand.config = config
    by_hand.optimizer.param_groups[0]["weight_decay"] = config.optim.weight_decay
    assert by_hand.table_optimizer is not None
    by_hand.table_optimizer.weight_decay = config.optim.puzzle_emb_weight_decay
    assert by_hand.average is not None
    by_hand.average.rate = config.optim.ema_rate
    for state in (adopted, by_hand):
        cases.advance(state, cases.STEPS)
    expected, found = cases.everything(by_hand), cases.everything(adopted)
    assert not [name for name, value in expected.items() if not torch.equal(value, found[name])]


@pytest.mark.parametrize("path", CHANGES_WITHIN_RUN)
def test_every_knob_that_may_change_does_something(source: Path, path: str) -> None:
    section, name = path.split(".")
    ends = []
    for config in (cases.config_of(), cases.config_of(**{section: {name: OTHER[path]}})):
        state = cases.resume(source, config, is_adopted=True)
        with torch.no_grad():
            state.model.halting_bias.fill_(50.0)  # a network that wants to halt, so that exploration has something to delay
        cases.advance(state, HALF + 4)
        ends.append(cases.everything(state))
    assert any(not torch.equal(value, ends[1][key]) for key, value in ends[0].items())
    with pytest.raises(CheckpointError, match=path.replace(".", r"\.")):
        cases.resume(source, cases.config_of(**{section: {name: OTHER[path]}}))


def test_data_and_draws_follow_its_own_seed(source: Path) -> None:
    ends = []
    for seed in (7, 11):
        state = cases.resume(source, cases.config_of(seed=seed), is_adopted=True)
        cases.advance(state, HALF + 2)
        ends.append(cases.everything(state)["state.safetensors/carry.inputs"])
    assert not torch.equal(*ends)


@pytest.mark.parametrize(
    ("section", "change", "key"),
    [
        ("model", {"hidden_size": 32}, "model.hidden_size"),
        ("model", {"H_cycles": 1}, "model.H_cycles"),
        ("optim", {"lr_warmup_steps": 5}, "optim.lr_warmup_steps"),
        ("optim", {"lr_min_ratio": 0.5}, "optim.lr_min_ratio"),
        ("optim", {"ema": False}, "optim.ema"),
        ("training", {"global_batch_size": 4}, "training.global_batch_size"),
        ("training", {"loss": "softmax"}, "training.loss"),
        ("data", {"folder": "somewhere", "mode": "stream"}, "data.mode"),
    ],
)
def test_everything_else_is_refused_by_name(source: Path, section: str, change: dict[str, Any], key: str) -> None:
    with pytest.raises(CheckpointError, match=key.replace(".", r"\.")):
        cases.resume(source, cases.adopting(**{section: change}), is_adopted=True)


def test_the_schedule_runs_against_the_trials_own_maximum_with_the_new_peak(tmp_path: Path) -> None:
    """A leg, as a sweep runs it: the source decays from its peak, the adopter goes on at the same share of its own."""
    decaying = {"lr_min_ratio": 0.1}
    before, after = cases.config_of(optim=decaying), cases.adopting(optim=decaying)
    first = LegWork(before, max_steps=cases.STEPS, until_steps=HALF, checkpoint_to=str(tmp_path / "0"))
    run_leg(first, cases.SPLITS, cases.manifest())
    second = replace(first, config=after, until_steps=cases.STEPS, from_checkpoint=str(tmp_path / "0"), is_adopted=True)
    second = replace(second, checkpoint_to=str(tmp_path / "1"))
    seen: dict[int, float] = {}

    class Listener(Reporter):
        def on_step(self, progress: Progress) -> bool:
            seen[progress.step] = progress.lr
            return False

    outcome = run_leg(second, cases.SPLITS, cases.manifest(), reporter=Listener())
    assert seen == {step: lr_at(step, after.optim, cases.STEPS) for step in range(HALF + 1, cases.STEPS + 1)}
    assert seen[cases.STEPS] == pytest.approx(0.1 * after.optim.lr)
    assert outcome.steps == cases.STEPS
    own = cases.resume(tmp_path / "1", after)  # its next leg continues its own checkpoint like any other
    assert own.step == cases.STEPS

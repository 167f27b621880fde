"""A run that is saved and continued is the run that was never interrupted, bit for bit."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_cases as cases
from safetensors.torch import load_file

RUNS = list(cases.VARIANTS)


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, torch.Tensor]]]:
    """Every variant: trained to the end here, and to the half here and the rest in another process."""
    folder = tmp_path_factory.mktemp("resume")
    whole = {}
    for variant in RUNS:
        state = cases.begin(cases.config_of(variant))
        cases.advance(state, cases.STEPS // 2)
        state.save(folder / variant / "half")
        cases.advance(state, cases.STEPS)
        whole[variant] = cases.everything(state)
    subprocess.run([sys.executable, cases.__file__, "continue", str(folder)], check=True, timeout=120)
    return folder, whole


@pytest.mark.parametrize("variant", RUNS)
def test_continuing_in_a_new_process_changes_no_bit(
    continued: tuple[Path, dict[str, dict[str, torch.Tensor]]], variant: str
) -> None:
    folder, whole = continued
    there = load_file(folder / variant / "end.safetensors")
    assert there.keys() == whole[variant].keys()
    different = [name for name, value in whole[variant].items() if not torch.equal(value, there[name])]
    assert not different


def test_the_runs_exercise_what_they_are_to_prove(continued: tuple[Path, dict[str, dict[str, torch.Tensor]]]) -> None:
    """Early halts happened, the average is not the weights, puzzle rows moved, moments and position are there."""
    _, whole = continued
    run = whole["attention"]
    assert 0 < run["state.safetensors/carry.steps"].double().mean() < 4
    assert run["state.safetensors/puzzle_embedding"].abs().sum(1).count_nonzero() > 3
    weight = "token_embedding"
    assert not torch.equal(run[f"model.safetensors/{weight}"], run[f"average.safetensors/{weight}"])
    assert run[f"state.safetensors/optimizer.{weight}.exp_avg"].abs().sum() > 0
    assert run["counters"][0] == cases.STEPS
    assert run["counters"][2] > 0


def test_exploration_delays_halts() -> None:
    """The same run without exploration carries other steps: the draws are really used."""
    steps = []
    for probability in (0.0, 0.9):
        state = cases.begin(cases.config_of(model={"halt_exploration_prob": probability}))
        cases.advance(state, 6)
        steps.append(state.metrics.take_report()["mean_halting_step"])
    assert steps[0] < steps[1]

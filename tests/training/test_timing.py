"""Steps are really timed: alone, by a gang's worker, and as the sweep's calibration does."""

from typing import Any

import pytest
import torch
from training_cases import config_of, manifest

from trm.cluster import calibrate
from trm.distributed import SOLO
from trm.jobs import dry_run
from trm.models.cost import run_cost
from trm.search.planning.survey import Survey
from trm.search.space.candidates import Facts
from trm.search.space.space import SearchSpace
from trm.training import timing


def test_so_many_steps_are_made_as_fit_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that each step moves on by 1/16 s; the steps are real."""
    made: list[int] = []
    real = timing.take_step

    def counted(*given: Any) -> None:
        made.append(1)
        real(*given)

    monkeypatch.setattr(timing, "take_step", counted)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: len(made) / 16)
    config, shape = config_of(), manifest().shape
    short, long = (timing.time_steps(config, shape, seconds=seconds) for seconds in (0.0, 0.5))
    assert (short.steps, short.seconds) == (1, 1 / 16)
    assert (long.steps, long.seconds) == (8, 0.5)
    assert len(made) == 1 + timing.WARM_UP_STEPS + 8 + timing.WARM_UP_STEPS
    assert long.step_flops == run_cost(config, shape).step_flops


def test_the_calibration_times_each_configuration_in_order() -> None:
    shape, threads = manifest().shape, torch.get_num_threads()
    configs = [config_of(), config_of(model={"H_cycles": 3})]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(calibrate, "SECONDS", 0.02)
        timed = calibrate._times(calibrate._Work(configs, shape, threads), SOLO)
    assert [one.step_flops for one in timed] == [run_cost(one, shape).step_flops for one in configs]
    assert all(one.seconds > 0 for one in timed)


def test_what_is_worth_timing_is_found_before_any_speed_is_known() -> None:
    values = {
        "name": "s",
        "data": {"recipe": "datasets/sudoku4x4.yaml"},
        "search": {"model.H_cycles": {"type": "int", "low": 1, "high": 5}},
        "constraints": ["H_cycles < 5"],
        "fidelity": "seconds",
        "budget": {"trials": 3, "per_trial": 60},
    }
    ends = Survey(SearchSpace.model_validate(values), lambda config: run_cost(config, manifest().shape), Facts()).ends
    assert [one.config.model.H_cycles for one in ends] == [1, 4]


def test_a_dear_step_is_timed_on_fewer_rows_then_in_fewer_cycles() -> None:
    shape = manifest().shape

    def cost_of(config: Any) -> Any:
        return run_cost(config, shape)

    config = config_of(training={"global_batch_size": 64, "steps": 1})
    row = cost_of(config).step_flops / 64
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dry_run, "TIMED_FLOPS", 10.5 * row)
        assert dry_run._timeable(config, 1, cost_of).training.global_batch_size == 10
        assert dry_run._timeable(config, 8, cost_of).training.global_batch_size == 8
        patched.setattr(dry_run, "TIMED_FLOPS", 0.5 * row)
        least = dry_run._timeable(config, 1, cost_of)
    assert (least.training.global_batch_size, least.model.H_cycles, least.model.L_cycles) == (1, 1, 1)

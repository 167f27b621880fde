"""Depth schedules: what may be written, what it means, and when two mean the same run."""

from typing import Any

import pytest
from pydantic import ValidationError

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.models.cost import run_cost

SHAPE = DataShape(81, 11, 1)
CGAR = [[0.3, 1, 2], [0.3, 2, 4], [0.4, 3, 6]]


def config(schedule: Any, length: dict[str, Any] | None = None, **model: Any) -> RunConfig:
    training = {"depth_schedule": schedule, **(length or {"steps": 100})}
    return RunConfig.model_validate({"data": {"folder": "x"}, "model": model, "training": training})


def test_cgar_is_a_third_and_two_thirds_of_the_network_s_own_cycles() -> None:
    assert [(part.share, part.model.cycles) for part in config("cgar").depth_parts] == [(0.3, (1, 2)), (0.3, (2, 4)), (0.4, (3, 6))]
    other = config("cgar", H_cycles=2, L_cycles=4)
    assert [part.model.cycles for part in other.depth_parts] == [(1, 2), (2, 3), (2, 4)]
    assert config("cgar").network_digest() == config(CGAR).network_digest() != config(None).network_digest()


@pytest.mark.parametrize("schedule", [[[1, 3, 6]], [[0.5, 3, 6], [0.5, 3, 6]], [[0.333333, 3, 6]] * 3])
def test_a_schedule_of_one_depth_is_no_other_run(schedule: list[list[float]]) -> None:
    assert config(schedule).network_digest() == config(None).network_digest()
    assert run_cost(config(schedule), SHAPE).step_flops == run_cost(config(None), SHAPE).step_flops


def test_what_a_file_holds_is_read_back() -> None:
    for schedule in (None, "cgar", CGAR):
        one = config(schedule)
        assert RunConfig.model_validate_json(one.model_dump_json()) == one


def test_a_schedule_as_text_is_the_list() -> None:
    text = config("0.3:1x2  .3:2x4 4e-1:3x6")
    assert text == config(CGAR)
    assert text.model_dump(mode="json")["training"]["depth_schedule"] == CGAR


def test_a_scheduled_run_s_length_in_flops_is_its_integral() -> None:
    cost = run_cost(config(CGAR), SHAPE)
    assert [round(one.each / cost.stage_flops[-1].each, 2) for one in cost.stage_flops] == [0.26, 0.57, 1]
    assert cost.step_flops / cost.stage_flops[-1].each == pytest.approx(0.65, abs=0.01)
    whole = cost.flops(1000)
    assert whole.up_to(1000) == pytest.approx(1000 * cost.step_flops)
    assert cost.inference_flops == run_cost(config(None), SHAPE).inference_flops
    assert cost.memory_bytes == run_cost(config(None), SHAPE).memory_bytes
    shallow_end = config([[0.5, 1, 12], [0.5, 3, 2]], L_cycles=2)
    assert run_cost(shallow_end, SHAPE).memory_bytes > run_cost(config(None, L_cycles=2), SHAPE).memory_bytes


@pytest.mark.parametrize(
    ("schedule", "model", "message"),
    [
        ([[0.3, 1, 2], [0.6, 2, 4], [1, 3, 6]], {}, "must add up to 1, got 0.3, 0.6, 1, which is 1.9; .* write 0.3, 0.3, 0.4"),
        ([[0.2, 1, 2], [0.7, 3, 6]], {}, "must add up to 1, got 0.2, 0.7, which is 0.9; make them parts"),
        ([[0.5, 1, 2], [0.5, 2, 6]], {}, r"must end with .* H_cycles 3 and L_cycles 6, got \[0.5, 2, 6\]; make its last stage"),
        ([[0, 1, 2], [1, 3, 6]], {}, "share of a stage must be above 0 and at most 1, got 0"),
        ([[0.5, 1], [0.5, 3, 6]], {}, r"three numbers, got \[0.5, 1\]; write it so"),
        ([[True, 3, 6]], {}, "three numbers, got"),
        ([[0.5, 1.5, 2], [0.5, 3, 6]], {}, r"whole numbers from 1 to 64, got \[0.5, 1.5, 2\]"),
        ([[0.5, 65, 2], [0.5, 3, 6]], {}, "whole numbers from 1 to 64"),
        ([], {}, "1 to 16 stages, got 0"),
        ([[1 / 17, 3, 6]] * 17, {}, "1 to 16 stages, got 17"),
        ("cgra", {}, "null, cgar, or a stage after the other as SHARE:H_CYCLESxL_CYCLES, got 'cgra'; .* 0.3:1x2 0.3:2x4 0.4:3x6"),
        ("[[0.5, 1, 1], [0.5, 3, 6]]", {}, "SHARE:H_CYCLESxL_CYCLES, got"),
        ("0.5:1x2, 0.5:3x6", {}, "SHARE:H_CYCLESxL_CYCLES, got"),
        ("", {}, "SHARE:H_CYCLESxL_CYCLES, got ''"),
        ("0.5:1x2 0.4:3x6", {}, "must add up to 1, got 0.5, 0.4"),
        ("0:1x2 1:3x6", {}, "share of a stage must be above 0"),
        (0.3, {}, "SHARE:H_CYCLESxL_CYCLES, got 0.3"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: Any, model: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(schedule, **model)


def test_every_network_with_cycles_has_stages_and_others_are_named() -> None:
    for model in ({"architecture": "hrm", "H_cycles": 3, "L_cycles": 6}, {"gradient": 2}, {"answers_after": "every_cycle"}):
        parts = config("cgar", **model).depth_parts
        assert [part.model.recursion.H_cycles for part in parts] == [1, 2, 3]
    with pytest.raises(ValidationError, match="H_cycles and L_cycles, which the architecture transformer does not have; set"):
        config("cgar", architecture="transformer")

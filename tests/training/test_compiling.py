"""Compiling is tried only where it pays by what is known, kept only where it is faster, and what was found is remembered."""

from pathlib import Path
from typing import Any

import pytest
import torch
import training_cases as cases

from trm.training import compiling
from trm.training.compiling import CACHED_SHARE, FIRST_RATIO, FIRST_SECONDS, Measured, expected, pays
from trm.training.step import plain_step

SECONDS = 0.5
COMPILING = compiling.WARM_UP_STEPS + compiling.TIMED_STEPS


def test_compiling_pays_when_the_steps_left_save_more_than_it_takes() -> None:
    known = Measured(seconds=30.0, ratio=0.8)
    assert pays(known, step_seconds=1.0, steps_left=151)
    assert not pays(known, step_seconds=1.0, steps_left=149)
    assert not pays(Measured(0.0, 1.1), step_seconds=1.0, steps_left=10**6)


def test_what_is_expected_comes_from_the_same_network_then_from_others_here() -> None:
    here = {"a": Measured(40.0, 0.7), "b": Measured(60.0, 0.9), "c": Measured(5.0, 0.8)}
    records = {"gpu": here}
    assert expected(records, "gpu", "a") == Measured(CACHED_SHARE * 40.0, 0.7)
    assert expected(records, "gpu", "new") == Measured(60.0, 0.8)
    assert expected(records, "other", "a") == Measured(FIRST_SECONDS, FIRST_RATIO)


@pytest.mark.parametrize(("compiled_seconds", "is_kept"), [(0.3, True), (0.6, False)])
def test_steps_are_compiled_and_stay_so_only_when_they_are_faster(
    compiled_seconds: float, is_kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Time is scripted; the steps are real, and change nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    clock, calls = [0.0], []

    def now(state: Any) -> float:
        return clock[0]

    def step(state: Any, batch: Any) -> None:
        plain_step(state, batch)
        is_compiled = state.model._compiled_call_impl is not None
        clock[0] += compiled_seconds if is_compiled else SECONDS
        if is_compiled and not calls:
            calls.append(state.step)
            clock[0] += 2.0

    monkeypatch.setattr(compiling, "_now", now)
    monkeypatch.setattr(compiling, "plain_step", step)
    monkeypatch.setattr(compiling, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(
        compiling, "compile_in_place", lambda model, device: setattr(model, "_compiled_call_impl", model._call_impl)
    )
    config = cases.config_of(training={"compile": "auto", "kernels": "plain"})
    state, plain = cases.begin(config), cases.begin(cases.config_of(training={"kernels": "plain"}))
    for one in (state, plain):
        cases.advance(one, cases.STEPS)
    assert calls == [COMPILING + 1]
    assert (state.model._compiled_call_impl is not None) is is_kept
    assert state.stepper is plain_step
    (found,) = next(iter(compiling._read().values())).values()
    assert found == pytest.approx((2.0, compiled_seconds / SECONDS))
    expected_end, end = cases.everything(plain), cases.everything(state)
    assert not [name for name, value in expected_end.items() if not torch.equal(value, end[name])]


def test_a_short_leg_is_not_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    state = cases.begin(cases.config_of(training={"compile": "auto", "kernels": "plain"}))
    cases.advance(state, COMPILING + 1)
    assert state.model._compiled_call_impl is None
    assert state.stepper is plain_step

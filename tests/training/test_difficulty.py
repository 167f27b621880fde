"""What slots answered is counted puzzle by puzzle, and training visits the puzzles that it gets wrong more often."""

from pathlib import Path

import numpy as np
import pytest
import torch
import training_cases as cases

from trm.data.batches import difficulty
from trm.errors import CheckpointError, ConfigError, DatasetError
from trm.training.start import start_plan


def test_the_counts_are_those_of_the_slots_that_halted() -> None:
    state = cases.begin(cases.config_of("weighed"))
    tally = state.tally
    assert tally is not None
    groups, refilled = torch.tensor([1, 3, 1, 0, 2, 2, 3, 0]), torch.ones(8, dtype=torch.bool)
    halted = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0], dtype=torch.bool)
    right = torch.tensor([1, 0, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    tally.add(groups, refilled, halted, right)
    tally.add(torch.zeros(8, dtype=torch.int64), halted, ~halted, right)  # the others halt, on what they held
    counts = tally.saved()["tally.counts"]
    assert counts is not None
    assert counts.tolist() == [[2, 2, 2, 2], [2, 1, 2, 1]]


def test_what_is_answered_wrongly_comes_more_often() -> None:
    state = cases.begin(cases.config_of("weighed"))
    assert state.tally is not None
    state.tally._counts.copy_(torch.tensor([[99, 99, 99, 99], [99, 99, 99, 0]]))
    state.tally.turn(0)
    plan, steps = start_plan(state, cases.SPLITS["train"], cases.manifest()), state.tally.steps
    shares = []
    for window in range(2):
        rows = [groups for step in range(steps * window, steps * (window + 1)) if (groups := plan.batch(step).groups) is not None]
        shares.append(np.bincount(np.concatenate(rows), minlength=4)[3] / (8 * steps))
    assert shares[0] == pytest.approx(1 / 4, abs=0.1)
    assert shares[1] == pytest.approx(1.02 / 1.08, abs=0.1), "weights of 1.02 and of three times 0.02"


def test_what_training_answers_is_counted_and_bounds_the_weights() -> None:
    state = cases.begin(cases.config_of("weighed"))
    cases.advance(state, cases.STEPS)
    tally = state.tally
    assert tally is not None
    seen, right = tally.saved()["tally.counts"].numpy()  # type: ignore[union-attr]
    assert seen.sum() == state.metrics.totals["halted"]
    assert right.sum() == state.metrics.totals["exact_accuracy"]
    weights = tally.weights(cases.STEPS // tally.steps)
    assert weights.max() <= round(difficulty.UNIT * 1.02)
    other = cases.begin(cases.config_of("weighed", data={"difficulty": {"strength": 0.0}}))
    assert other.tally is None


def test_another_strength_is_another_run(tmp_path: Path) -> None:
    state = cases.begin(cases.config_of("weighed"))
    cases.advance(state, 4)
    state.save(tmp_path / "half")
    other = cases.config_of("weighed", data={"difficulty": {"strength": 1.0}})
    with pytest.raises(CheckpointError, match=r"has data.difficulty"):
        cases.resume(tmp_path / "half", other)


def test_what_is_no_puzzle_of_one_set_in_memory_is_refused() -> None:
    streamed = cases.config_of("weighed", data={"mode": "stream"})
    with pytest.raises(
        DatasetError, match=r"data.difficulty \(strength 4\) weighs puzzles, and data.mode stream takes each row once"
    ):
        start_plan(cases.begin(streamed), cases.SPLITS["train"], cases.manifest())
    weighed, parts = cases.begin(cases.config_of("weighed")), cases.manifest()
    mixed = parts.model_copy(update={"parts": (object(), object())})
    with pytest.raises(DatasetError, match="weighs the puzzles of one data set, but tiny mixes 2"):
        start_plan(weighed, cases.SPLITS["train"], mixed)


def test_what_a_recording_counts_in_keeps_its_place() -> None:
    state = cases.begin(cases.config_of("weighed"))
    assert state.tally is not None
    places = [state.tally._counts.data_ptr(), state.tally._slots.data_ptr()]
    cases.advance(state, cases.STEPS)
    assert [state.tally._counts.data_ptr(), state.tally._slots.data_ptr()] == places


def test_a_loss_that_tells_no_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = cases.begin(cases.config_of("weighed"))
    monkeypatch.setattr("trm.losses.loss.Work.answered", lambda *given: None)
    with pytest.raises(
        ConfigError, match=r"weighs puzzles by their answers, which the loss stablemax does not tell; call work\.answered"
    ):
        cases.advance(state, 1)


def test_several_supervision_steps_an_update_are_counted_each() -> None:
    state = cases.begin(cases.config_of("weighed", training={"passes_per_update": 2, "micro_batches": 2}))
    cases.advance(state, 8)
    assert state.tally is not None
    seen, right = state.tally.saved()["tally.counts"].numpy()  # type: ignore[union-attr]
    assert (seen.sum(), right.sum()) == (state.metrics.totals["halted"], state.metrics.totals["exact_accuracy"])


def test_strength_zero_is_todays_plan_bit_for_bit() -> None:
    plain, off = (cases.begin(cases.config_of(data=data)) for data in ({}, {"difficulty": {"strength": 0.0, "floor": 0.7}}))
    plans = [start_plan(state, cases.SPLITS["train"], cases.manifest()) for state in (plain, off)]
    for step in range(9):
        one, other = (plan.batch(step) for plan in plans)
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("inputs", "labels", "puzzle_identifiers"))
    assert one.groups is other.groups is None

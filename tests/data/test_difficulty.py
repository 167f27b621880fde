"""Visits by difficulty: the law of the weights, what an epoch visits, and a plan that follows from what was known."""

import numpy as np
import pytest
from data_cases import sudoku_split
from hypothesis import given
from hypothesis import strategies as st

from trm.config.data import DataConfig, Difficulty
from trm.config.run import RunConfig
from trm.data.batches import difficulty
from trm.data.batches.difficulty import UNIT, drawn_groups, group_weights, window_steps
from trm.data.batches.plan import Position, TrainPlan
from trm.data.batches.split import Split
from trm.tasks.augment import augmenter_for

LAW = Difficulty(strength=2.0, floor=0.1)


class Known:
    """Windows of 4 steps, each with weights of its own."""

    def __init__(self, groups: int) -> None:
        self.steps, self.starts, self._groups = 4, dict[int, int](), groups

    def weights(self, window: int) -> np.ndarray:
        return UNIT * (1 + np.arange(self._groups, dtype=np.int64) % (window + 1))


def test_the_weight_is_the_floor_and_what_was_wrong_to_the_strength() -> None:
    seen, right = np.array([0, 4, 4, 4, 99]), np.array([0, 0, 2, 4, 99])
    expected = 0.1 + (1 - right / (seen + 1)) ** 2
    assert (group_weights(seen, right, LAW) / UNIT) == pytest.approx(expected, abs=1 / UNIT)
    assert expected[-1] == pytest.approx(0.1001)


def test_without_answers_each_group_comes_once() -> None:
    nothing = np.zeros(50, dtype=np.int64)
    assert sorted(drawn_groups(group_weights(nothing, nothing, LAW), 3, 0, 0).tolist()) == list(range(50))


@given(st.lists(st.integers(1, 3 * UNIT), min_size=1, max_size=60), st.integers(0, 1 << 40))
def test_an_epoch_visits_each_group_by_its_share_rounded_down_or_up(weights: list[int], seed: int) -> None:
    known = np.array(weights, dtype=np.int64)
    groups = drawn_groups(known, seed, 1, 2)
    share = len(known) * known / known.sum()
    counts = np.bincount(groups, minlength=len(known))
    assert len(groups) == len(known)
    assert (counts >= np.floor(share)).all()
    assert (counts <= np.ceil(share)).all()


def test_over_many_epochs_the_mean_of_visits_is_the_share() -> None:
    weights = np.array([1, 2, 5, 9, 3], dtype=np.int64) * UNIT
    counts = sum(np.bincount(drawn_groups(weights, 0, 1, epoch), minlength=5) for epoch in range(2000)) / 2000
    assert counts == pytest.approx(5 * weights / weights.sum(), abs=0.04)


def test_weights_stay_whole_numbers_that_fit_for_the_largest_sets() -> None:
    many = 10**6
    weights = np.full(many, int(1.1 * UNIT), dtype=np.int64)
    assert (np.bincount(drawn_groups(weights, 0, 0, 0), minlength=many) == 1).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_weighed_plan_is_a_function_of_step_and_window_on_every_worker(workers: int) -> None:
    split, manifest = _split(12)
    whole = [_plan(split, manifest, Known(12)).batch(step) for step in (0, 5, 11, 3)]
    for rank in range(workers):
        plan = _plan(split, manifest, Known(12), rank=rank, world_size=workers)
        share = slice(rank * 6 // workers, (rank + 1) * 6 // workers)
        for step, batch in zip((0, 5, 11, 3), whole, strict=True):
            assert (plan.batch(step).inputs == batch.inputs[share]).all()
            assert (plan.batch(step).groups == batch.groups[share]).all()


def test_a_window_visits_by_its_own_weights_and_batches_say_whose_rows_they_are() -> None:
    split, manifest = _split(12)
    plan = _plan(split, manifest, Known(12))
    windows = [np.concatenate([plan.batch(step).groups for step in range(4 * window, 4 * window + 4)]) for window in range(2)]
    assert (np.bincount(windows[0], minlength=12) == 2).all(), "two epochs of equal weights"
    even, odd = np.bincount(windows[1], minlength=12).reshape(-1, 2).sum(0)
    assert even < 12 < odd, "weights of 1 and 2"
    first = plan.batch(0)
    assert (first.inputs == split.inputs[first.groups]).all()


def test_a_plan_goes_on_in_the_middle_of_a_window() -> None:
    split, manifest = _split(12)
    known = Known(12)
    whole = _plan(split, manifest, known)
    batches = [whole.batch(step) for step in range(12)]
    again = Known(12)
    again.starts = {1: 24}
    plan = _plan(split, manifest, again)
    plan.restore(Position(6, 36))
    for step in range(6, 12):
        assert (plan.batch(step).inputs == batches[step].inputs).all()


def test_without_strength_the_configuration_is_the_one_without_the_field() -> None:
    def digest(**difficulty: float) -> str:
        values = {"data": {"folder": "x", "difficulty": difficulty}, "training": {"steps": 1}}
        return RunConfig.model_validate(values).network_digest()

    plain = RunConfig.model_validate({"data": {"folder": "x"}, "training": {"steps": 1}}).network_digest()
    assert plain == digest() == digest(floor=0.5) != digest(strength=1.0)
    assert digest(strength=1.0) != digest(strength=1.0, floor=0.5)
    assert DataConfig(folder="x").order() == {"mode": "resident"}


def test_a_window_is_an_epoch_at_least() -> None:
    assert window_steps(1000, 768) == difficulty.LEAST_STEPS
    assert window_steps(1e6, 768) == 1303


def _split(rows: int) -> tuple[Split, object]:
    from training_cases import manifest

    known = manifest()
    info = known.splits["train"].model_copy(update={"rows": rows, "groups": rows, "mean_examples": 1.0})
    return sudoku_split(rows), known.model_copy(update={"splits": {"train": info}, "grid": (4, 4), "seq_len": 16})


def _plan(split: Split, manifest: object, known: Known, **workers: int) -> TrainPlan:
    return TrainPlan(split, manifest, augmenter_for, global_batch_size=6, seed=5, answers=known, **workers)  # type: ignore[arg-type]

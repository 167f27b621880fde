"""The batch plan: epochs as TRM.md says, and a batch that is a function of seed and step."""

import itertools
from typing import Any

import numpy as np
import pytest
from data_cases import arc_split, manifest, sudoku_augmented, sudoku_split
from hypothesis import given
from hypothesis import strategies as st

from trm.data.batches.plan import Batch, EvaluationPlan, Position, TrainPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest, SudokuAugmentation
from trm.errors import ConfigError, DatasetError
from trm.tasks.arc import augment as arc
from trm.tasks.augment import augmenter_for

GRIDS = {"sudoku": (4, 4), "arc": (30, 30)}


def case(kind: str, groups: int) -> tuple[Split, Manifest]:
    split = sudoku_split(groups) if kind == "sudoku" else arc_split(groups)
    return split, manifest(split, GRIDS[kind], sudoku_augmented() if kind == "sudoku" else None)


def same(one: Batch, other: Batch) -> bool:
    return all((getattr(one, name) == getattr(other, name)).all() for name in ("inputs", "labels", "puzzle_identifiers"))


def joined(batches: list[Batch]) -> Batch:
    return Batch(*(np.concatenate([getattr(b, name) for b in batches]) for name in ("inputs", "labels", "puzzle_identifiers")))


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
@given(seed=st.integers(0, 2**63 - 1), workers=st.sampled_from([2, 3, 4]), step=st.integers(0, 9))
def test_ranks_together_are_the_one_rank_batch(kind: str, seed: int, workers: int, step: int) -> None:
    split, info = case(kind, 17)
    whole = TrainPlan(split, info, augmenter_for, global_batch_size=12, seed=seed).batch(step)
    parts = [
        TrainPlan(split, info, augmenter_for, global_batch_size=12, seed=seed, rank=r, world_size=workers).batch(step)
        for r in range(workers)
    ]
    assert all(len(part.inputs) == 12 // workers for part in parts)
    assert same(joined(parts), whole)


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
@given(order=st.permutations(range(12)), at=st.integers(0, 11))
def test_a_batch_depends_on_seed_and_step_only(kind: str, order: list[int], at: int) -> None:
    split, info = case(kind, 7)
    straight = TrainPlan(split, info, augmenter_for, global_batch_size=10, seed=3)
    batches, positions = [], []
    for step in range(12):
        positions.append(straight.position())
        batches.append(straight.batch(step))
    jumping = TrainPlan(split, info, augmenter_for, global_batch_size=10, seed=3)
    assert all(same(jumping.batch(step), batches[step]) for step in order)
    resumed = TrainPlan(split, info, augmenter_for, global_batch_size=10, seed=3)
    resumed.restore(positions[at])
    assert resumed.position() == positions[at]
    assert all(same(resumed.batch(step), batches[step]) for step in range(at, 12))
    assert resumed.position() == straight.position()
    assert same(resumed.batch(0), batches[0])
    assert not same(TrainPlan(split, info, augmenter_for, global_batch_size=10, seed=4).batch(at), batches[at])


def test_a_restored_plan_does_not_count_from_the_start() -> None:
    split, info = case("arc", 7)
    plan = TrainPlan(split, info, augmenter_for, global_batch_size=10, seed=3)
    plan.restore(Position(10**12, 4 * 10**12))
    plan.batch(10**12)
    assert plan.position().step == 10**12 + 1


def test_an_epoch_visits_each_group_once_and_batches_run_across_its_border() -> None:
    split, _ = case("sudoku", 10)
    plan = TrainPlan(split, manifest(split, (4, 4)), augmenter_for, global_batch_size=4, seed=0)
    seen = np.concatenate([plan.batch(step).inputs for step in range(10)])
    rows = [int(np.flatnonzero((split.inputs == row).all(axis=1))[0]) for row in seen]
    assert [sorted(rows[start : start + 10]) for start in range(0, 40, 10)] == [list(range(10))] * 4
    assert len({tuple(rows[start : start + 10]) for start in range(0, 40, 10)}) == 4


def test_a_visit_takes_one_identifier_and_its_examples_until_the_batch_is_full() -> None:
    split, info = case("arc", 9)
    info = info.model_copy(update={"augmentation": info.augmentation.model_copy(update={"translate": False})})
    assert split.identifier_codes is not None
    assert split.identifier_starts is not None
    plan = TrainPlan(split, info, augmenter_for, global_batch_size=8, seed=0)
    visits: list[int] = []
    used: set[int] = set()
    full, cut = 0, 0
    for step in range(60):
        batch = plan.batch(step)
        start = 0
        while start < 8:
            identifier = int(batch.puzzle_identifiers[start])
            group = int(np.searchsorted(split.identifier_starts, identifier, side="right")) - 1
            mine = np.arange(split.offsets[group], split.offsets[group + 1])
            part = np.arange(start, min(start + len(mine), 8))
            assert (batch.puzzle_identifiers[part] == identifier).all()
            stored = arc.apply(split.inputs[mine], np.full(len(mine), split.identifier_codes[identifier]))
            found = {int(np.flatnonzero((stored == batch.inputs[row]).all(axis=1))[0]) for row in part}
            assert len(found) == len(part)
            full, cut = full + (len(part) == len(mine)), cut + (len(part) < len(mine))
            visits.append(group)
            used.add(identifier)
            start += len(mine)
    epochs = [sorted(visits[start : start + 9]) for start in range(0, len(visits) - 8, 9)]
    assert epochs == [list(range(9))] * len(epochs)
    assert len(epochs) > 10
    assert used == set(range(1, len(split.identifier_codes)))
    assert full > 4 * cut > 0


def test_a_batch_larger_than_the_data_goes_through_several_epochs() -> None:
    split, info = case("arc", 3)
    batch = TrainPlan(split, info, augmenter_for, global_batch_size=100, seed=0).batch(5)
    assert batch.inputs.shape == (100, 900)
    assert len(np.unique(batch.puzzle_identifiers)) > 6


def test_labels_ignore_padding_only() -> None:
    split, info = case("arc", 5)
    batch = TrainPlan(split, info, augmenter_for, global_batch_size=16, seed=0).batch(0)
    assert ((batch.labels == -100) | ((batch.labels >= 1) & (batch.labels <= 11))).all()
    assert (batch.labels == -100).any()
    assert batch.inputs.dtype == batch.labels.dtype == batch.puzzle_identifiers.dtype == np.int32


def test_a_visit_shows_sudoku_in_another_form_unless_forms_are_counted() -> None:
    split, info = case("sudoku", 4)
    plan = TrainPlan(split, info, augmenter_for, global_batch_size=4, seed=0)
    answers = np.unique(np.concatenate([plan.batch(step).labels for step in range(50)]), axis=0)
    assert 75 < len(answers) <= 96  # the symmetric forms of the one answer
    few = info.model_copy(update={"augmentation": SudokuAugmentation(num_aug=2)})
    plan = TrainPlan(split, few, augmenter_for, global_batch_size=4, seed=0)
    batches = [plan.batch(step) for step in range(50)]
    forms = np.unique(np.concatenate([np.concatenate([batch.inputs, batch.labels], axis=1) for batch in batches]), axis=0)
    assert len(forms) == 4 * 3
    stored = np.concatenate([split.inputs, split.labels], axis=1)
    assert all((forms == row).all(axis=1).any() for row in stored)


def test_a_batch_that_does_not_divide_is_refused_with_batches_that_do() -> None:
    split, info = case("sudoku", 4)
    with pytest.raises(ConfigError, match="global batch 100 must divide by 8 workers; try 96 or 104"):
        TrainPlan(split, info, augmenter_for, global_batch_size=100, seed=0, world_size=8)
    with pytest.raises(DatasetError, match="training needs rows: split train of case has none"):
        TrainPlan(sudoku_split(0), info, augmenter_for, global_batch_size=4, seed=0)


@given(workers=st.integers(1, 5), batch_size=st.integers(1, 20), examples=st.one_of(st.none(), st.integers(1, 30)))
def test_evaluation_ranks_see_each_example_once(workers: int, batch_size: int, examples: int | None) -> None:
    split = sudoku_split(23)
    info = manifest(split, (4, 4), sudoku_augmented())
    rows: list[int] = []
    for rank in range(workers):
        plan = EvaluationPlan(
            split, info, augmenter_for, batch_size=batch_size, max_examples=examples, seed=1, rank=rank, world_size=workers
        )
        batches = list(plan)
        assert len(batches) == len(plan)
        for batch in batches:
            assert (batch.batch.inputs == split.inputs[batch.rows]).all()
            assert (batch.batch.labels == split.labels[batch.rows]).all()
            assert not batch.augmentations.any()
            rows += batch.rows.tolist()
    expected = EvaluationPlan(split, info, augmenter_for, batch_size=1, max_examples=examples, seed=1).examples
    assert sorted(rows) == expected.tolist()
    assert len(rows) == min(23, examples or 23)


def test_arc_is_scored_under_every_augmentation_of_its_task() -> None:
    split, info = case("arc", 6)
    assert split.identifier_codes is not None
    plan = EvaluationPlan(split, info, augmenter_for, batch_size=7, max_examples=None, seed=0)
    seen = set()
    for batch in plan:
        codes = split.identifier_codes[batch.batch.puzzle_identifiers]
        assert (batch.augmentations == codes).all()
        assert (arc.invert(batch.batch.inputs.astype(np.uint8), codes) == split.inputs[batch.rows]).all()
        seen |= set(zip(batch.rows.tolist(), batch.batch.puzzle_identifiers.tolist(), strict=True))
    assert seen == {(row, 4 * split.groups[row] + k) for row in range(len(split)) for k in range(1, 5)}
    assert plan.num_rows == len(seen)
    capped = EvaluationPlan(split, info, augmenter_for, batch_size=7, max_examples=3, seed=0, max_augmentations=2)
    assert capped.num_rows == 6
    assert [int(batch.augmentations[0]) for batch in capped] == [0]


def votes_of(split: Split, info: Manifest, most: int | None, **how: Any) -> set[tuple[int, int]]:
    """Example and identifier of every vote."""
    plan = EvaluationPlan(split, info, augmenter_for, batch_size=7, max_examples=None, **{"seed": 0, **how}, max_augmentations=most)
    return {vote for batch in plan for vote in zip(batch.rows.tolist(), batch.batch.puzzle_identifiers.tolist(), strict=True)}


def test_fewer_votes_are_a_seeded_choice_that_has_the_task_as_it_is() -> None:
    split = arc_split(12, num_aug=20)
    info = manifest(split, (30, 30), None)
    starts, everyone = split.identifier_starts, votes_of(split, info, None)
    assert starts is not None
    chosen = [votes_of(split, info, most) for most in (1, 2, 8, 21, 1000)]
    assert chosen[0] == {(row, int(starts[split.groups[row]])) for row in range(len(split))}
    assert all(fewer < more for fewer, more in itertools.pairwise(chosen[:4])), "more votes add to fewer"
    assert [len(one) for one in chosen[:3]] == [len(split), 2 * len(split), 8 * len(split)]
    assert chosen[3] == chosen[4] == everyone
    assert votes_of(split, info, 8, seed=1) != chosen[2]
    within = {identifier - int(starts[split.groups[row]]) for row, identifier in chosen[1]} - {0}
    assert len(within) > 4, "they are not the first of the table"
    workers = [votes_of(split, info, 8, rank=rank, world_size=3) for rank in range(3)]
    assert set.union(*workers) == chosen[2]
    assert sum(map(len, workers)) == len(chosen[2])


def test_the_evaluation_subset_is_a_function_of_the_seed() -> None:
    split = sudoku_split(50)
    info = manifest(split, (4, 4))
    subsets = [
        EvaluationPlan(split, info, augmenter_for, batch_size=8, max_examples=10, seed=seed).examples.tolist() for seed in (0, 0, 1)
    ]
    assert subsets[0] == subsets[1] != subsets[2]

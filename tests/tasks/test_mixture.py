"""Mixtures: quotas kept exactly, identifiers apart, each part under its own augmentation, no puzzle of one scored in another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays_cases import files_of, spelt, write_arc_set, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st

from trm.config.data import DataConfig
from trm.data.batches.mixing import BLOCK_VISITS, Mixing, quotas_of
from trm.data.batches.plan import EvaluationPlan, TrainPlan
from trm.data.batches.row_storage import training_rows
from trm.data.batches.split import Split, load_split
from trm.data.batches.stream import StreamPlan
from trm.data.format.manifest import Manifest, read_manifest
from trm.errors import DatasetError
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import build_into
from trm.tasks.published.export import export_dataset
from trm.tasks.recipes import load_recipe

WEIGHTS = st.lists(st.floats(0.05, 10), min_size=1, max_size=5)


def silent(*_: object) -> None:
    """A report that nobody hears."""


@given(weights=WEIGHTS)
def test_quotas_are_the_weights_to_within_one_visit(weights: list[float]) -> None:
    quotas = quotas_of(weights)
    assert sum(quotas) == BLOCK_VISITS
    assert all(abs(quota - BLOCK_VISITS * weight / sum(weights)) < 1 for quota, weight in zip(quotas, weights, strict=True))


@given(quotas=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 2**63 - 1), first=st.integers(0, 500))
def test_blocks_keep_quotas_and_every_source_counts_its_own_visits(quotas: list[int], seed: int, first: int) -> None:
    mixing = Mixing(quotas, seed=seed)
    sources, numbers = mixing.at(0, 5 * mixing.block_visits)
    blocks = sources.reshape(5, -1)
    assert all(np.bincount(block, minlength=len(quotas)).tolist() == quotas for block in blocks)
    for source, quota in enumerate(quotas):
        assert numbers[sources == source].tolist() == list(range(5 * quota))
    later = Mixing(quotas, seed=seed).at(first, 40)
    whole = mixing.at(0, first + 40)
    assert all((part == column[first:]).all() for part, column in zip(later, whole, strict=True))


def test_blocks_differ_and_far_visits_are_as_cheap_as_near_ones() -> None:
    mixing = Mixing((300, 700), seed=3)
    sources, _ = mixing.at(0, 2000)
    assert (sources[:1000] != sources[1000:]).any()
    far, numbers = mixing.at(10**15, 1000)
    assert (far == 0).sum() == 300
    assert numbers[far == 0].tolist() == list(range(3 * 10**14, 3 * 10**14 + 300))


def mixture(tmp_path: Path, parts: list[dict[str, Any]], **fields: Any) -> tuple[str, Manifest]:
    """A mixture on disk; a part's `yaml` is the text of its recipe."""
    for number, part in enumerate(parts):
        if "yaml" in part:
            part["recipe"] = str(tmp_path / f"part{number}.yaml")
            Path(part["recipe"]).write_text(part.pop("yaml"))
    path = tmp_path / "mixture.yaml"
    path.write_text("name: mixed\ntask: mixture\nparts: []\n")
    folder = str(tmp_path / "mixed")
    manifest, _ = build_into(load_recipe(path, {"parts": parts, **fields}), folder, silent)
    assert manifest == read_manifest(folder)
    return folder, manifest


def boards(seed: int, train: int, name: str, more: str = "") -> str:
    return f"name: {name}\ntask: sudoku\nsize: 4\ntrain: {train}\nvalidation: 2\ntest: 3\nseed: {seed}\n{more}"


def arc(name: str, subsets: str, test_set: str) -> str:
    return f"name: {name}\ntask: arc\nsubsets: [{subsets}]\ntest_set: {test_set}\n"


def source_of(plan: TrainPlan, steps: int) -> np.ndarray:
    return np.concatenate([plan.batch(step).puzzle_identifiers for step in range(steps)])


def test_visits_are_shared_by_weight_and_every_part_keeps_its_augmentation(tmp_path: Path) -> None:
    parts = [{"yaml": boards(1, 7, "varied"), "weight": 1.0}, {"yaml": boards(2, 11, "plain", "augment: false"), "weight": 3.0}]
    folder, manifest = mixture(tmp_path, parts)
    assert manifest.num_puzzle_identifiers == 3
    assert [part.groups for part in manifest.parts] == [(0, 12), (12, 28)]
    split = load_split(folder, manifest, "train")
    plan = TrainPlan(split, manifest, augmenter_for, global_batch_size=100, seed=0)
    batches = [plan.batch(step) for step in range(20)]
    of_row = np.concatenate([batch.puzzle_identifiers for batch in batches])
    assert [(of_row[block * 1000 :][:1000] == 1).sum() for block in (0, 1)] == [250, 250]
    inputs = np.concatenate([batch.inputs for batch in batches])
    plain = np.unique(inputs[of_row == 2], axis=0)
    assert (plain == np.unique(split.inputs[7:], axis=0)).all()
    assert len(np.unique(inputs[of_row == 1], axis=0)) > 200
    counts = np.unique(inputs[of_row == 2], axis=0, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


def test_without_weights_an_epoch_visits_every_puzzle_of_every_part_once(tmp_path: Path) -> None:
    parts = [{"yaml": boards(1, 7, "one", "augment: false")}, {"yaml": boards(2, 11, "two", "augment: false")}]
    folder, manifest = mixture(tmp_path, parts)
    split = load_split(folder, manifest, "train")
    plan = TrainPlan(split, manifest, augmenter_for, global_batch_size=9, seed=5)
    seen = np.concatenate([plan.batch(step).inputs for step in range(8)])
    for epoch in seen.reshape(4, 18, 16):
        assert sorted(map(bytes, epoch.astype(np.uint8))) == sorted(map(bytes, split.inputs))


def arc_mixture(tmp_path: Path) -> tuple[str, Manifest]:
    write_arc_set(tmp_path / "own", 6)
    write_arc_set(tmp_path / "other", 12)
    export_dataset(str(tmp_path / "other"), str(tmp_path / "out"))
    stored = f"name: stored\ntask: arrays\npuzzle: arc\npath: {tmp_path / 'out'}\nvalidation: 0\n"
    return mixture(tmp_path, [{"folder": str(tmp_path / "own")}, {"yaml": stored}], skip_bad=True)


@pytest.fixture(scope="module")
def mixed_arc(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Manifest]:
    """A set of our own, and another one whose forms are stored and whose first six tasks are the same."""
    return arc_mixture(tmp_path_factory.mktemp("arc"))


def test_tasks_that_one_part_tests_are_not_trained_on_in_another(mixed_arc: tuple[str, Manifest], tmp_path: Path) -> None:
    folder, manifest = mixed_arc
    _, stored = manifest.parts
    train = load_split(folder, manifest, "train")
    assert set(train.groups) & set(range(*stored.groups)) == set(range(6, 18)) - {9, 10, 11}
    assert list(manifest.skipped) == ["stored must not train on a puzzle that own scores"]
    write_arc_set(tmp_path / "own", 6)
    write_arc_set(tmp_path / "twin", 8)
    export_dataset(str(tmp_path / "twin"), str(tmp_path / "out"))
    text = f"name: other\ntask: arrays\npuzzle: arc\npath: {tmp_path / 'out'}\nvalidation: 0\n"
    with pytest.raises(DatasetError, match="must not train on what another part scores: task training003 of other is one of own"):
        mixture(tmp_path, [{"folder": str(tmp_path / "own")}, {"yaml": text}])


def test_stored_and_drawn_forms_stand_side_by_side(mixed_arc: tuple[str, Manifest]) -> None:
    folder, manifest = mixed_arc
    split = load_split(folder, manifest, "train")
    assert split.identifier_codes is not None
    assert manifest.num_puzzle_identifiers == len(split.identifier_codes) == 1 + 6 * 4 + 12 * 4
    identifiers = source_of(TrainPlan(split, manifest, augmenter_for, global_batch_size=50, seed=0), 40)
    assert set(identifiers) >= set(range(1, 25))
    assert not set(identifiers) & set(range(25 + 3 * 4, 25 + 6 * 4))
    test = load_split(folder, manifest, "test")
    passes = [
        (int(row), int(identifier))
        for batch in EvaluationPlan(test, manifest, augmenter_for, batch_size=8, max_examples=None, seed=0)
        for row, identifier in zip(batch.rows, batch.batch.puzzle_identifiers, strict=True)
    ]
    assert len(passes) == len(set(passes))
    per_example = np.bincount([row for row, _ in passes])
    assert set(per_example[per_example > 0]) == {4}


@settings(max_examples=15)
@given(seed=st.integers(0, 2**63 - 1), step=st.integers(0, 6), at=st.integers(0, 6))
def test_a_mixtures_batch_is_a_function_of_seed_and_step(mixed_arc: tuple[str, Manifest], seed: int, step: int, at: int) -> None:
    folder, manifest = mixed_arc
    split = _split(folder, manifest)
    straight = TrainPlan(split, manifest, augmenter_for, global_batch_size=12, seed=seed)
    positions, batches = [], []
    for number in range(8):
        positions.append(straight.position())
        batches.append(straight.batch(number))
    resumed = TrainPlan(split, manifest, augmenter_for, global_batch_size=12, seed=seed)
    resumed.restore(positions[at])
    for number in range(at, 8):
        assert (resumed.batch(number).inputs == batches[number].inputs).all()
    ranks = [
        TrainPlan(split, manifest, augmenter_for, global_batch_size=12, seed=seed, rank=rank, world_size=3).batch(step)
        for rank in range(3)
    ]
    for name in ("inputs", "labels", "puzzle_identifiers"):
        assert (np.concatenate([getattr(rank, name) for rank in ranks]) == getattr(batches[step], name)).all()


def test_a_mixture_without_weights_streams_each_row_of_each_part_once(mixed_arc: tuple[str, Manifest]) -> None:
    folder, manifest = mixed_arc
    split = _split(folder, manifest)
    assert split.puzzle_identifiers is not None
    stored = np.sort(split.puzzle_identifiers[split.puzzle_identifiers >= 0])
    with training_rows(DataConfig(folder=folder, mode="stream"), folder, manifest) as rows:
        plan = StreamPlan(rows, manifest, augmenter_for, global_batch_size=len(split), seed=1)
        for step in range(3):
            identifiers = plan.batch(step).puzzle_identifiers
            assert np.array_equal(np.sort(identifiers[identifiers >= 25]), stored)
            assert (identifiers >= 1).all()


_SPLITS: dict[str, Split] = {}


def _split(folder: str, manifest: Manifest) -> Split:
    return _SPLITS.setdefault(folder, load_split(folder, manifest, "train"))


def test_an_exported_mixture_has_all_parts(mixed_arc: tuple[str, Manifest], tmp_path: Path) -> None:
    folder, manifest = mixed_arc
    said = export_dataset(folder, str(tmp_path / "out"), joins_validation=True)
    assert said["train"]["num_puzzle_identifiers"] == manifest.num_puzzle_identifiers
    train = load_split(folder, manifest, "train")
    stored = train.puzzle_identifiers
    assert stored is not None
    rows = int((stored < 0).sum()) * 4 + int((stored >= 0).sum())
    validation = load_split(folder, manifest, "validation")
    assert np.load(tmp_path / "out/train/all__inputs.npy").shape[0] > rows + len(validation)
    assert sorted(files_of(tmp_path / "out")) == sorted(
        [
            "identifiers.json",
            "test_puzzles.json",
            *(
                f"{split}/{file}"
                for split in ("train", "test")
                for file in (
                    "dataset.json",
                    *(f"all__{n}.npy" for n in ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")),
                )
            ),
        ]
    )


def test_identifiers_of_plain_parts_are_kept_apart(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"train": [[(1, [0]), (2, [1])], [(2, [2])]], "test": [[(1, [3])]]}, 3)
    write_folder(tmp_path / "b", {"train": [[(0, [10])], [(0, [11])]], "test": [[(0, [12])]]}, 1)
    texts = [f"name: {n}\ntask: arrays\npuzzle: other\npath: {tmp_path / n}\ngrid: [2, 3]\nvalidation: 0\n" for n in "ab"]
    folder, manifest = mixture(tmp_path, [{"yaml": text} for text in texts])
    train = load_split(folder, manifest, "train")
    assert train.puzzle_identifiers is not None
    assert train.puzzle_identifiers.tolist() == [1, 2, 2, 3, 3]
    assert train.groups.tolist() == [0, 0, 1, 3, 4]
    assert manifest.num_puzzle_identifiers == 4


def test_what_parts_left_out_is_counted_in_the_mixture(tmp_path: Path) -> None:
    for name, numbers in {"a": (0, 1), "b": (10, 11)}.items():
        first, second = numbers
        write_folder(tmp_path / name, {"train": [[(0, [first])], [(0, [second])]], "test": [[(0, [first + 2])]]}, 1)
        inputs = np.load(path := tmp_path / name / "train" / "all__inputs.npy")
        inputs[1, 0] = 9
        np.save(path, inputs)
    texts = [f"name: {n}\ntask: arrays\npuzzle: other\npath: {tmp_path / n}\ngrid: [2, 3]\nvalidation: 0\n" for n in "ab"]
    with pytest.raises(DatasetError, match=r"tokens must be 0 to 4: row 1 of .*a/train/all__inputs.npy"):
        mixture(tmp_path, [{"yaml": text} for text in texts])
    (built := tmp_path / "a.yaml").write_text(texts[0] + "skip_bad: true\n")
    build_into(load_recipe(built), str(tmp_path / "built"), silent)
    _, manifest = mixture(tmp_path, [{"folder": str(tmp_path / "built")}, {"yaml": texts[1]}], skip_bad=True)
    assert manifest.skipped == {"a: tokens must be 0 to 4": 1, "b: tokens must be 0 to 4": 1}


def test_what_one_part_tests_validates_in_no_other(tmp_path: Path) -> None:
    text = f"task: arrays\npuzzle: other\ngrid: [2, 3]\npath: {tmp_path}/"
    write_folder(tmp_path / "a", {"train": [[(0, [k])] for k in range(5)], "test": [[(0, [20])]]}, 1)
    (recipe := tmp_path / "a.yaml").write_text(f"name: a\n{text}a\nvalidation: 2\n")
    built, _ = build_into(load_recipe(recipe), str(tmp_path / "built"), silent)
    held = load_split(str(tmp_path / "built"), built, "validation").inputs
    number = next(k for k in range(5) if (spelt(k) == held[0]).all())
    write_folder(tmp_path / "b", {"train": [[(0, [30])]], "test": [[(0, [number])]]}, 1)
    parts = [{"folder": str(tmp_path / "built")}, {"yaml": f"name: b\n{text}b\nvalidation: 0\n"}]
    with pytest.raises(DatasetError, match=r"a part must not validate on what another part tests: puzzle . of a is one of b"):
        mixture(tmp_path, [dict(part) for part in parts])
    folder, manifest = mixture(tmp_path, parts, skip_bad=True)
    assert manifest.skipped == {"a must not validate on a puzzle that b tests": 1}
    assert load_split(folder, manifest, "validation").inputs.tolist() == held[1:].tolist()


def test_parts_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "a", {"train": [[(0, [0])]], "test": [[(0, [3])]]}, 1)
    other = f"name: other\ntask: arrays\npuzzle: other\npath: {tmp_path / 'a'}\ngrid: [2, 3]\nvalidation: 0\n"
    refused: list[tuple[list[dict[str, Any]], str]] = [
        ([{"yaml": boards(1, 5, "one")}, {"yaml": other}], "must have one task: one has sudoku, other has other"),
        ([{"yaml": boards(1, 5, "one")}, {"yaml": boards(2, 5, "one")}], "must have names of their own: one, one"),
        ([{"yaml": boards(1, 300, "one")}, {"yaml": boards(2, 900, "two")}], "what another part scores: puzzle"),
        (
            [{"yaml": boards(1, 5, "one"), "weight": 1.0}, {"yaml": boards(2, 5, "two")}],
            "all parts have a weight or none has, 1 of 2",
        ),
        ([{"yaml": boards(1, 5, "one")}, {}], "a part is a recipe or a folder"),
        ([{"yaml": boards(1, 5, "one")}], "parts"),
        ([{"recipe": str(tmp_path / "mixture.yaml")}] * 2, "parts"),
        ([{"folder": str(tmp_path / "none")}] * 2, "the manifest must exist"),
        (
            [
                {"yaml": arc("one", "training, evaluation", "evaluation")},
                {"yaml": arc("two", "training2, evaluation2", "evaluation2")},
            ],
            "a test set must not be trained on: training2 holds 376 tasks of the test set evaluation",
        ),
    ]
    for parts, message in refused:
        with pytest.raises(DatasetError, match=message):
            mixture(tmp_path, parts)
    assert not (tmp_path / "mixed").exists()


def test_a_mixture_whose_part_changes_is_another_data_set(tmp_path: Path) -> None:
    parts = [{"yaml": boards(1, 5, "one")}, {"yaml": boards(2, 5, "two")}]
    mixture(tmp_path, parts)
    recipe = load_recipe(tmp_path / "mixture.yaml", {"parts": parts})
    before = recipe.digest()
    assert recipe.split_names == ("train", "validation", "test")
    assert recipe.puzzle_task == "sudoku"
    (tmp_path / "part1.yaml").write_text(boards(2, 6, "two"))
    assert recipe.digest() != before
    weighted = [part | {"weight": 1.0} for part in parts]
    (tmp_path / "part1.yaml").write_text(boards(2, 5, "two"))
    assert recipe.digest() == before != load_recipe(tmp_path / "mixture.yaml", {"parts": weighted}).digest()

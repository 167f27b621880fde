"""Streams: each row once an epoch over all ranks, batches a function of seed and step, and files that break are named."""

import itertools
import shutil
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_cases import GROUP_ROWS, SHARD_ROWS, SUDOKU_ROWS, MemoryReader, plan_over, stream_over, write_case

from trm.config.data import DataConfig
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch, EvaluationPlan, Position, TrainPlan
from trm.data.batches.row_storage import check_order, resolved, training_bytes, training_rows
from trm.data.batches.split import Split, load_split
from trm.data.batches.stored_rows import KEPT_GROUPS, StoredGrids, stored_split
from trm.data.batches.stream import RowGroup, StreamOrder, StreamPlan, row_groups
from trm.data.batches.stream_files import FileReader, RowGroupFiles
from trm.data.format import shards
from trm.data.format.manifest import Manifest, NoAugmentation, PartInfo, read_manifest
from trm.errors import CheckpointError, ConfigError, DatasetError
from trm.tasks.arc import augment as arc
from trm.tasks.augment import augmenter_for

Case = tuple[str, Manifest, Split]
COLUMNS = ("inputs", "labels", "puzzle_identifiers")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    made = {}
    for kind in ("sudoku", "arc"):
        folder = tmp_path_factory.mktemp("stream") / kind
        manifest = write_case(folder, kind)
        made[kind] = str(folder), manifest, load_split(str(folder), manifest, "train")
    return made


def same(one: Batch, other: Batch) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def joined(batches: list[Batch]) -> Batch:
    return Batch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in COLUMNS))


def order_of(sizes: list[int], *, seed: int, window_rows: int) -> StreamOrder:
    firsts = np.cumsum([0, *sizes])
    groups = tuple(RowGroup(0, k, int(firsts[k]), size) for k, size in enumerate(sizes))
    return StreamOrder(groups, seed=seed, window_rows=window_rows)


def sequence(order: StreamOrder, first: int, count: int) -> list[int]:
    """Rows of the split at places `first` .. of the endless sequence."""
    rows: list[int] = []
    for stretch in order.stretches(first, count):
        window = [order.group(stretch.visit + k) for k in range(stretch.visits)]
        held = np.concatenate([np.arange(group.first_row, group.first_row + group.rows) for group in window])
        rows += held[stretch.rows].tolist()
    return rows


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(sizes=SIZES, seed=st.integers(0, 2**63 - 1), window_rows=st.integers(1, 40), cut=st.integers(0, 200))
def test_every_epoch_has_each_row_once_wherever_reading_begins(sizes: list[int], seed: int, window_rows: int, cut: int) -> None:
    order, rows = order_of(sizes, seed=seed, window_rows=window_rows), sum(sizes)
    whole = sequence(order, 0, 3 * rows)
    for epoch in range(3):
        assert sorted(whole[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    cut %= 3 * rows
    assert sequence(order_of(sizes, seed=seed, window_rows=window_rows), cut, 3 * rows - cut) == whole[cut:]


@given(sizes=SIZES, window_rows=st.integers(1, 40))
def test_a_window_holds_no_more_rows_than_asked_for_unless_a_row_group_does(sizes: list[int], window_rows: int) -> None:
    order = order_of(sizes, seed=1, window_rows=window_rows)
    for stretch in order.stretches(0, 2 * sum(sizes)):
        rows = sum(order.group(stretch.visit + k).rows for k in range(stretch.visits))
        assert rows <= max(window_rows, max(sizes))
        assert stretch.visits <= order.window_visits


def test_seed_and_epoch_change_the_order_and_shuffling_spans_the_window() -> None:
    sizes, rows = [10] * 40, 400
    order = order_of(sizes, seed=5, window_rows=100)
    first, second = sequence(order, 0, rows), sequence(order, rows, rows)
    other = sequence(order_of(sizes, seed=6, window_rows=100), 0, rows)
    assert first != second != other != first
    for start in range(0, rows, 100):
        groups = np.array(first[start : start + 100]) // 10
        assert len(set(groups)) == 10
        # Each tenth of a window has rows of many of its row groups, and neighbours come apart.
        assert min(len(set(groups[k : k + 10])) for k in range(0, 100, 10)) >= 4
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(first)) < rows / 10
    plain = sequence(order_of(sizes, seed=5, window_rows=1), 0, rows)
    assert all(len({row // 10 for row in plain[k : k + 10]}) == 1 for k in range(0, rows, 10))


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
@given(workers=st.sampled_from([2, 3, 4]), step=st.integers(0, 30), window_rows=st.sampled_from([1, 15, 1000]))
def test_ranks_together_are_the_one_rank_batch(
    cases: dict[str, Case], kind: str, workers: int, step: int, window_rows: int
) -> None:
    _, manifest, split = cases[kind]
    whole = plan_over(split, manifest, window_rows=window_rows).batch(step)
    plans = [plan_over(split, manifest, window_rows=window_rows, rank=r, world_size=workers) for r in range(workers)]
    parts = [plan.batch(step) for plan in plans]
    assert all(len(part.inputs) == 12 // workers for part in parts)
    assert same(joined(parts), whole)


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
@settings(max_examples=10)
@given(at=st.integers(0, 14), jumps=st.lists(st.integers(0, 14), max_size=4))
def test_a_batch_depends_on_seed_and_step_only(cases: dict[str, Case], kind: str, at: int, jumps: list[int]) -> None:
    _, manifest, split = cases[kind]
    straight = plan_over(split, manifest)
    positions, batches = [], []
    for step in range(15):
        positions.append(straight.position())
        batches.append(straight.batch(step))
    jumping = plan_over(split, manifest)
    assert all(same(jumping.batch(step), batches[step]) for step in jumps)
    resumed = plan_over(split, manifest)
    resumed.restore(positions[at])
    assert resumed.position() == positions[at]
    assert all(same(resumed.batch(step), batches[step]) for step in range(at, 15))
    assert resumed.position() == straight.position()
    assert not same(plan_over(split, manifest, seed=4).batch(at), batches[at])


def test_all_ranks_begin_to_read_where_the_first_must_and_a_resume_reads_nothing_before(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["sudoku"]
    for rank in range(4):
        reader = MemoryReader(split)
        stream = stream_over(reader, split)
        plan = StreamPlan(stream, manifest, augmenter_for, global_batch_size=40, seed=3, rank=rank, world_size=4)
        plan.restore(Position(7, 7 * 40, plan.position().order))
        plan.batch(7)
        order = StreamOrder(row_groups(manifest, "train"), seed=3, window_rows=15)
        assert reader.visits[0] == next(order.stretches(7 * 40, 1)).visit
        assert reader.visits == list(range(reader.visits[0], reader.visits[-1] + 1))


def test_an_epoch_of_batches_is_every_stored_row_once(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["sudoku"]
    plain = manifest.model_copy(update={"augmentation": NoAugmentation()})
    plan = plan_over(split, plain, global_batch_size=4)
    seen = np.concatenate([plan.batch(step).inputs for step in range(SUDOKU_ROWS)])
    rows = [int(np.flatnonzero((split.inputs == row).all(axis=1))[0]) for row in seen]
    epochs = [rows[start : start + SUDOKU_ROWS] for start in range(0, len(rows), SUDOKU_ROWS)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(SUDOKU_ROWS))] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_arc_rows_take_identifiers_of_their_task_and_one_example_of_each_stays_in_place(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["arc"]
    assert split.identifier_codes is not None
    assert split.identifier_starts is not None
    plan = plan_over(split, manifest)
    used: set[int] = set()
    in_place: dict[tuple[int, int], bool] = {}
    for step in range(120):
        batch = plan.batch(step)
        for inputs, labels, identifier in zip(batch.inputs, batch.labels, batch.puzzle_identifiers, strict=True):
            group = int(np.searchsorted(split.identifier_starts, identifier, side="right")) - 1
            mine = np.flatnonzero(split.groups == group)
            code = split.identifier_codes[identifier]
            stored = [arc.apply(grids[mine], np.full(len(mine), code)) for grids in (split.inputs, split.labels)]
            stored[1] = np.where(stored[1] == 0, -100, stored[1].astype(int))
            found = np.flatnonzero((stored[0] == inputs).all(axis=1) & (stored[1] == labels).all(axis=1))
            for row in found:
                in_place[int(identifier), int(row)] = True
            used.add(int(identifier))
    assert used == set(range(1, len(split.identifier_codes)))
    for identifier in used:  # the one that is never moved was seen where it is stored
        assert any((identifier, row) in in_place for row in range(4))


def test_stored_identifiers_are_used_and_missing_ones_drawn(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["arc"]
    assert split.identifier_starts is not None
    firsts = split.identifier_starts[split.groups].astype(np.int32)
    is_stored = np.arange(len(split)) % 2 == 0
    extras = {**split.extras, "puzzle_identifiers": np.where(is_stored, firsts, -1).astype(np.int32)}
    half = Split.from_columns("train", split.columns())
    object.__setattr__(half, "extras", extras)
    plan, drawn = plan_over(half, manifest, global_batch_size=len(split)), plan_over(split, manifest, global_batch_size=len(split))
    order = StreamOrder(row_groups(manifest, "train"), seed=3, window_rows=15)
    for epoch in range(3):
        rows = np.array(sequence(order, epoch * len(split), len(split)))
        expected = np.where(is_stored[rows], firsts[rows], drawn.batch(epoch).puzzle_identifiers)
        assert np.array_equal(plan.batch(epoch).puzzle_identifiers, expected)


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
def test_files_give_the_rows_that_memory_gives(cases: dict[str, Case], kind: str) -> None:
    folder, manifest, split = cases[kind]
    with FileReader(folder, manifest) as reader:
        plan = StreamPlan(stream_over(reader, split), manifest, augmenter_for, global_batch_size=12, seed=3)
        memory = plan_over(split, manifest)
        for step in (0, 1, 2, 9, 3, 40):
            assert same(plan.batch(step), memory.batch(step))
    assert not [thread for thread in threading.enumerate() if thread.name == "row-groups"]


def test_any_fsspec_url_streams(cases: dict[str, Case]) -> None:
    folder, manifest, split = cases["sudoku"]
    fsspec.filesystem("memory").put(folder, "/streamed", recursive=True)
    with training_rows(DataConfig(folder="x", mode="stream", shuffle_window_rows=15), "memory://streamed", manifest) as rows:
        plan = StreamPlan(rows, manifest, augmenter_for, global_batch_size=12, seed=3)
        assert same(plan.batch(5), plan_over(split, manifest).batch(5))


def test_reading_ahead_is_bounded_by_a_window(cases: dict[str, Case]) -> None:
    folder, manifest, _ = cases["sudoku"]
    order = StreamOrder(row_groups(manifest, "train"), seed=3, window_rows=15)
    with FileReader(folder, manifest) as reader:
        columns = reader.read(order, 0)
        next(columns)
        ahead = reader._ahead
        assert ahead is not None
        deadline = threading.Event()
        deadline.wait(0.3)
        assert ahead._visit <= 1 + order.window_visits + 1


@pytest.mark.parametrize("harm", ["missing", "truncated", "flipped", "swapped"])
def test_a_shard_that_breaks_is_named(cases: dict[str, Case], tmp_path: Path, harm: str) -> None:
    folder, manifest, split = cases["sudoku"]
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    shard, other = (broken / manifest.splits["train"].shards[k].file for k in (1, 0))
    content = shard.read_bytes()
    if harm == "missing":
        shard.unlink()
    elif harm == "truncated":
        shard.write_bytes(content[: len(content) // 2])
    elif harm == "flipped":
        shard.write_bytes(content[:8] + bytes(len(content) - 16) + content[-8:])
    else:
        shutil.copy(other, shard)
        info = manifest.splits["train"]
        first, second, last = info.shards
        info = info.model_copy(update={"shards": (first, second.model_copy(update={"bytes": first.bytes}), last)})
        manifest = manifest.model_copy(update={"splits": {"train": info}})
    with FileReader(str(broken), manifest) as reader:
        plan = StreamPlan(stream_over(reader, split), manifest, augmenter_for, global_batch_size=12, seed=3)
        with pytest.raises(DatasetError, match=rf"train-00001-of-00003\.parquet.*; {shards.REBUILD}"):
            joined([plan.batch(step) for step in range(10)])


def test_a_position_of_another_order_is_refused(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["sudoku"]
    plan = plan_over(split, manifest)
    plan.batch(4)
    with pytest.raises(CheckpointError, match="another order of the rows"):
        plan_over(split, manifest, window_rows=40).restore(plan.position())
    with pytest.raises(CheckpointError, match="another order of the rows"):
        plan_over(split, manifest).restore(Position(5, 60))
    with pytest.raises(CheckpointError, match=r"data\.mode to 'stream'"):
        TrainPlan(split, manifest, augmenter_for, global_batch_size=12, seed=3).restore(plan.position())
    plan_over(split, manifest).restore(Position(0, 0))


def test_batches_that_do_not_divide_and_splits_without_rows_are_refused(cases: dict[str, Case]) -> None:
    _, manifest, split = cases["sudoku"]
    with pytest.raises(ConfigError, match="global batch 12 must divide by 5 workers"):
        plan_over(split, manifest, world_size=5)
    empty = manifest.splits["train"].model_copy(update={"rows": 0, "shards": ()})
    with pytest.raises(DatasetError, match="training needs rows"):
        plan_over(split, manifest.model_copy(update={"splits": {"train": empty}}))
    large = plan_over(split, manifest, global_batch_size=3 * SUDOKU_ROWS).batch(0)
    assert len(large.inputs) == 3 * SUDOKU_ROWS


def test_auto_streams_what_is_larger_than_the_room(cases: dict[str, Case]) -> None:
    _, manifest, _ = cases["sudoku"]
    said: list[str] = []
    size = training_bytes(manifest)
    assert size == SUDOKU_ROWS * (2 * 16 + 16)
    auto = DataConfig(folder="x")
    assert resolved(auto, [manifest], (size, "all"), said.append).mode == "resident"
    assert said == []
    assert resolved(auto, [manifest], (size - 1, "all there is"), said.append).mode == "stream"
    assert "all there is" in said[0]
    forced = DataConfig(folder="x", mode="resident")
    assert resolved(forced, [manifest], (0, "nothing"), said.append) is forced
    with pytest.raises(ValueError, match="shuffle_window_rows"):
        DataConfig(folder="x", shuffle_window_rows=0)


def test_a_mixture_by_weight_does_not_stream(cases: dict[str, Case]) -> None:
    _, manifest, _ = cases["sudoku"]
    stream = DataConfig(folder="x", mode="stream")
    parts = (PartInfo(name="a", groups=(0, 30)), PartInfo(name="b", groups=(30, 53)))
    check_order(stream, manifest.model_copy(update={"parts": parts}))
    weighted = manifest.model_copy(update={"parts": (parts[0].model_copy(update={"weight": 2.0}), parts[1])})
    with pytest.raises(DatasetError, match=r"mixes its parts by weight; set data\.mode: resident"):
        check_order(stream, weighted)
    said: list[str] = []
    assert resolved(DataConfig(folder="x"), [weighted], (0, "nothing"), said.append).mode == "resident"
    assert said[0].startswith("training rows stay in memory, because weights mix them")


def test_the_order_of_rows_belongs_to_what_decides_a_result() -> None:
    def digest(**data: object) -> str:
        return RunConfig.model_validate({"data": {"folder": "x", **data}, "training": {"steps": 1}}).network_digest()

    assert digest() == digest(mode="resident") == digest(mode="resident", shuffle_window_rows=5)
    assert len({digest(), digest(mode="stream"), digest(mode="stream", shuffle_window_rows=5)}) == 3


def test_row_groups_follow_from_the_manifest(cases: dict[str, Case]) -> None:
    folder, manifest, _ = cases["sudoku"]
    groups = row_groups(read_manifest(folder), "train")
    assert [group.rows for group in groups] == [6, 6, 6, 2, 6, 6, 6, 2, 6, 6, 1]
    assert [group.first_row for group in groups][:5] == [0, 6, 12, 18, SHARD_ROWS]
    assert manifest.row_group_rows == GROUP_ROWS


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
def test_grids_on_storage_are_those_in_memory(tmp_path: Path, kind: str) -> None:
    manifest = write_case(tmp_path / kind, kind)
    whole, stored = load_split(str(tmp_path / kind), manifest, "test"), stored_split(str(tmp_path / kind), manifest, "test")
    assert stored.inputs.shape == whole.inputs.shape
    assert np.array_equal(stored.groups, whole.groups)
    for rows in (np.arange(len(whole))[::-1], np.array([], dtype=np.int64), slice(3, 9), 4):
        assert np.array_equal(stored.inputs[rows], whole.inputs[rows])
    for name in ("inputs", "labels"):
        assert np.array_equal(stored.columns()[name], whole.columns()[name])
    plans = [EvaluationPlan(split, manifest, augmenter_for, batch_size=5, max_examples=None, seed=0) for split in (whole, stored)]
    for one, other in zip(*plans, strict=True):
        assert same(one.batch, other.batch)


def test_few_row_groups_are_in_memory_and_each_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_case(tmp_path / "set", "sudoku")
    stored, read = stored_split(str(tmp_path / "set"), manifest, "test"), list[int]()
    table = RowGroupFiles.table
    monkeypatch.setattr(RowGroupFiles, "table", lambda files, group: read.append(group.first_row) or table(files, group))
    plan = EvaluationPlan(stored, manifest, augmenter_for, batch_size=5, max_examples=None, seed=0)
    assert sum(len(batch.rows) for batch in plan) == SUDOKU_ROWS
    assert read == [group.first_row for group in row_groups(manifest, "test")]
    assert isinstance(stored.inputs, StoredGrids)
    assert len(stored.inputs.rows._kept) <= KEPT_GROUPS


def test_a_shard_that_breaks_while_it_is_scored_is_named(tmp_path: Path) -> None:
    manifest = write_case(tmp_path / "set", "sudoku")
    stored = stored_split(str(tmp_path / "set"), manifest, "test")
    last = tmp_path / "set" / manifest.splits["test"].shards[-1].file
    last.write_bytes(last.read_bytes()[:-9])
    assert len(stored.inputs[np.arange(SHARD_ROWS)]) == SHARD_ROWS
    with pytest.raises(DatasetError, match=last.name):
        stored.inputs[np.array([SUDOKU_ROWS - 1])]

"""Streams on a real Ray: the rows that files give, in a gang too, with nothing left behind by whatever ends them."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from cluster_cases import run_job
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from safetensors.numpy import load_file
from stream_cases import WINDOW_ROWS, plan_over, stream_over, write_case

from trm.cluster import shared_data
from trm.cluster.connection import connected
from trm.cluster.shared_data import read_feed
from trm.cluster.stream import StreamClient, gang_stream, leg_stream
from trm.config.data import DataConfig
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.data.batches.row_storage import training_rows
from trm.data.batches.split import Split, load_split
from trm.data.batches.stream import StreamPlan
from trm.data.format.manifest import Manifest, SplitName
from trm.errors import TrialError
from trm.tasks.augment import augmenter_for
from trm.training.run import fit

pytestmark = pytest.mark.ray
DATA = DataConfig(folder="x", mode="stream", shuffle_window_rows=WINDOW_ROWS)
Case = tuple[str, Manifest, Split]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("stream") / "data"
    manifest = write_case(folder, "sudoku")
    return str(folder), manifest, load_split(str(folder), manifest, "train")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray whose workers find the tests' modules."""
    with pytest.MonkeyPatch.context() as patch:
        paths = (str(Path(__file__).parents[1] / "fixtures"), os.environ.get("PYTHONPATH", ""))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        with connected(needs_dashboard=False, address="local"):
            yield


@pytest.mark.usefixtures("cluster")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data")  # of its own settings
def test_a_large_set_read_by_ray_data_and_a_small_one_read_here_are_the_same(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, manifest, _ = case
    splits: tuple[SplitName, ...] = tuple(manifest.splits)
    here = read_feed(folder, splits)
    monkeypatch.setattr(shared_data, "READ_HERE_BYTES", 0)
    there = read_feed(folder, splits)
    for name in splits:
        assert here.columns[name].keys() == there.columns[name].keys()
        for key, column in here.columns[name].items():
            assert np.array_equal(ray.get(column), ray.get(there.columns[name][key])), (name, key)


def in_a_leg(leg: Callable[..., Any], *arguments: Any) -> Any:
    """What `leg` returns in a process that holds every CPU, in a placement group that captures what it starts."""
    cpus = ray.cluster_resources()["CPU"]
    group = placement_group([{"CPU": cpus}])
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    try:
        task = ray.remote(leg).options(num_cpus=cpus, max_retries=0, scheduling_strategy=strategy)
        return ray.get(task.remote(*arguments), timeout=300)
    finally:
        remove_placement_group(group)


def streamed_plan(actor: Any, case: Case, *, rank: int = 0, workers: int = 1) -> StreamPlan:
    _, manifest, split = case
    stream = stream_over(StreamClient(actor, rank), split)
    return StreamPlan(stream, manifest, augmenter_for, global_batch_size=12, seed=3, rank=rank, world_size=workers)


def same(one: Batch, other: Batch) -> bool:
    names = ("inputs", "labels", "puzzle_identifiers")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_a_leg_that_holds_every_cpu_streams_to_two_workers_from_the_middle_of_an_epoch(case: Case, cluster: None) -> None:
    def leg() -> list[list[Batch]]:
        with gang_stream(DATA, case[0], workers=2) as actor:
            plans = [streamed_plan(actor, case, rank=rank, workers=2) for rank in range(2)]
            return [[plan.batch(step) for plan in plans] for step in range(7, 40)]

    whole = plan_over(case[2], case[1])
    for step, parts in enumerate(in_a_leg(leg), start=7):
        expected = whole.batch(step)
        for rank, part in enumerate(parts):
            here = slice(rank * 6, rank * 6 + 6)
            assert same(part, Batch(expected.inputs[here], expected.labels[here], expected.puzzle_identifiers[here]))


def test_legs_of_a_process_share_an_actor_and_start_anew(case: Case, cluster: None) -> None:
    def legs() -> list[tuple[int, Batch, Batch]]:
        found = []
        for step in (5, 2, 9):
            with leg_stream(DATA, case[0], workers=1) as actor:
                assert actor is not None
                plan = streamed_plan(actor, case)
                pid = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
                found.append((pid, plan.batch(step), plan.batch(step + 1)))
                if step == 2:
                    ray.kill(actor)
                    wait_for_end(pid)  # an actor that is about to be killed still answers
        return found

    whole = plan_over(case[2], case[1])
    found = in_a_leg(legs)
    assert found[0][0] == found[1][0] != found[2][0]
    for step, (_, first, second) in zip((5, 2, 9), found, strict=True):
        assert same(first, whole.batch(step))
        assert same(second, whole.batch(step + 1))


def test_a_shard_that_is_gone_ends_the_trial_with_its_name(case: Case, cluster: None, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(case[0], folder)
    (folder / case[1].splits["train"].shards[1].file).unlink()
    with gang_stream(DATA, str(folder), workers=1) as actor:
        plan = streamed_plan(actor, case)
        with pytest.raises(TrialError, match=r"broke off: the shard must exist: .*train-00001-of-00003\.parquet does not"):
            [plan.batch(step) for step in range(10)]


def held_bytes() -> int:
    """Of the objects that somebody holds: what nobody needs any more may lie in the store until its room is wanted."""
    internal = ray._private.internal_api
    state = internal.get_state_from_address(ray.get_runtime_context().gcs_address)
    return int(internal.get_memory_info_reply(state).store_stats.object_store_bytes_primary_copy)


def test_killing_a_legs_process_leaves_no_actor_and_no_objects(case: Case, cluster: None, tmp_path: Path) -> None:
    def leg() -> None:
        with leg_stream(DATA, case[0], workers=1) as actor:
            assert actor is not None
            streamed_plan(actor, case).batch(3)
            pid = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
            (tmp_path / "seen.json").write_text(json.dumps([pid, held_bytes()]))
            os.kill(os.getpid(), signal.SIGKILL)

    before = held_bytes()
    with pytest.raises(RayError):
        in_a_leg(leg)
    pid, meanwhile = json.loads((tmp_path / "seen.json").read_text())
    assert meanwhile > before
    wait_for_end(pid)
    deadline = time.monotonic() + 30
    while held_bytes() > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held_bytes() <= before


RUN = {
    "model": {"mlp_t": True, "pos_encodings": "none", "puzzle_emb_len": 1, "H_cycles": 1, "L_cycles": 1, "hidden_size": 16},
    "optim": {"lr_warmup_steps": 0},
    "training": {"global_batch_size": 16, "eval_every_steps": 5, "steps": 10},
}


def test_a_streamed_run_is_the_same_in_one_go_in_two_and_as_a_gang(case: Case, tmp_path: Path) -> None:
    """Bit for bit in place, the second half in a process of its own; a gang adds in another order, and scores alike."""
    data = DATA.model_copy(update={"folder": case[0]})
    config = RunConfig.model_validate({**RUN, "data": data})

    def train_here(name: str, steps: int) -> None:
        shorter = config.model_copy(update={"training": config.training.model_copy(update={"steps": steps})})
        with training_rows(data, case[0], case[1]) as rows:
            fit(shorter, {"train": rows, "validation": case[2]}, case[1], folder=tmp_path / name)

    def train(*arguments: str) -> None:
        code, output = run_job("train", *arguments, "--storage", str(tmp_path / "runs"), "--set", "tracking.enabled=false")
        assert code == 0, output

    def tensors(name: str) -> dict[str, np.ndarray]:
        folder = tmp_path / name / "checkpoints" / "step-00000010"
        files = [load_file(folder / file) for file in ("model.safetensors", "state.safetensors")]
        return files[0] | files[1]

    def validations(name: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [5, 10]
        return [row["validation"] for row in rows]

    train_here("straight", 10)
    train_here("halves", 5)
    train("--resume", str(tmp_path / "halves"), "--set", "training.steps=10")
    train(str(tmp_path / "straight" / "config.yaml"), "--out", str(tmp_path / "gang"), "--workers", "2")
    straight, halves, gang = tensors("straight"), tensors("halves"), tensors("gang")
    assert straight.keys() == halves.keys() == gang.keys()
    for name, value in straight.items():
        assert np.array_equal(value, halves[name]), name
        assert np.allclose(value, gang[name], rtol=1e-2, atol=1e-2), name
    assert np.array_equal(straight["carry.inputs"], gang["carry.inputs"])
    for alone, together in zip(validations("straight"), validations("gang"), strict=True):
        assert together == pytest.approx(alone, rel=2e-2, abs=2e-2)

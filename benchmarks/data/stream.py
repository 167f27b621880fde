"""How fast do streamed ARC rows come, Parquet to tensors, and what does a stream take to start and to hold?

Rows: two ranks on Ray (tasks of one CPU each, as a gang's workers), and one process that reads files itself. ARC-1's training
rows are written 24 times over, so that there are more of them than a window shuffles.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from benchmarks.rows import emit, parser, pss_bytes, spread
from trm.cluster.connection import connected
from trm.cluster.shared_data import DataFeed, read_feed
from trm.cluster.stream import gang_stream, leg_stream
from trm.config.data import DataConfig
from trm.data.batches.row_storage import training_rows
from trm.data.batches.split import load_split
from trm.data.batches.stream import StreamPlan, TrainStream
from trm.data.format import shards
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import read_manifest
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import ensure_dataset
from trm.tasks.making.writing import write_dataset
from trm.tasks.recipes import load_recipe

BATCH, RANKS, REPEATS, COPIES, LEGS, IDLE_SECONDS = 768, 2, 7, 24, 4, 4.0
RECIPE, OVERRIDES = "datasets/arc1.yaml", {"num_aug": 30}


def write_repeated(root: str) -> str:
    """The folder of ARC-1 with its training rows many times over."""
    source = ensure_dataset(DataConfig(recipe=RECIPE, overrides=OVERRIDES), root, lambda line: print(line, file=sys.stderr))
    manifest = read_manifest(source)
    built = {}
    for name in manifest.splits:
        split, times = load_split(source, manifest, name), COPIES if name == "train" else 1
        grids = [np.tile(grid, (times, 1)) for grid in (split.inputs, split.labels)]
        extras = {key: np.tile(column, times) for key, column in split.extras.items()}
        built[name] = BuiltSplit(*grids, np.tile(split.groups, times), extras)
    table = shards.read_identifiers(source, manifest)
    dataset = BuiltDataset(manifest.task, manifest.grid, manifest.vocabulary, built, manifest.augmentation, table)
    write_dataset(dataset, load_recipe(RECIPE, OVERRIDES), str(Path(root) / "repeated"))
    return str(Path(root) / "repeated")


def drain(rows: TrainStream, manifest: Any, rank: int, ranks: int, seconds: float) -> dict[str, Any]:
    """Make tensors for so long; seconds to the first batch, rows a second in each of several parts, memory."""
    torch.set_num_threads(1)
    before, start = pss_bytes(), time.perf_counter()
    plan = StreamPlan(rows, manifest, augmenter_for, global_batch_size=BATCH, seed=0, rank=rank, world_size=ranks)
    step, speeds = 0, []

    def make() -> None:
        nonlocal step
        batch = plan.batch(step)
        for array in (batch.inputs, batch.labels, batch.puzzle_identifiers):
            torch.from_numpy(array)
        step += 1

    make()
    first = time.perf_counter() - start
    for _ in range(REPEATS):
        begin, made = time.perf_counter(), step
        while time.perf_counter() - begin < seconds / REPEATS:
            make()
        speeds.append((step - made) * BATCH / (time.perf_counter() - begin))
    return {"first": first, "speeds": speeds, "added_bytes": pss_bytes() - before, "steps": step}


def rank_task(feed: DataFeed, data: DataConfig, actor: Any, rank: int, seconds: float) -> dict[str, Any]:
    return drain(feed.training_rows(data, actor, rank), feed.manifest, rank, RANKS, seconds)


def legs_task(feed: DataFeed, data: DataConfig) -> tuple[list[float], float]:
    """Seconds to the first batch of each of several legs of one process, and what the actor takes of a core while none asks."""
    starts = []
    for seed in range(LEGS):
        start = time.perf_counter()
        with leg_stream(data, feed.folder, workers=1) as actor:
            rows = feed.training_rows(data, actor)
            StreamPlan(rows, feed.manifest, augmenter_for, global_batch_size=BATCH, seed=seed).batch(0)
            starts.append(time.perf_counter() - start)
            time.sleep(IDLE_SECONDS / 2)  # until it has read ahead what it may
            if seed == LEGS - 1:
                used = [ray.get(actor.__ray_call__.remote(lambda _: time.process_time()))]
                time.sleep(IDLE_SECONDS)
                used.append(ray.get(actor.__ray_call__.remote(lambda _: time.process_time())))
    return starts, (used[1] - used[0]) / IDLE_SECONDS


def figure(what: str, ranks: list[dict[str, Any]]) -> dict[str, object]:
    """A row: the ranks keep step only where a window ends, so the slowest of them counts."""
    speeds = [min(part) for part in zip(*(rank["speeds"] for rank in ranks), strict=True)]
    return {
        "figure": "streamed_arc_rows_per_second",
        "reader": what,
        "batch": BATCH,
        **spread(speeds),
        "first_batch_seconds": round(max(rank["first"] for rank in ranks), 2),
        "rank_added_mb": round(max(rank["added_bytes"] for rank in ranks) / 1e6),
        "steps": min(rank["steps"] for rank in ranks),
    }


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=20.0, help="of each measurement (default: 20)")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = write_repeated(root)
        data = DataConfig(folder=folder, mode="stream")
        manifest = read_manifest(folder)
        with training_rows(data, folder, manifest) as rows:
            assert isinstance(rows, TrainStream)
            found = drain(rows, manifest, 0, 1, arguments.seconds)
        emit(figure("files, one process", [found]), arguments.out)
        with connected(needs_dashboard=False, address="local"):
            feed = read_feed(folder, ("validation",))
            task = ray.remote(num_cpus=1)(rank_task)
            with gang_stream(data, folder, workers=RANKS) as actor:
                found_ranks = ray.get([task.remote(feed, data, actor, rank, arguments.seconds) for rank in range(RANKS)])
                actor_bytes = ray.get(actor.__ray_call__.remote(lambda _: pss_bytes()))
            emit(figure("Ray Data, 2 ranks", found_ranks) | {"actor_mb": round(actor_bytes / 1e6)}, arguments.out)
            starts, idle = ray.get(ray.remote(num_cpus=2)(legs_task).remote(feed, data))
            common = {"first_of_process": round(starts[0], 2), **spread(starts[1:])}
            emit({"figure": "stream_start_seconds", "reader": "Ray Data, a leg in place", **common}, arguments.out)
            emit({"figure": "stream_idle_cpu_share", "reader": "Ray Data", "share": round(idle, 3)}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

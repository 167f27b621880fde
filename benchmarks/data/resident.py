"""What does a further trial on a node cost that uses the same resident set? ARC-1 with 1000 augmentations a puzzle.

Memory: the sum over the trials' processes and the object store's, each shared page counted once, with one trial more that has
made a batch, less the sum before it. Start: from nothing to the first batch, in a process that has done its warm-up leg.
"""

import ctypes
import gc
import itertools
import os
import sys
import tempfile
import time
from typing import Any

import psutil
import ray

from benchmarks.rows import emit, parser, pss_bytes, spread
from trm.cluster.connection import connected
from trm.cluster.shared_data import DataFeed, read_feed
from trm.config.data import DataConfig
from trm.data.batches.plan import TrainPlan
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import ensure_dataset
from trm.training.process import keep_freed_memory

TRIALS, STARTS, BATCH = 5, 9, 768
PROCESSOR_SHARE = 1 / 8


class Trial:
    """A trial's process, as a leg in place is: everything is imported before there is work."""

    def __init__(self) -> None:
        import torch

        import trm.training.leg

        assert trm.training.leg.run_leg is not None
        torch.set_num_threads(1)

    def pid(self) -> int:
        return os.getpid()

    def warm_up(self, feed: DataFeed) -> None:
        """What a leg's process does before its first leg."""
        keep_freed_memory()
        feed.warm_up()

    def start(self, feed: DataFeed, seed: int) -> tuple[float, float]:
        """Milliseconds to the first batch: of the wall clock, of the processor."""
        begin, used = time.perf_counter(), time.process_time()
        plan = TrainPlan(feed.split("train"), feed.manifest, augmenter_for, global_batch_size=BATCH, seed=seed)
        plan.batch(0)
        found = (time.perf_counter() - begin) * 1e3, (time.process_time() - used) * 1e3
        self._plan = plan
        return found

    def settle(self) -> None:
        """Give back what is not held."""
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def measure(feed: DataFeed) -> tuple[list[float], list[tuple[float, float]], list[tuple[float, float]]]:
    """Megabytes that each trial after the first adds, and its starts: the first of each process, and later ones."""
    trials = [ray.remote(num_cpus=PROCESSOR_SHARE)(Trial).remote() for _ in range(TRIALS)]
    pids = ray.get([trial.pid.remote() for trial in trials])
    stores = [process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == "raylet" and is_ours(process)]
    assert len(stores) == 1, "the object store lies in the raylet"
    sums, first, later = [], [], []
    for seed, trial in enumerate(trials):
        ray.get(trial.warm_up.remote(feed))
        first.append(ray.get(trial.start.remote(feed, seed)))
        ray.get([one.settle.remote() for one in trials])
        sums.append(sum(pss_bytes(pid) for pid in pids + stores) / 1e6)
    for seed in range(STARTS):
        later.append(ray.get(trials[0].start.remote(feed, seed)))
    return [b - a for a, b in itertools.pairwise(sums)], first, later


def is_ours(process: psutil.Process) -> bool:
    return os.getpid() in [parent.pid for parent in process.parents()]


def main() -> int:
    arguments = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as root, connected(needs_dashboard=False, address="local"):
        data = DataConfig(recipe="datasets/arc1.yaml", overrides={"num_aug": 1000})
        folder = ensure_dataset(data, root, lambda line: print(line, file=sys.stderr))
        feed = read_feed(folder, ("train", "validation"))
        added, first, later = measure(feed)
        common: dict[str, Any] = {"data": "arc1", "identifiers": feed.manifest.num_puzzle_identifiers, "batch": BATCH}
        emit({"figure": "resident_added_mb_per_trial", **common, **spread(added)}, arguments.out)
        for name, starts in (("first_in_process", first), ("later_in_process", later)):
            wall, used = zip(*starts, strict=True)
            row = {"figure": "resident_first_batch_ms", "start": name, **common, **spread(wall)}
            emit(row | {"processor_ms": spread(used)}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

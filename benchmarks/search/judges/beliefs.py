"""What a knob's `prior` is worth, right, useless or wrong: against the same point as the first trial alone, and against none.

    export JUDGES_DATA=/where/judges/lie
    python -m benchmarks.search.judges.beliefs --judges tuning --seeds 0:4 --traces beliefs.jsonl
    python -m benchmarks.search.judges.beliefs --traces beliefs.jsonl --out benchmarks/results/beliefs.jsonl

The first runs sweeps of ours, a line each, but for those that the file has; without `--judges` its rows are made. A right belief is
the judge's default: of a landscape 15 % of the scale off the optimum on every number, of LCBench a practitioner's guess. A useless
one is drawn at random, a wrong one lies as far from the default as a knob goes. Every difference is paired by judge and seed.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from benchmarks.rows import emit, parser
from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Judge, Params, Sweep, Value, drawn
from benchmarks.search.judges.ours import begins_with, believes, run
from benchmarks.search.judges.run import LIMITS, names_of
from benchmarks.search.judges.traces import Trace, limits_of, read, trace_of, write

Belief = Literal["right", "useless", "wrong"]
LENGTHS = (2.0, 4.0, 8.0, math.inf)
"""Full lengths after which regrets are looked at; of a sweep that was over before, its end."""
ALIKE = {"base_point": None, "confirm": None}
"""Sections of every space, but for what a way says: nothing is tried first, and nothing confirmed."""
RESAMPLES = 2000


def point_of(judge: Judge, belief: Belief, seed: int) -> Params:
    """What somebody with such a belief holds for the best."""
    if belief == "right":
        return judge.default
    draw = np.random.default_rng([seed, 11])
    if belief == "useless":
        return drawn(judge.knobs, draw)
    found: dict[str, Value] = {}
    for knob in judge.knobs:
        if not knob.is_active(found):
            continue
        held = judge.default.get(knob.name)
        if knob.kind == "choice" and not knob.is_ordered:
            others = [value for value in knob.values if value != held]
            found[knob.name] = others[int(draw.integers(len(others)))]
        else:
            found[knob.name] = knob.at(0.05 if held is not None and knob.place(held) >= 0.5 else 0.95)
    return found


def ways(judge: Judge, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way to search: its name, and the sections of the space."""
    yield "none", {}
    for belief in get_args(Belief):
        point = point_of(judge, belief, seed)
        yield f"{belief} first", begins_with(judge, point)
        yield f"{belief} prior", believes(judge, point)


def sweep_all(names: Sequence[str], seeds: range, path: Path) -> None:
    """A line for every sweep that the file has not."""
    known = {trace.key for trace in read(path)}
    for seed in seeds:
        for name in names:
            for way, sections in ways(judge_of(name), seed):
                for limit in LIMITS:
                    if (way, name, limit, seed) in known:
                        continue
                    sweep, started = Sweep(judge_of(name), seed, limits_of(limit)), time.perf_counter()
                    run(sweep, **{**ALIKE, **sections})
                    write(trace_of(way, limit, sweep, time.perf_counter() - started), path)
        print(f"seed {seed}", file=sys.stderr, flush=True)


def rows(traces: Sequence[Trace]) -> Iterator[dict[str, object]]:
    """Points lost by each way, less those of the same point tried first and of none, over all judges and seeds."""
    for limit in dict.fromkeys(trace.limit for trace in traces):
        by_way: dict[str, dict[tuple[str, int], Trace]] = {}
        for trace in traces:
            if trace.limit == limit:
                by_way.setdefault(trace.tool, {})[trace.judge, trace.seed] = trace
        for way, own in by_way.items():
            first = by_way.get(way.replace("prior", "first"), {})
            for length in LENGTHS:
                lost = {key: trace.after(length) for key, trace in own.items()}
                row: dict[str, object] = {"figure": "belief", "way": way, "limit": limit, "full_lengths": _shown(length)}
                row |= {"sweeps": len(lost), "points": _interval(list(lost.values()))}
                for label, others in (("less_none", by_way.get("none", {})), ("less_first", first)):
                    paired = [value - others[key].after(length) for key, value in lost.items() if key in others]
                    if others is not own and paired:
                        row[label] = _interval(paired)
                yield row


def _shown(length: float) -> float | str:
    return length if math.isfinite(length) else "end"


def _interval(values: Sequence[float]) -> list[float]:
    array = np.array(values)
    drawn_means = array[np.random.default_rng(0).integers(0, len(array), (RESAMPLES, len(array)))].mean(axis=1)
    return [round(float(value), 2) for value in (array.mean(), *np.percentile(drawn_means, [2.5, 97.5]))]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--judges", nargs="+", help="names, or tuning: run sweeps on them")
    made.add_argument("--seeds", default="0:4", help="from:to, of the sweeps (default: %(default)s)")
    made.add_argument("--traces", type=Path, required=True, help="file of sweeps")
    arguments = made.parse_args()
    if arguments.judges:
        first, _, end = arguments.seeds.partition(":")
        sweep_all(names_of(arguments.judges, may_be_kept=False), range(int(first), int(end)), arguments.traces)
        return 0
    for row in rows(list(read(arguments.traces))):
        emit(row, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

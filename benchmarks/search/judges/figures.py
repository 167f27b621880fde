"""From traces to the table of all tools: ranks, points lost, compute, each with an interval; and a picture of each judge.

`python -m benchmarks.search.judges.figures traces/*.jsonl --judges tuning --out rows.jsonl --pictures docs/pictures`

Figures are averaged over the judges of a family, then over families. Intervals (95 %) are paired bootstraps: the sweep seeds of
each judge are drawn anew, the same of all tools, then the judges of each family. Judges that not every tool ran are left out.
After 25 trials, and once 1 to 16 full lengths are spent:

- `rank`: of the tool among all by points lost, 1 the best.
- `points`: of true score lost.
- `ours_less`: points that ours loses less what the tool loses; below 0 ours is better.
- `to_best`: points lost as a multiple of the best other tool's on each judge, at least a seed's noise each; variants of ours, which
  begin with its name, are no others.
- `spent`: full lengths, confirmations included.

Of sweeps limited by compute:

- `to_random`: compute at which the tool's mean points lost come to what random's come to at the end, as a share of that end.
- `reach`: compute until what would be reported is within a seed's noise of the best, at most that of the sweep; and of random's.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.rows import emit, parser
from benchmarks.search.judges.boards import Board, Interval, board, catches, first, less_than, ranks, to_best, to_one
from benchmarks.search.judges.split import judges_in
from benchmarks.search.judges.traces import Trace, read

COMPUTES = (1.0, 2.0, 4.0, 8.0, 16.0)
GRID = 2.0 ** np.arange(-3, 4.01, 0.125)
"""Full lengths at which curves are looked at."""
Figures = Mapping[str, Mapping[str, Interval]]
"""Name -> tool -> value."""


def figures(traces: Sequence[Trace], ours: str) -> Figures:
    """Every figure that the sweeps give."""
    return dict(_figures(traces, ours))


def _figures(traces: Sequence[Trace], ours: str) -> Iterator[tuple[str, Mapping[str, Interval]]]:
    for limit in dict.fromkeys(trace.limit for trace in traces):
        sweeps, (kind, _, amount) = [trace for trace in traces if trace.limit == limit], limit.partition(":")
        if kind == "trials":
            yield from _lost(f"{amount} trials", sweeps, np.inf, ours)
            yield f"spent {amount} trials", board(sweeps, lambda trace: [trace.compute]).figure(first)
        else:
            for compute in (one for one in COMPUTES if one <= float(amount)):
                yield from _lost(f"{compute:g} of {amount}", sweeps, compute, ours)
            yield from _compute(sweeps, float(amount))


def _lost(name: str, sweeps: Sequence[Trace], compute: float, ours: str) -> Iterator[tuple[str, Mapping[str, Interval]]]:
    one = board(sweeps, lambda trace: [trace.after(compute)])
    yield f"rank {name}", one.figure(ranks)
    yield f"points {name}", one.figure(first)
    if ours in one.tools:
        yield f"ours_less {name}", one.figure(less_than(one.tools.index(ours)))
    if peers := others(one, ours):
        in_noises = board(sweeps, lambda trace: [trace.after(compute) / trace.noise])
        yield f"to_best {name}", in_noises.figure(to_best(peers))


def others(one: Board, ours: str) -> list[int]:
    """Numbers of the tools that are no variant of ours."""
    return [at for at, tool in enumerate(one.tools) if not tool.startswith(ours)]


def _compute(sweeps: Sequence[Trace], amount: float) -> Iterator[tuple[str, Mapping[str, Interval]]]:
    def reach(trace: Trace) -> list[float]:
        found = trace.reach(trace.noise)
        return [amount if found is None else min(amount, found)]

    one = board(sweeps, reach)
    yield f"reach of {amount:g}", one.figure(first)
    if "random" in one.tools:
        at, grid = one.tools.index("random"), GRID[amount >= GRID]
        yield f"reach of {amount:g}, to random's", one.figure(to_one(at))
        curves = board(sweeps, lambda trace: [trace.after(compute) for compute in grid])
        yield f"to_random of {amount:g}", curves.figure(catches(at, grid))


def by_judge(traces: Sequence[Trace], ours: str) -> list[dict[str, object]]:
    """A row a judge and limit: points lost of each tool, and ours as a multiple of the best other one's, at least a noise each."""
    rows = []
    for limit in dict.fromkeys(trace.limit for trace in traces):
        one = board([trace for trace in traces if trace.limit == limit], lambda trace: [trace.regret])
        noises = {trace.judge: trace.noise for trace in traces}
        for judge in one.judges:
            means = dict(zip(one.tools, one.means(judge)[:, 0].tolist(), strict=True))
            row: dict[str, object] = {"judge": judge, "limit": limit, "noise": noises[judge]}
            row["points"] = {tool: round(mean, 2) for tool, mean in means.items()}
            if ours in means and (peers := others(one, ours)):
                best = min((one.tools[at] for at in peers), key=means.__getitem__)
                floored = max(means[best], noises[judge])
                row |= {"best_other": best, "to_best": round(max(means[ours], noises[judge]) / floored, 3)}
            rows.append(row)
    return rows


def markdown(found: Figures, names: Sequence[str]) -> str:
    """A table, a line a tool, of some figures."""
    tools = list(next(iter(found.values())))
    lines = [f"| tool | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for tool in sorted(tools, key=lambda tool: found[names[0]].get(tool, (np.inf,))[0]):
        cells = ["{:.3g} ({:.3g} to {:.3g})".format(*found[name][tool]) if tool in found[name] else "" for name in names]
        lines.append(f"| {tool} | {' | '.join(cells)} |")
    return "\n".join(lines)


def families_table(traces: Sequence[Trace], limit: str, compute: float) -> str:
    """Markdown: points lost by each tool once so much is spent, averaged over each family's judges; those that all of them ran."""
    one = board([trace for trace in traces if trace.limit == limit], lambda trace: [trace.after(compute)])
    names = [f"{family}: {len(judges)}" for family, judges in one.families.items()]
    each = np.array([np.mean([one.means(judge)[:, 0] for judge in judges], axis=0) for judges in one.families.values()])
    lines = [f"| tool | mean | {' | '.join(names)} |", "| --- " * (len(names) + 2) + "|"]
    for at in np.argsort(each.mean(axis=0)):
        cells = [f"{value:.1f}" for value in (each[:, at].mean(), *each[:, at])]
        lines.append(f"| {one.tools[at]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("traces", nargs="+", type=Path, help="files that run.py wrote")
    made.add_argument("--judges", choices=["tuning", "kept"], help="only those (default: all that ran)")
    made.add_argument("--tools", nargs="+", help="only those (default: all that ran)")
    made.add_argument("--ours", default="ours", help="the tool that the others are compared with (default: %(default)s)")
    made.add_argument("--pictures", type=Path, help="folder for a picture a judge")
    arguments = made.parse_args()
    traces = [trace for path in arguments.traces for trace in read(path)]
    names = judges_in(arguments.judges) if arguments.judges else [trace.judge for trace in traces]
    traces = [one for one in traces if one.judge in names and (arguments.tools is None or one.tool in arguments.tools)]
    _report(traces, arguments.ours, arguments.out)
    if arguments.pictures is not None:
        from benchmarks.search.judges.pictures import draw_all

        draw_all(traces, arguments.pictures)
    return 0


def lacking(traces: Sequence[Trace]) -> dict[str, list[str]]:
    """Tool and limit -> judges that others ran and it did not; those with none are not named."""
    ran: dict[str, set[str]] = {}
    everyone: dict[str, set[str]] = {}
    for trace in traces:
        ran.setdefault(f"{trace.tool} {trace.limit}", set()).add(trace.judge)
        everyone.setdefault(trace.limit, set()).add(trace.judge)
    missing = {name: sorted(everyone[name.rpartition(" ")[2]] - judges) for name, judges in ran.items()}
    return {name: judges for name, judges in missing.items() if judges}


def _report(traces: Sequence[Trace], ours: str, out: Path | None) -> None:
    for name, judges in lacking(traces).items():
        print(f"left out of what all are compared on, for {name} did not run them: {', '.join(judges)}", file=sys.stderr)
    found = figures(traces, ours)
    for tool in dict.fromkeys(trace.tool for trace in traces):
        sweeps = [trace for trace in traces if trace.tool == tool]
        row = {name: [float(f"{one:.4g}") for one in values[tool]] for name, values in found.items() if tool in values}
        emit(
            {"tool": tool, "sweeps": len(sweeps), "seconds": round(float(np.mean([one.seconds for one in sweeps])), 2), **row}, out
        )
    for row in by_judge(traces, ours):
        emit(row, out)
    for kind in ("rank", "points", "ours_less", "to_best", "reach", "to_random"):
        if names := [name for name in found if name.startswith(kind)]:
            print(f"\n{markdown(found, names)}")
    for limit in dict.fromkeys(trace.limit for trace in traces):
        print(f"\npoints by family, {limit}\n{families_table(traces, limit, np.inf)}")


if __name__ == "__main__":
    sys.exit(main())

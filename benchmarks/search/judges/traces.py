"""What is kept of a sweep on a judge: a line of JSON, the same of every tool, from which all figures are made."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.search.judges.judge import Limits, Sweep

Key = tuple[str, str, str, int]
"""Tool, judge, limit, seed."""


@dataclass(frozen=True)
class Trace:
    """One sweep."""

    tool: str
    judge: str
    family: str
    limit: str
    """As `limits_of` reads it."""
    seed: int
    """Of the sweep; tools are paired by it."""
    trials: int
    """Begun, confirmations apart."""
    confirmations: int
    compute: float
    """Spent in all, in full lengths."""
    regret: float
    """Points of true score lost at the end."""
    noise: float
    """Of the judge, see `Judge.noise`."""
    best: float
    """True score that can be had."""
    seconds: float
    """That the tool took; training is looked up."""
    changes: list[tuple[float, float]] = field(default_factory=list)
    """Compute and regret, wherever what would be reported changed."""

    @property
    def key(self) -> Key:
        """What tells one sweep from another."""
        return self.tool, self.judge, self.limit, self.seed

    def after(self, compute: float) -> float:
        """Regret once so much compute was spent; all of the best while nothing would be reported."""
        known = [regret for spent, regret in self.changes if spent <= compute * (1 + 1e-9)]
        return known[-1] if known else self.best

    def reach(self, within: float) -> float | None:
        """Compute until what would be reported loses no more than that for the first time; null: it never did."""
        return next((spent for spent, regret in self.changes if regret <= within), None)


def limits_of(limit: str) -> Limits:
    """`trials:25` or `compute:16`, full lengths."""
    kind, _, amount = limit.partition(":")
    if kind not in ("trials", "compute"):
        raise ValueError(f"a limit is trials:25 or compute:16, got {limit}")
    return Limits(trials=int(amount)) if kind == "trials" else Limits(compute=float(amount))


def trace_of(tool: str, limit: str, sweep: Sweep, seconds: float) -> Trace:
    """What a sweep that is over leaves."""
    changes: list[tuple[float, float]] = []
    for moment in sweep.moments:
        if not changes or moment.regret != changes[-1][1]:
            changes.append((round(moment.compute, 4), round(moment.regret, 4)))
    return Trace(
        tool=tool,
        judge=sweep.judge.name,
        family=sweep.judge.family,
        limit=limit,
        seed=sweep.seed,
        trials=sweep.trials,
        confirmations=sweep.confirmations,
        compute=round(sweep.compute, 4),
        regret=round(sweep.moments[-1].regret, 4),
        noise=round(sweep.judge.noise, 4),
        best=round(sweep.judge.best, 4),
        seconds=round(seconds, 3),
        changes=changes,
    )


def write(trace: Trace, path: Path) -> None:
    """Appends its line."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(trace)) + "\n")


def read(path: Path) -> Iterator[Trace]:
    """Every whole line of a file; none where there is none. A line cut short by a kill is left out."""
    if not path.exists():
        return
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            values = json.loads(line)
            yield Trace(**{**values, "changes": [tuple(pair) for pair in values["changes"]]})

"""Which way to train is better at equal FLOPs: a small search for each, its winner on fresh seeds, accuracy against FLOPs.

    python -m benchmarks.learning.compare benchmarks/learning/sudoku9x9.yaml --storage runs/learning --out rows.jsonl

A file names ways (`arms`), each laid over what all share (`shared`, a search space). Every way gets a sweep of the same budget, and
its winner's configuration is trained on fresh seeds that no search saw, evaluated on the way. `reference` names the way whose mean
accuracy at the end is the target; a row says in which share of the reference's FLOPs a way's seeds got there, with the 95 %
interval of the mean. A second call goes on where the first was stopped.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml

from benchmarks.rows import emit, parser
from trm.config.files import merged
from trm.stats.comparison import compare
from trm.stats.intervals import mean_of_seeds

ROOT = Path(__file__).parents[2]
FIRST_SEED = 1000
"""Fresh seeds begin here; a sweep's trials have their own."""
METRIC = "exact_accuracy"


@dataclass(frozen=True)
class Curve:
    """One seed of a way's winner: accuracy at FLOPs, in order."""

    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        """Accuracy at the end."""
        return self.points[-1][1]

    def flops_to(self, target: float) -> float | None:
        """FLOPs at which the accuracy first is `target`, on a line between two evaluations; None where it never is."""
        before = (0.0, 0.0)
        for flops, score in self.points:
            if score >= target:
                share = 1.0 if score == before[1] else (target - before[1]) / (score - before[1])
                return before[0] + share * (flops - before[0])
            before = (flops, score)
        return None


def main() -> None:
    """Search each way, train its winner on fresh seeds, print the rows."""
    options = _options()
    plan = yaml.safe_load(options.plan.read_text())
    storage: Path = options.storage
    storage.mkdir(parents=True, exist_ok=True)
    arms = {name: arm for name, arm in plan["arms"].items() if not options.only or name in options.only}
    winners = {name: _searched(name, without_nulls(merged(plan["shared"], arm or {})), storage) for name, arm in arms.items()}
    jobs = [(name, FIRST_SEED + seed) for seed in range(options.seeds) for name in winners]
    with ThreadPoolExecutor(options.slots) as pool:
        trained = pool.map(lambda job: _trained(job[0], winners[job[0]], job[1], storage, options.evaluations), jobs)
        curves: dict[str, list[Curve]] = {}
        for (name, _), curve in zip(jobs, trained, strict=True):
            curves.setdefault(name, []).append(curve)
    for row in rows(curves, plan["reference"]):
        emit({"benchmark": "learning", "plan": options.plan.stem, **row, "params": _params(storage / row["arm"])}, options.out)


def rows(curves: Mapping[str, Sequence[Curve]], reference: str) -> Iterable[dict[str, Any]]:
    """A row a way: its accuracy at the end, and the share of the reference's FLOPs in which it got as far as that came to."""
    known = curves.get(reference)
    target = None if known is None else fmean(curve.last for curve in known)
    budget = None if known is None else fmean(curve.points[-1][0] for curve in known)
    for name, seeds in curves.items():
        end = mean_of_seeds([curve.last for curve in seeds], (0.0, 1.0))
        row: dict[str, Any] = {"arm": name, "seeds": len(seeds), "mean": end.mean, "low": end.low, "high": end.high}
        row["by_seed"] = [round(curve.last, 4) for curve in seeds]
        row["train_flops"] = fmean(curve.points[-1][0] for curve in seeds)
        if known is not None and target is not None and budget is not None:
            row["beside"] = beside([curve.last for curve in seeds], [curve.last for curve in known])
            shares = [None if (took := curve.flops_to(target)) is None else took / budget for curve in seeds]
            row |= {"target": target, "share_of_flops": shares, "share": interval_of(shares)}
        yield row


def beside(ours: Sequence[float], others: Sequence[float]) -> list[float] | None:
    """How much better ours are in the mean, with its 95 % interval (Welch's); None of one seed, or of the same."""
    found = compare(np.array(ours)[:, None], np.array(others)[:, None])
    return None if found.interval_95 is None or ours == others else [found.difference, *found.interval_95]


def interval_of(shares: Sequence[float | None]) -> list[float] | None:
    """Geometric mean and its 95 % interval over seeds (Student's, on logarithms); None where a seed never arrived."""
    logs = [math.log(share) for share in shares if share is not None]
    if len(logs) < max(2, len(shares)):
        return None
    return [math.exp(one) for one in mean_of_seeds(logs, (-math.inf, math.inf)) if one is not None]


def without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    """A space without the keys that a way has set to null, to take them out of what all share."""
    return {key: without_nulls(one) if isinstance(one, Mapping) else one for key, one in values.items() if one is not None}


def _searched(name: str, space: Mapping[str, Any], storage: Path) -> Path:
    """The configuration of the best trial of a way's sweep, which is begun, resumed, or done already."""
    file = storage / f"{name}.yaml"
    file.write_text(yaml.safe_dump(dict(space), sort_keys=False))
    best = storage / name / "best" / "config.yaml"
    if not best.is_file():
        resume = ["--resume"] if (storage / name / "journal.jsonl").is_file() else []
        _run("sweep", str(file), "--name", name, "--storage", str(storage), *resume, log=storage / f"{name}.log")
    return best


def _trained(name: str, config: Path, seed: int, storage: Path, evaluations: int) -> Curve:
    """The curve of a winner on one fresh seed."""
    folder = storage / f"{name}-seed-{seed}"
    steps = yaml.safe_load(config.read_text())["training"]["steps"]
    if not (folder / "best").is_dir() or _points(folder)[-1][0] < steps:
        begun = folder.is_dir()
        given = ["--resume", str(folder)] if begun else ["--out", str(folder), "--storage", str(storage)]
        every = max(1, steps // evaluations)
        sets = (f"seed={seed}", f"training.eval_every_steps={every}", "evaluation.max_examples=null", "tracking.enabled=false")
        _run("train", str(config), *given, *(part for one in sets for part in ("--set", one)), log=storage / f"{folder.name}.log")
    return Curve(tuple((flops, score) for _, flops, score in _points(folder)))


def _points(folder: Path) -> list[tuple[int, float, float]]:
    """Steps, FLOPs and accuracy of every evaluation on the way."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_flops"], line["validation"][METRIC]) for line in lines if "validation" in line]


def _params(folder: Path) -> dict[str, Any]:
    """What the best trial of a sweep was asked with."""
    best: dict[str, Any] = json.loads((folder / "leaderboard.json").read_text())["trials"][0]["parameters"]
    return best


def _run(job: str, *arguments: str, log: Path) -> None:
    command = [sys.executable, str(ROOT / "ray_jobs" / f"{job}.py"), *arguments]
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("ab") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **threads}, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}; see {log}")


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("plan", type=Path, help="YAML with shared, arms, reference")
    made.add_argument("--storage", type=Path, required=True, help="folder of sweeps and runs; a second call goes on there")
    made.add_argument("--seeds", type=int, default=3, help="fresh seeds of each winner")
    made.add_argument("--evaluations", type=int, default=20, help="evaluations on the way of each seed")
    made.add_argument("--slots", type=int, default=os.cpu_count() or 1, help="runs at a time")
    made.add_argument("--only", nargs="*", help="these ways alone")
    return made.parse_args()


if __name__ == "__main__":
    main()

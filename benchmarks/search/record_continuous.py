"""Record learning curves of a continuous space at the points of a scrambled Sobol design: real training, to fit a surrogate to.

`python -m benchmarks.search.record_continuous sudoku6x6 --scratch FOLDER --minutes 60` trains one run at a time and goes
on where it was stopped, by whatever: finished runs lie in FOLDER. At its end, or with `--assemble` alone, it writes what
`benchmarks/search/judges/` reads. `tables/continuous/TASK.yaml`, the space, is written by hand.
"""

import argparse
import hashlib
import importlib.metadata
import json
import math
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import pyarrow.parquet as pq
import torch
from scipy.stats.qmc import Sobol

from benchmarks.rows import commit, device
from benchmarks.search.assembling import PACKAGES, best_configs, clock_seconds, noise, table_of
from benchmarks.search.recording import Grid, Run, finished, record, save
from trm.files.atomic import replacing, write_text_atomic
from trm.models.cost import run_cost
from trm.search.knobs.knobs import at_share
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.training.process import keep_freed_memory

FOLDER = Path(__file__).parent / "tables" / "continuous"
CURVE = (1 / 27, 1 / 16, 1 / 9, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1.0)
"""Of `budget.per_trial`, at which every run is scored."""
DESIGN = 512
"""Points of the design, a power of two; of which the first are recorded, as many as the time allows."""
BLOCK = 80
"""Configurations that get their seeds before the next so many begin."""
SEEDS = 2
BEST = 10
BEST_SEEDS = 3
"""Seeds of the best `BEST` configurations of all blocks so far."""
CHECKED = 8
"""Every so many configurations one gets its second seed before the others: a recording that is cut short knows the noise."""
DESIGN_SEED = 16


@dataclass(frozen=True)
class Sampled(Grid):
    """A design of configurations of a continuous space, on its data set, and some more that check a surrogate."""

    checks: tuple[dict[str, object], ...] = ()
    """What an earlier fit held for the best, and other places where it is to be checked."""

    @cached_property
    def candidates(self) -> list[Candidate]:
        """`DESIGN` configurations in the order of the design, then the checks."""
        knobs = list(self.space.knobs_in_order())
        resolver = Resolver(self.space, partial(run_cost, shape=self.manifest.shape))
        found = []
        for shares in Sobol(len(knobs), scramble=True, rng=DESIGN_SEED).random(DESIGN):
            params: dict[str, object] = {}
            for (path, knob), share in zip(knobs, shares.tolist(), strict=True):
                if knob.is_active(params):
                    params[path] = at_share(knob, share)
            found.append(resolver.resolve(params))
        found += [resolver.resolve(params) for params in self.checks]
        assert all(isinstance(one, Candidate) for one in found), "a recorded space has no constraints"
        return [one for one in found if isinstance(one, Candidate)]

    def points(self, candidate: Candidate) -> list[int]:
        """Steps at which a run of the candidate is scored, growing: the first that reach each share of `CURVE`."""
        per_trial = self.space.budget.per_trial
        return sorted({max(1, math.ceil(per_trial * share / candidate.step_flops * (1 - 1e-12))) for share in CURVE})


def next_run(done: Collection[tuple[int, int]], best: Sequence[int], checks: int = 0) -> tuple[int, int] | None:
    """The configuration and seed to record next, `best` the best configurations so far; None: all is recorded."""
    for start in range(0, DESIGN, BLOCK):
        configs, checking = range(start, min(start + BLOCK, DESIGN)), range(DESIGN, DESIGN + checks)
        parts = (checking, SEEDS), (configs, 1), (configs[::CHECKED], SEEDS), (best, BEST_SEEDS), (configs, SEEDS)
        wanted = ((config, seed) for part, seeds in parts for seed in range(seeds) for config in part)
        if missing := next((one for one in wanted if one not in done), None):
            return missing
    return None


def digest(space: SearchSpace) -> str:
    """Digest of what decides the runs: data, base, knobs, length, design."""
    knobs = {path: knob.model_dump(mode="json") for path, knob in space.search.items()}
    decisive = [space.data.model_dump(mode="json"), space.base, knobs, space.budget.per_trial, CURVE, DESIGN_SEED]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def _record(grid: Sampled, scratch: Path, until: float) -> None:
    runs, at_commit = finished(scratch), commit()

    def following() -> tuple[int, int] | None:
        return next_run({(run.config, run.seed) for run in runs}, best_configs(runs, BEST), len(grid.checks))

    while time.time() < until and (job := following()) is not None:
        runs.append(record(grid, *job, at_commit))
        save(runs[-1], scratch)
        print(f"{len(runs)} runs; {job}: {runs[-1].final:.3f}, {runs[-1].ended_at - runs[-1].started_at:.0f} s", flush=True)


def assemble(grid: Sampled, runs: Sequence[Run], to: Path) -> None:
    """Writes `to`.parquet, a row a point, and `to`.json, how it was made."""
    recorded = sorted({run.config for run in runs})
    seeds = [len([run for run in runs if run.config == config]) for config in recorded]
    rows = len(grid.splits["validation"])
    made = {
        "commits": sorted({run.commit for run in runs}),
        "device": device(),
        "threads_a_run": 1,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "data_content_hash": grid.manifest.content_hash,
        "design": f"scrambled Sobol, seed {DESIGN_SEED}; configurations from {DESIGN} on check an earlier fit",
        "configurations": len(recorded),
        "runs": len(runs),
        "diverged_runs": sum(run.is_diverged for run in runs),
        "configurations_by_seeds": {str(count): seeds.count(count) for count in sorted(set(seeds))},
        "seconds": {
            "training": round(sum(run.train_seconds for run in runs), 1),
            "evaluation": round(sum(run.eval_seconds for run in runs), 1),
            "clock": round(clock_seconds([(run.started_at, run.ended_at) for run in runs]), 1),
        },
        "train_flops": sum(run.rows[-1]["train_flops"] for run in runs),
        "fractions": list(CURVE),
        "examples": min(grid.candidates[0].config.evaluation.max_examples or rows, rows),
        "step_flops": {str(config): grid.candidates[config].step_flops for config in recorded},
        "best_configs": best_configs(runs, BEST),
        "noise_is": "standard deviation of one seed's final exact accuracy, pooled over best_configs",
        "noise_points": round(100 * noise(runs, BEST), 2),
    }
    with replacing(to.with_suffix(".parquet")) as path:
        pq.write_table(table_of(runs), path, compression="zstd")
    write_text_atomic(to.with_suffix(".json"), json.dumps(made, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="name of a space in tables/continuous/")
    parser.add_argument("--scratch", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--data", default="runs/data", help="folder of built data sets (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no run after so many (default: %(default)s)")
    parser.add_argument("--assemble", action="store_true", help="write the table of what is there, and record nothing")
    arguments = parser.parse_args()
    space = load_space(FOLDER / f"{arguments.task}.yaml")
    scratch = arguments.scratch / f"{arguments.task}-{digest(space)}"
    scratch.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    keep_freed_memory()
    checks = FOLDER / f"{arguments.task}_checks.json"
    grid = replace(Sampled.of(space, arguments.data), checks=tuple(json.loads(checks.read_text())) if checks.exists() else ())
    if not arguments.assemble:
        _record(grid, scratch, time.time() + 60 * arguments.minutes)
    assemble(grid, finished(scratch), FOLDER / arguments.task)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Record the learning curves of every configuration of small spaces: real training, on which whole sweeps are replayed.

`python -m benchmarks.search.record sudoku4x4_grid maze5x5_grid --scratch FOLDER` goes on where it was stopped, by whatever:
finished runs lie in FOLDER. It writes `tables/TASK.parquet` and `.json` whenever a round of seeds is complete, and with
`--assemble` does only that. `tables/TASK.yaml`, the space, is written by hand.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from benchmarks.rows import commit
from benchmarks.search.assembling import best_configs, write_table
from benchmarks.search.recording import Grid, finished, record, runs_digest, save
from trm.search.space.loading import load_space
from trm.training.process import keep_freed_memory

TABLES = Path(__file__).parent / "tables"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One run that is to be recorded."""

    task: str
    config: int
    seed: int


@dataclass(frozen=True)
class Plan:
    """How many seeds, and of what."""

    seeds: int
    """Of every configuration."""
    best: int
    """Configurations that get more."""
    best_seeds: int


def next_round(plan: Plan, done: dict[str, set[tuple[int, int]]], sizes: dict[str, int], best: dict[str, list[int]]) -> list[Job]:
    """What to record next: a seed of every configuration of a task, task by task; then further seeds of the best.

    `best` names the best configurations of each task so far, `sizes` how many there are. Empty: all is recorded.
    """
    for seed in range(plan.seeds):
        for task, size in sizes.items():
            missing = [Job(task, config, seed) for config in range(size) if (config, seed) not in done[task]]
            if missing:
                return missing
    return [
        Job(task, config, seed)
        for task, configs in best.items()
        for config in configs
        for seed in range(plan.best_seeds)
        if (config, seed) not in done[task]
    ]


@lru_cache(maxsize=4)
def _grid(task: str, data: str) -> Grid:
    return Grid.of(load_space(TABLES / f"{task}.yaml"), data)


def _record(work: tuple[Job, str, str, str]) -> Job:
    torch.set_num_threads(1)
    keep_freed_memory()
    job, data, scratch, at_commit = work
    save(record(_grid(job.task, data), job.config, job.seed, at_commit), Path(scratch))
    return job


def _scratch(arguments: argparse.Namespace, task: str) -> Path:
    """The task's scratch folder: another one where runs would be others."""
    folder: Path = arguments.scratch / f"{task}-{runs_digest(load_space(TABLES / f'{task}.yaml'))}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rounds(arguments: argparse.Namespace, grids: dict[str, Grid]) -> Iterator[list[Job]]:
    plan = Plan(arguments.seeds, arguments.best, arguments.best_seeds)
    sizes = {task: len(grid.candidates) for task, grid in grids.items()}
    while True:
        runs = {task: finished(_scratch(arguments, task)) for task in grids}
        done = {task: {(run.config, run.seed) for run in there} for task, there in runs.items()}
        jobs = next_round(plan, done, sizes, {task: best_configs(there, plan.best) for task, there in runs.items()})
        if not jobs:
            return
        yield jobs


def _show(jobs: Sequence[Job], ended: Iterable[Job]) -> None:
    started = time.perf_counter()
    for count, job in enumerate(ended, 1):
        seconds = time.perf_counter() - started
        left = seconds / count * (len(jobs) - count)
        print(f"{job.task} seed {job.seed}: {count}/{len(jobs)} runs, {seconds:.0f} s, {left:.0f} s left", flush=True)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", help="names of spaces in tables/")
    parser.add_argument("--scratch", type=Path, required=True, help="folder of finished runs")
    parser.add_argument("--data", default="runs/data", help="folder of built data sets (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="of every configuration (default: %(default)s)")
    parser.add_argument("--best", type=int, default=10, help="configurations that get more (default: %(default)s)")
    parser.add_argument("--best-seeds", type=int, default=8, help="of each of those (default: %(default)s)")
    parser.add_argument("--assemble", action="store_true", help="write the tables of what is there, and record nothing")
    return parser.parse_args()


def _assemble(arguments: argparse.Namespace, grids: dict[str, Grid]) -> None:
    for task, grid in grids.items():
        if runs := finished(_scratch(arguments, task)):
            made = write_table(grid, runs, TABLES / task, best=arguments.best)
            print(f"{task}: {made['runs']} runs, noise {made['noise_points']} points, {made['within_noise']} within it", flush=True)


def main() -> int:
    arguments = _parsed()
    grids = {task: _grid(task, arguments.data) for task in arguments.tasks}
    if not arguments.assemble:
        for name in THREADS:
            os.environ[name] = "1"
        at_commit = commit()
        with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
            for jobs in _rounds(arguments, grids):
                work = [(job, arguments.data, str(_scratch(arguments, job.task)), at_commit) for job in jobs]
                _show(jobs, pool.imap_unordered(_record, work))
                _assemble(arguments, grids)
    _assemble(arguments, grids)
    return 0


if __name__ == "__main__":
    sys.exit(main())

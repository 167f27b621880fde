"""From recorded runs to a committed table: `TASK.parquet`, a row a point, and `TASK.json`, how it was made."""

import importlib.metadata
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.rows import device
from benchmarks.search.recording import EPOCHS, FRACTIONS, METRICS, Grid, Run
from trm.files.atomic import replacing, write_text_atomic

PACKAGES = ("torch", "numpy")


def finals(runs: Sequence[Run]) -> dict[int, list[float]]:
    """Final exact accuracy of every recorded seed, by configuration."""
    found: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        found[run.config].append(run.final)
    return dict(found)


def best_configs(runs: Sequence[Run], count: int) -> list[int]:
    """So many configurations with the highest mean final score, best first."""
    means = {config: statistics.fmean(values) for config, values in finals(runs).items()}
    return sorted(means, key=lambda config: (-means[config], config))[:count]


def noise(runs: Sequence[Run], best: int) -> float:
    """Standard deviation of one seed's final score, pooled over the `best` configurations; 0 where none has two seeds."""
    scores = finals(runs)
    several = [scores[config] for config in best_configs(runs, best) if len(scores[config]) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * statistics.variance(values) for values in several)
    return math.sqrt(squares / freedom) if freedom else 0.0


def within_noise(runs: Sequence[Run], best: int) -> list[int]:
    """Configurations whose mean lies within the noise of the best one's, that one included."""
    means = {config: statistics.fmean(values) for config, values in finals(runs).items()}
    least = max(means.values()) - noise(runs, best)
    return [config for config in sorted(means) if means[config] >= least]


def clock_seconds(spans: Sequence[tuple[float, float]]) -> float:
    """Seconds in which at least one run was under way."""
    total, end = 0.0, -math.inf
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def how_it_was_made(grid: Grid, runs: Sequence[Run], best: int) -> dict[str, Any]:
    """What stands beside a table."""
    close = within_noise(runs, best)
    scores = finals(runs)
    rows = len(grid.splits["validation"])
    seeds = [len(scores.get(config, [])) for config in range(len(grid.candidates))]
    return {
        "commits": sorted({run.commit for run in runs}),
        "device": device(),
        "threads_a_run": 1,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "data_content_hash": grid.manifest.content_hash,
        "configurations": len(grid.candidates),
        "runs": len(runs),
        "diverged_runs": sum(run.is_diverged for run in runs),
        "seeds": {"least": min(seeds), "of_the_best": min(seeds[config] for config in best_configs(runs, best))},
        "seconds": {
            "training": round(sum(run.train_seconds for run in runs), 1),
            "evaluation": round(sum(run.eval_seconds for run in runs), 1),
            "runs": round(sum(run.ended_at - run.started_at for run in runs), 1),
            "clock": round(clock_seconds([(run.started_at, run.ended_at) for run in runs]), 1),
        },
        "train_flops": sum(run.rows[-1]["train_flops"] for run in runs),
        "fractions": list(FRACTIONS),
        "epochs": list(EPOCHS),
        "epoch_steps": grid.epoch_steps,
        "examples": min(grid.candidates[0].config.evaluation.max_examples or rows, rows),
        "step_flops": [grid.candidates[config].step_flops for config in range(len(grid.candidates))],
        "best_configs": best_configs(runs, best),
        "best_mean": max(statistics.fmean(values) for values in scores.values()),
        "noise_is": "standard deviation of one seed's final exact accuracy, pooled over best_configs",
        "noise": noise(runs, best),
        "noise_points": round(100 * noise(runs, best), 2),
        "within_noise": close,
        "share_within_noise": round(len(close) / len(grid.candidates), 4),
    }


def table_of(runs: Sequence[Run]) -> pa.Table:
    """A row a point: config, one column a knob (null where it is not active), seed, step, train_flops, metrics, seconds."""
    knobs = dict.fromkeys(path for run in runs for path in run.params)
    rows = [
        {"config": run.config, **{path: run.params.get(path) for path in knobs}, "seed": run.seed, **row, "step": int(row["step"])}
        for run in runs
        for row in run.rows
    ]
    table = pa.Table.from_pylist(rows)
    exact = {"train_flops": pa.float64(), "seconds": pa.float32(), "loss": pa.float32(), "cell_accuracy": pa.float32()}
    small = {"config": pa.int16(), "seed": pa.int16(), "step": pa.int32(), "exact_accuracy": pa.float64()}
    types = small | exact
    assert set(METRICS) <= types.keys(), "every metric has a type"
    return table.cast(pa.schema([pa.field(field.name, types.get(field.name, field.type)) for field in table.schema]))


def write_table(grid: Grid, runs: Sequence[Run], to: Path, *, best: int) -> dict[str, Any]:
    """Writes `to`.parquet and `to`.json; what stands in the latter."""
    made = how_it_was_made(grid, runs, best)
    with replacing(to.with_suffix(".parquet")) as path:
        pq.write_table(table_of(runs), path, compression="zstd")
    write_text_atomic(to.with_suffix(".json"), json.dumps(made, indent=1) + "\n")
    return made

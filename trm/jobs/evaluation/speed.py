"""`evaluate.py --speed`: how fast a network answers, on the machine that scores it."""

import statistics
import time
from itertools import cycle, islice
from typing import Any

import torch

from trm.data.batches.plan import EvaluationBatch, EvaluationPlan
from trm.evaluation.rows import RowJudge
from trm.jobs.evaluation.environment import peak_memory_bytes
from trm.jobs.evaluation.one_pass import SplitPass
from trm.models.cost import run_cost
from trm.tasks.choice import task_named

BATCH_ROWS, WARM_BATCHES, TIMED_BATCHES = 32, 10, 50


def measured_speed(run: SplitPass, plan: EvaluationPlan) -> dict[str, Any]:
    """JSON: seconds of a batch of rows of `plan`, from cells to answers, as median and quartiles, and what follows from the median.

    All supervision steps and rollouts are made, as in the score. Batches are made before; those of a small split come again.
    """
    made = list(islice(plan, TIMED_BATCHES))
    batches = [batch for batch in made if len(batch.rows) == len(made[0].rows)]  # the last may be shorter
    judge = RowJudge(
        run.trained.model,
        run.trained.table,
        run.config,
        run.device,
        (),
        stops_halted=run.stops_halted,
        forms=task_named(run.manifest.task).forms(run.manifest),
    )
    seconds = [_seconds(judge, batch) for batch in islice(cycle(batches), WARM_BATCHES + TIMED_BATCHES)][WARM_BATCHES:]
    low, median, high = statistics.quantiles(seconds, n=4)
    rows = len(batches[0].rows)
    flops = run_cost(run.config, run.trained.shape).inference_flops
    return {
        "batch_rows": rows,
        "batches": TIMED_BATCHES,
        "seconds_a_batch": {"median": median, "quartiles": [low, high], "least": min(seconds), "most": max(seconds)},
        "rows_a_second": rows / median,
        "milliseconds_a_row": 1000 * median / rows,
        "inference_flops_a_row": flops,
        "flops_a_second": None if run.stops_halted else flops * rows / median,
        "peak_memory_bytes": _peak_bytes(run.device),
    }


def _seconds(judge: RowJudge, batch: EvaluationBatch) -> float:
    _wait(judge.device)
    start = time.perf_counter()
    with torch.no_grad():
        judge.columns(batch)
    _wait(judge.device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_bytes(device: torch.device) -> int:
    """The most that was taken so far: of a GPU by tensors, else of memory by this process."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else peak_memory_bytes()


def speed_lines(speed: dict[str, Any] | None) -> list[str]:
    """As a person reads it."""
    if speed is None:
        return []
    spread = speed["seconds_a_batch"]
    low, high = (1000 * value for value in spread["quartiles"])
    flops = "" if speed["flops_a_second"] is None else f", {speed['flops_a_second']:.3g} FLOP/s"
    return [
        "",
        f"  {speed['rows_a_second']:.4g} rows/s, {speed['milliseconds_a_row']:.4g} ms a row{flops}, "
        f"peak memory {speed['peak_memory_bytes'] / 1e6:.0f} MB",
        f"  median of {speed['batches']} batches of {speed['batch_rows']:g} rows: {1000 * spread['median']:.4g} ms "
        f"(quartiles {low:.4g} to {high:.4g}, all {1000 * spread['least']:.4g} to {1000 * spread['most']:.4g})",
    ]

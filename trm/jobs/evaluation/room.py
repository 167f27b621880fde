"""Whether an evaluation could fit into memory: asked before it begins, refused where the least that it takes is too much."""

import torch

from trm.data.batches.plan import EvaluationPlan
from trm.errors import ResourceError
from trm.evaluation.answers import steps_of
from trm.files.machine_memory import available_bytes
from trm.jobs.evaluation.one_pass import SplitPass
from trm.jobs.evaluation.options import EvaluateOptions
from trm.models.counting import row_cost

STEP_BYTES = 26
"""Bytes of the figures of a row after a supervision step, at least: exact, cells, loss, halting and its probability."""
COPIES = 2
"""Of the figures, while they are put in order."""
FLOAT_BYTES = 4


def require_room(run: SplitPass, options: EvaluateOptions) -> None:
    """ResourceError where the figures of all steps, or one batch, need more memory than is free. It is a least, no forecast."""
    config, plan = run.config, run.plan
    free = available_bytes()
    if options.has_curve or options.front:
        needed = COPIES * STEP_BYTES * steps_of(config) * plan.num_rows
        if needed > free:
            raise ResourceError(
                f"figures after each of {steps_of(config)} supervision steps for {plan.num_rows:,} rows need at least "
                f"{needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free",
                remedy="lower evaluation.steps, or score fewer puzzles: --set evaluation.max_examples=N",
            )
    rows = min(plan.batch_size, plan.num_rows)
    batch = options.workers * rows * _row_bytes(run, plan)
    room = torch.cuda.mem_get_info(run.device)[0] if run.device.type == "cuda" else free
    if batch > room:
        raise ResourceError(
            f"a batch of {rows:,} rows needs at least {batch / 1e9:.3g} GB, and {room / 1e9:.3g} GB are free",
            remedy="use smaller batches: --set evaluation.batch_size=N",
        )


def _row_bytes(run: SplitPass, plan: EvaluationPlan) -> int:
    """Of a row in a batch: the latents before and after a step, and what it answers."""
    latents = 2 * row_cost(run.config.model, run.trained.shape).latent_bytes
    return latents + FLOAT_BYTES * plan.split.inputs.shape[1] * run.trained.shape.vocab_size

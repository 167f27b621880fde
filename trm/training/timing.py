"""How long steps of a configuration take here, before anything is known: a few real ones are timed."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.distributed import SOLO, Gang
from trm.training import cuda_graph
from trm.training.failures import memory_failures
from trm.training.loop import take_step
from trm.training.state import TrainingState

WARM_UP_STEPS = 2
"""Not timed: the first step compiles, allocates and fills caches. On CUDA those that come before a recording are added."""


@dataclass(frozen=True)
class Timed:
    """What was timed."""

    step_flops: float
    """Training FLOPs of one step."""
    steps: int
    seconds: float


def time_steps(
    config: RunConfig, shape: DataShape, *, seconds: float, device: torch.device | str = "cpu", gang: Gang = SOLO
) -> Timed:
    """Real training steps on random puzzles of `shape`: at least one, then until about `seconds` have passed.

    They are as deep as the network is configured, whatever the depth schedule. Every worker of a gang calls it. Raises
    OutOfMemoryError.
    """
    config = config.model_copy(update={"training": config.training.model_copy(update={"depth_schedule": None})})
    with memory_failures():
        state = TrainingState(config, shape, max_steps=1000, device=device, gang=gang)
        rows = config.training.global_batch_size // gang.world_size
        cells = np.random.default_rng(0).integers(0, shape.vocab_size, size=(2, rows, shape.seq_len), dtype=np.int32)
        batch = Batch(cells[0], cells[1], np.zeros(rows, np.int32))
        recording = cuda_graph.WARM_UP_STEPS + 1 if cuda_graph.is_recorded(state) else 0
        for _ in range(WARM_UP_STEPS + recording - 1):
            take_step(state, batch)
        warm = _seconds_of(state, batch, 1)
        steps = max(1, int(seconds / warm))
        agreed = gang.all_reduce_sum(torch.tensor([float(steps)], device=state.device)).item() / gang.world_size
        steps = max(1, round(agreed))
        return Timed(state.flops.last, steps, _seconds_of(state, batch, steps))


def _seconds_of(state: TrainingState, batch: Batch, steps: int) -> float:
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    start = time.perf_counter()
    for _ in range(steps):
        take_step(state, batch)
    if state.device.type == "cuda":
        torch.cuda.synchronize(state.device)
    return time.perf_counter() - start

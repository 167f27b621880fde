"""Small runs that contracts ask about."""

import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor

from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.data.batches.plan import Batch
from trm.training.loop import take_step
from trm.training.state import TrainingState


def random_batch(state: TrainingState, shape: DataShape, step: int) -> Batch:
    """Random puzzles for every slot, a function of the step."""
    draws, rows = np.random.default_rng(step), state.config.training.global_batch_size
    inputs, labels = draws.integers(1, shape.vocab_size, (2, rows, shape.seq_len), dtype=np.int32)
    return Batch(inputs, labels, draws.integers(0, shape.num_puzzle_identifiers, rows, dtype=np.int32))


def take_steps(state: TrainingState, shape: DataShape, first: int, until: int) -> None:
    """Steps of a run on random puzzles."""
    for step in range(first, until):
        take_step(state, random_batch(state, shape, step))


Files = dict[str, dict[str, Tensor]]
"""What a checkpoint holds: tensors by name, by file."""


def whole_and_resumed(run: RunConfig, shape: DataShape, half: int) -> tuple[Files, Files]:
    """The end of a run of twice `half` steps: in one go, and saved half way and gone on from the checkpoint."""
    whole, stopped = (TrainingState(run, shape, max_steps=2 * half) for _ in range(2))
    take_steps(whole, shape, 0, 2 * half)
    take_steps(stopped, shape, 0, half)
    with tempfile.TemporaryDirectory() as folder:
        stopped.metrics.flush(stopped.gang)
        stopped.save(Path(folder) / "half")
        resumed = TrainingState.load(Path(folder) / "half", run, shape, max_steps=2 * half)
    take_steps(resumed, shape, half, 2 * half)
    return whole.files_to_save(), resumed.files_to_save()

"""Small runs that contracts ask about."""

import numpy as np

from trm.config.architectures import DataShape
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

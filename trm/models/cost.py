"""What a configuration costs, by arithmetic alone: FLOPs, parameters, bytes. Imports no torch, so the search can ask.

A multiply-add is two FLOPs; only matrix products count, attention's scores and values among them; backward is two
forwards. `tests/models/test_cost.py` holds these figures against torch's own counter.
"""

import math
from dataclasses import dataclass
from typing import Literal, assert_never

from trm.config.architectures import AnyNetwork
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.config.step_costs import Share, StepCosts, length_for, mean_of
from trm.models.arithmetic import FLOAT_BYTES, RowCost
from trm.models.counting import row_cost, tensor_sizes
from trm.models.hypotheses import own_latents

STORED_COPIES = 2
"""What a checkpoint holds of each weight besides its moments: itself, its average."""
HELD_CARRIES = 3
"""What a step holds of the latents of hypotheses: as they were, with starts in fresh slots, and as they become."""
RESIDENT_COPIES = 3
"""What training holds of each weight besides its moments and its update while it is applied: the stored copies, its gradient."""


@dataclass(frozen=True)
class RunCost:
    """What one run costs."""

    stage_flops: tuple[Share, ...]
    """Training FLOPs of one optimizer step over the whole global batch, part by part of the run."""
    forward_flops_row: float
    """FLOPs of one supervision step of one row without gradient (evaluation)."""
    inference_flops: float
    """FLOPs of answering one puzzle with the supervision steps of the evaluation."""
    params_count: int
    """Trained values: the network's and the puzzle table's."""
    checkpoint_bytes: int
    """Bytes of a complete checkpoint."""
    memory_bytes: int
    """Predicted peak bytes of tensors of one training process."""

    @property
    def step_flops(self) -> float:
        """Training FLOPs of one optimizer step, in the mean of the whole run."""
        return mean_of(self.stage_flops)

    def flops(self, max_steps: int) -> StepCosts:
        """Training FLOPs of the steps of a run of `max_steps`."""
        return StepCosts.of(self.stage_flops, max_steps)


def run_cost(config: RunConfig, shape: DataShape, *, workers: int = 1, device: Literal["cpu", "cuda"] = "cpu") -> RunCost:
    """The cost of `config` on puzzles of `shape`; `workers` share the global batch in `memory_bytes` only.

    `device` decides what type activations have where the configuration leaves it open, and in which form they are kept.
    """
    model, batch = _typed(config.model, device), config.training.global_batch_size
    optim, weights = config.optim, tensor_sizes(model, shape).weights
    network = sum(map(math.prod, weights.values()))
    trained = {name: size for name, size in weights.items() if optim.is_trained(name)}
    moments = sum(optim.moments_of(name, size) * math.prod(size) for name, size in trained.items())
    scratch = sum(optim.scratch_of(name, size) * math.prod(size) for name, size in trained.items())
    table = shape.num_puzzle_identifiers * model.puzzle_ndim
    value = 8 if model.forward_dtype == "float64" else 4
    parts = [part._replace(model=_typed(part.model, device)) for part in config.depth_parts]
    rows = [row_cost(part.model, shape) for part in parts]
    row, update = rows[-1], optim.update_flops(trained)
    kept = row.handwritten_share if device == "cpu" and model.forward_dtype != "bfloat16" else 1.0
    local, rivals = -(-batch // workers), _rivals_row_bytes(config, row)
    together, carried = -(-local // config.training.micro_batches), _carried_bytes(config, shape)
    activations = max(one.activation_bytes + _reading_bytes(config, one) for one in rows)
    waiting = 2 * (local - together) * row.carry_bytes + (2 * local + 4 * together) * carried
    return RunCost(
        stage_flops=tuple(
            Share(part.share, batch * update_flops_row(config, one) + update) for part, one in zip(parts, rows, strict=True)
        ),
        forward_flops_row=row.forward_flops,
        inference_flops=config.evaluation.breadth * config.answer_steps * row.forward_flops,
        params_count=network + table,
        checkpoint_bytes=value * (STORED_COPIES * network + moments + table) + batch * (row.carry_bytes + rivals + carried),
        memory_bytes=value * (RESIDENT_COPIES * network + moments + scratch + table)
        + round(kept * together * activations)
        + HELD_CARRIES * local * rivals
        + waiting,
    )


def _rivals_row_bytes(config: RunConfig, row: RowCost) -> int:
    """Bytes of the latents of one row's hypotheses beside the first."""
    names = [latent.name for latent in config.model.recursion.latents]
    return (config.training.hypotheses - 1) * len(own_latents(names)) * row.latent_bytes


def _typed(model: AnyNetwork, device: Literal["cpu", "cuda"]) -> AnyNetwork:
    """The network with the type that its activations have where the configuration leaves it open."""
    if model.forward_dtype != "auto":
        return model
    return model.model_copy(update={"forward_dtype": "bfloat16" if device == "cuda" else "float32"})


@dataclass(frozen=True)
class Passes:
    """What the network does in one update, of every slot."""

    learned: int = 1
    """Supervision steps whose gradient is taken: forward and backward."""
    forwards: int = 0
    """Supervision steps made besides, without a gradient."""
    reads_cycles: bool = False
    """Whether those that are learned from read the answers of inner cycles."""


def passes_of(config: RunConfig) -> Passes:
    """How often an update of `config` goes through the network: the one place that knows, of every loss."""
    made = config.training.passes_per_update
    forwards = 1 if config.model.halting.learns_continue else 0  # what going on would have been worth
    if config.training.hypotheses > 1:
        forwards += config.training.hypotheses  # the winner goes once more, with a gradient
    return Passes(learned=made, forwards=made * forwards, reads_cycles=config.reads_cycles)


def update_flops_row(config: RunConfig, row: RowCost) -> float:
    """Training FLOPs of one row in one update, of a network whose supervision step costs `row`."""
    passes = passes_of(config)
    learned = learned_flops_row(config, row)
    if passes.reads_cycles:
        learned += reading_flops_row(config, row)
    flops = passes.learned * learned
    return flops + passes.forwards * row.forward_flops if passes.forwards else flops


def learned_flops_row(config: RunConfig, row: RowCost) -> float:
    """Training FLOPs of one row in one supervision step whose gradient is taken, of what `optim.trained` says."""
    match config.optim.trained:
        case "all":
            return row.train_flops
        case "puzzle_embedding":
            return row.train_flops - row.weight_gradient_flops
        case "heads":
            return row.forward_flops + row.head_learning_flops
        case _ as never:
            assert_never(never)


def reading_flops_row(config: RunConfig, row: RowCost) -> float:
    """Training FLOPs of reading one row's inner answers in one supervision step: forward, and back to what has a gradient."""
    plain, differentiated = row.inner.plain, row.inner.differentiated
    match config.optim.trained:
        case "all":
            passes = 2 * plain + 3 * differentiated
        case "puzzle_embedding":
            passes = plain + 2 * differentiated
        case "heads":
            passes = 2 * (plain + differentiated)
        case _ as never:
            assert_never(never)
    return passes * row.inner.flops


def _reading_bytes(config: RunConfig, row: RowCost) -> int:
    return (row.inner.plain + row.inner.differentiated) * row.inner.held_bytes if passes_of(config).reads_cycles else 0


def _carried_bytes(config: RunConfig, shape: DataShape) -> int:
    """Of one slot, what its loss carries from step to step beside what the network does: the answer read last."""
    return FLOAT_BYTES[config.model.forward_dtype] * shape.seq_len * shape.vocab_size if config.carries_answers else 0


def total_steps(config: RunConfig, cost: RunCost, *, epoch_rows: float) -> int:
    """Optimizer steps of a run, at least 1, from whichever of steps, train_flops and epochs of so many rows it gives."""
    training = config.training
    if training.steps is not None:
        return training.steps
    if training.train_flops is not None:
        return length_for(cost.stage_flops, training.train_flops)
    assert training.epochs is not None, "a run has a length"
    return max(1, int(training.epochs * epoch_rows / training.global_batch_size))

"""The training loop and the scoring of a split."""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from trm.config.base import Later, Written, either, only_where, only_with, unless
from trm.config.depth_schedule import DepthSchedule
from trm.config.figures import MOST_STEPS, Figure
from trm.config.losses import AnyLoss, StablemaxLoss
from trm.config.networks import CARRYING, MANY_STEPS
from trm.errors import ConfigError

REPEATING = either(
    only_where("repeats_differ", "architecture", "halt_max_steps", "dropout", "path_noise", "initial_latents"),
    unless("training.hypotheses", 1),
    unless("data.difficulty.strength", 0),
)
"""Marks what is of a second supervision step before an update: of slots that take the same puzzle again it is the first once more,
unless something is drawn in between, or answers are counted."""
DRAWING = either(
    unless("evaluation.noise", 0),
    only_with("evaluation.starts", "random"),
    only_where("draws_in_evaluation", "initial_latents", "path_noise", "path_noise_in"),
)
"""Marks what is of answers to a puzzle that differ by what is drawn."""
MOST_FORMS = 1 << 12
"""Forms of a puzzle at most."""
WHEN_WRITTEN = ("eval_every_steps", "log_every_steps", "checkpoint_every_steps", "keep_checkpoints")
"""Leaves of `training` that decide what is written down and kept, not what the weights become."""


VOTES = 32
"""Augmentations of an ARC task that vote in the evaluations of what begins now and does not say how many."""


def divides(global_batch_size: int, workers: int, micro_batches: int = 1) -> bool:
    """Whether the workers can share the batch evenly, and each its own slots among `micro_batches`."""
    return global_batch_size % workers == 0 and global_batch_size // workers % micro_batches == 0


def require_divisible(global_batch_size: int, workers: int, micro_batches: int = 1) -> None:
    """ConfigError unless the workers can share the batch evenly, and each its own slots among `micro_batches`."""
    local = global_batch_size // workers
    if global_batch_size % workers == 0 and local % micro_batches:
        parts = [parts for parts in range(1, min(local, 2 * micro_batches) + 1) if local % parts == 0]
        near = min(parts, key=lambda parts: abs(parts - micro_batches))
        raise ConfigError(
            f"training.micro_batches must divide a worker's slots, got {micro_batches} for {local} "
            f"(global batch {global_batch_size} over {workers})",
            remedy=f"try {near}",
        )
    below = global_batch_size // workers * workers
    if below != global_batch_size:
        tries = f"{below} or {below + workers}" if below else str(workers)
        raise ConfigError(f"global batch {global_batch_size} must divide by {workers} workers", remedy=f"try {tries}")


class TrainingConfig(Written):
    """The loop: batch, length, loss, and what is written when. Exactly one of epochs, steps, train_flops."""

    global_batch_size: int = Field(768, ge=1, le=1 << 20)
    """Slots over all workers."""
    epochs: float | None = Field(None, gt=0)
    """Length in visits of each base puzzle."""
    steps: int | None = Field(None, ge=1)
    """Length in optimizer steps (one supervision step each)."""
    train_flops: float | None = Field(None, gt=0)
    """Length in training FLOPs, analytic, backward counted as two forwards."""
    depth_schedule: Annotated[DepthSchedule, Later, only_where("cycles")] = None
    """Shallower steps first, as text, share of the steps:H_cyclesxL_cycles (0.3:1x2 0.7:3x6), or as lists of these three; the last
    stage is the network's own, which is evaluated. `cgar`: 30 % at a third of the cycles, 30 % at two thirds. null: all as deep
    (arXiv 2511.08653)."""
    loss: AnyLoss = StablemaxLoss()
    """What is made small: the cross entropy over the vocabulary that the tag names, or a mapping with `type` and its fields."""
    carry_noise: Annotated[float, Later, MANY_STEPS] = Field(0.0, ge=0, le=10)
    """Standard deviation of normal noise that all latents are given between two supervision steps (tried: 0.001 to 0.1)."""
    hypotheses: Annotated[int, Later, only_where("HAS_BLOCKS")] = Field(1, ge=1, le=32)
    """Latents that every puzzle has beside its answer, of which only the one with the best answer learns ("winner takes all",
    arXiv 2601.19085: 4). So many forward passes more an update; what is evaluated is the first alone. 1: none compete."""
    passes_per_update: Annotated[int, Later, REPEATING] = Field(1, ge=1, le=64)
    """Supervision steps of every slot for one update, which goes by the mean of their gradients. Halted slots are refilled between
    them from the update's one batch (TinyRecursiveModels PR 41, disputed)."""
    micro_batches: Annotated[int, Later] = Field(1, ge=1, le=1 << 12)
    """Parts of a worker's slots that go forward and backward one after the other: less memory, the numbers the same to rounding."""
    loss_dtype: Literal["auto", "float32", "float64"] = "auto"
    """Type of the answer loss; auto: float64 on the CPU, float32 on an accelerator."""
    eval_every_steps: int | None = Field(None, ge=1)
    """Evaluate every so many steps (see `evaluation.split`); null: ten times a run."""
    log_every_steps: int | None = Field(None, ge=1)
    """A point of the training curve (loss, halting, accuracy, learning rate) every so many steps; null: 100 to 200 a run."""
    checkpoint_every_steps: int | None = Field(None, ge=1)
    """Checkpoint every so many steps besides the end; null: with every evaluation."""
    keep_checkpoints: Literal["last", "all"] = "last"
    """A run's checkpoints that stay: the last two and the best evaluation's, or all (with nothing else set, one an evaluation);
    a sweep's trials have `keep`."""
    compile: bool | Literal["auto"] = False
    """Compile the network with torch.compile (needs a C++ compiler on the CPU); auto: where that was measured to pay here."""
    kernels: Literal["auto", "plain", "fused"] = "auto"
    """On a CPU in float32: `fused` C++ kernels (compiled once a machine; they round differently), or torch's `plain` operators.

    auto: fused where a C++ compiler is and `compile` is not true, in a gang on every worker."""
    cuda_graph: bool | Literal["auto"] = False
    """On CUDA record a step once and replay it; auto: where one is small, and without complaint where it cannot be recorded.

    Off until `python -m benchmarks.gpu` has passed on such a GPU."""

    @model_validator(mode="after")
    def _check(self) -> "TrainingConfig":
        given = {k: v for k in ("epochs", "steps", "train_flops") if (v := getattr(self, k)) is not None}
        if len(given) > 1:
            shown = " and ".join(f"{name} {value:g}" for name, value in given.items())
            raise ValueError(f"a run has one length, got {shown}; keep one and set the others to null")
        if self.global_batch_size % self.micro_batches:
            raise ValueError(
                f"micro_batches must divide global_batch_size, got {self.micro_batches} for {self.global_batch_size}; "
                f"set micro_batches: {math.gcd(self.micro_batches, self.global_batch_size)}"
            )
        return self


class EvaluationConfig(Written):
    """How a split is scored."""

    batch_size: int | None = Field(None, ge=1)
    """Rows at a time; null: global_batch_size."""
    max_examples: int | None = Field(None, ge=1)
    """Score a fixed seeded subset of so many examples on the way; null: all, in a sweep as many as cost 10 % of the training."""
    votes: Literal["all"] | Annotated[int, Field(ge=1)] | None = None
    """ARC: augmentations of a task that vote on the way, a fixed seeded choice with the task as it is among them; the last scores
    of winners and `evaluate.py` take all. null: 32 in what begins now, all in what began without a number."""
    steps: int | None = Field(None, ge=1, le=MOST_STEPS)
    """Supervision steps a puzzle; null: halt_max_steps."""
    split: Literal["auto", "validation", "test", "none"] = "auto"
    """What a run is scored on along its way; auto: validation, or nothing where the data set has none. With nothing, the last
    weights are scored, once, on test. A run that looks at test on its way says so in every report; sweeps never do."""
    reports_halted: bool = False
    """Report beside it what the answers score that rows have when they first want to halt (`NAME_halted`); no row stops there."""
    metrics: Annotated[tuple[str, ...], Later] = Field((), max_length=100)
    """Figures that are reported besides: a metric after other supervision steps (exact_accuracy@64, for which the one pass makes so
    many), of a part of a mixture (exact_accuracy/PART, exact_accuracy/PART@64), or an ARC task's pass_at_5. A sweep adds those that
    its objective names."""

    rollouts: Annotated[int, Later, CARRYING, DRAWING] = Field(1, ge=1, le=1 << 12)
    """Answers to a puzzle that differ by what is drawn, of which one is chosen; so many times the FLOPs (arXiv 2605.19943: 100)."""
    noise: Annotated[float, Later, CARRYING] = Field(0.0, ge=0, le=10)
    """Standard deviation of normal noise that all latents are given between two supervision steps, in evaluations alone, whatever
    the network was trained with (arXiv 2605.19943: 0.3)."""
    starts: Annotated[Literal["own", "random"], Later, CARRYING] = "own"
    """What a puzzle starts from in evaluations: what its network has, or a draw in every place (`model.initial_latents`)."""
    forms: Annotated[int, Later] = Field(1, ge=1, le=MOST_FORMS)
    """Symmetric forms in which each puzzle is asked, itself the first; answers are undone, and one is chosen, as of rollouts, each
    of which is made in every form; so many times the FLOPs. Sudoku has any number, mazes 8, ARC votes by augmentations instead."""
    select: Annotated[
        Literal["vote", "q", "residual", "first_halt"],
        Later,
        either(unless("evaluation.rollouts", 1), unless("evaluation.forms", 1)),
    ] = "vote"
    """Which rollout's or form's answer counts: that with most votes (of equal ones, with the highest mean halting probability); the
    highest halting probability; latents that moved least in the last step; or who wanted to halt first."""

    @field_validator("metrics", mode="after")
    @classmethod
    def _are_figures(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for text in values:
            Figure.of(text)
        return tuple(dict.fromkeys(values))

    @model_validator(mode="after")
    def _check(self) -> "EvaluationConfig":
        if self.reports_halted and self.breadth > 1:
            name, count = ("rollouts", self.rollouts) if self.rollouts > 1 else ("forms", self.forms)
            raise ValueError(
                f"reports_halted is of one answer a puzzle, got {name} {count}; set reports_halted: false or {name}: 1"
            )
        return self

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is reported besides."""
        return tuple(map(Figure.of, self.metrics))

    @property
    def breadth(self) -> int:
        """Answers to a puzzle, of which one is chosen: rollouts in every form."""
        return self.rollouts * self.forms

    @property
    def most_votes(self) -> int | None:
        """Augmentations of a task that vote at most; None: all."""
        return None if self.votes == "all" else self.votes

"""Optimizers, the learning-rate schedule and the weight average."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from trm.config.base import Later, Written, either, only_where, only_with, unless
from trm.config.parts import part_of
from trm.config.unions import Imported, Tagged

if TYPE_CHECKING:
    import torch


Size = tuple[int, ...]
"""Shape of a parameter."""


CONSTANT_COSINE = (
    "optim.schedule cosine is a constant rate while optim.lr_min_ratio, its floor, is 1; set that lower, to 0 for a whole cosine"
)


BACKBONE = unless("optim.trained", "puzzle_embedding")
"""Marks what is of the backbone's update."""
AVERAGED = only_with("optim.ema", True)
ROWS = (
    unless("optim.trained", "heads"),
    either(unless("model.gradient", "last_call"), unless("start.from", None)),
    unless("model.puzzle_emb_ndim", 0),
)
"""Marks what is of the puzzle embedding's update: its rows, 0 where nothing is started from, move if a gradient comes to them."""
TABLES = (only_with("optim.trained", "all"), only_where("HAS_EMBEDDINGS"))
BIASES = only_where("has_biases", "answers_after", "architecture", "ffn")


class Rates(NamedTuple):
    """What a parameter is updated with."""

    lr: float
    """Peak learning rate."""
    weight_decay: float
    """Decoupled weight decay."""


class OptimConfig(Written):
    """What every optimizer has: the learning-rate schedule, the puzzle embedding's optimizer, the weight average."""

    type: str
    """Which optimizer updates the backbone."""
    lr: Annotated[float, BACKBONE] = Field(1e-4, gt=0, le=10)
    """Peak learning rate of the backbone."""
    lr_min_ratio: Annotated[float, only_with("optim.schedule", "cosine")] = Field(1.0, ge=0, le=1)
    """Floor of the cosine as a share of `lr`; 1 keeps it constant after warm-up."""
    lr_warmup_steps: int = Field(2000, ge=0)
    """Linear warm-up; step i uses lr * i / warm-up, i from 1."""
    weight_decay: Annotated[float, BACKBONE] = Field(0.1, ge=0)
    """Decoupled weight decay of the backbone, biases and embeddings included."""
    puzzle_emb_lr: Annotated[float, *ROWS] = Field(1e-2, ge=0, le=10)
    """Peak learning rate of the puzzle embedding (sign SGD)."""
    puzzle_emb_weight_decay: Annotated[float, *ROWS] = Field(0.1, ge=0)
    """Weight decay of the rows of the puzzle embedding that a batch touches."""
    grad_clip: Annotated[float | None, BACKBONE] = Field(None, gt=0)
    """Largest L2 norm of the backbone's gradient; null: no clipping."""
    ema: bool = True
    """Evaluate and export the exponential moving average of the weights."""
    ema_rate: Annotated[float, BACKBONE, AVERAGED] = Field(0.999, ge=0, lt=1)
    """Rate of the average."""
    ema_warmup: Annotated[bool, BACKBONE, AVERAGED] = False
    """Use min(ema_rate, (1 + step) / (10 + step)), so that a short run's average is not its start; sweeps set it."""
    embedding_lr: Annotated[float | None, Field(gt=0, le=10), Later, *TABLES] = None
    """Peak learning rate of the embeddings of tokens and positions; null: as of what else is updated by their rule."""
    head_lr: Annotated[float | None, Field(gt=0, le=10), Later, BACKBONE] = None
    """Peak learning rate of the answer and halting heads, bias included; null: as of what else is updated by their rule."""
    embedding_weight_decay: Annotated[float | None, Field(ge=0), Later, *TABLES] = None
    """Weight decay of the embeddings; null: as of what else is updated by their rule; 0: none."""
    head_weight_decay: Annotated[float | None, Field(ge=0), Later, BACKBONE] = None
    """Weight decay of the heads; null: as of what else is updated by their rule; 0: none."""
    bias_weight_decay: Annotated[float | None, Field(ge=0), Later, BACKBONE, BIASES] = None
    """Weight decay of what has one axis (biases, gains of norms), before its part's own; null: its part's; 0: none."""
    schedule: Annotated[Literal["cosine", "constant", "linear"], Later] = "cosine"
    """How learning rates go on after the warm-up: by a cosine to `lr_min_ratio` of their peaks at the run's end (at 1 a constant),
    constant, or constant and then linearly to 0 over the last `lr_decay_share` of the run ("warm-up, stable, decay")."""
    lr_decay_share: Annotated[float, Field(gt=0, le=1), Later, only_with("optim.schedule", "linear")] = 0.2
    """Share of the run in which schedule linear falls to 0; 1: from the end of the warm-up on."""

    trained: Annotated[Literal["all", "puzzle_embedding", "heads"], Later] = "all"
    """What learns: all, the puzzle embedding alone, or the answer and halting heads alone. The rest keeps its bits (no gradient,
    no weight decay), and no gradient is computed for it."""

    @property
    def asks_for_constant_cosine(self) -> bool:
        """Whether a cosine was written and ends where it begins."""
        return "schedule" in self.model_fields_set and self.schedule == "cosine" and self.lr_min_ratio == 1

    @property
    def trains_rows(self) -> bool:
        """Whether the puzzle embedding learns."""
        return self.trained != "heads"

    def is_trained(self, name: str) -> bool:
        """Whether the parameter of this name learns."""
        return self.trained == "all" or (self.trained == "heads" and part_of(name) == "head")

    def rates_of(self, name: str, size: Size) -> Rates:
        """What the parameter of this name and shape is updated with."""
        part, (lr, decay) = part_of(name), self._rates_of_rule(name, size)
        own_lr = {"embedding": self.embedding_lr, "head": self.head_lr}.get(part)
        own_decay = {"embedding": self.embedding_weight_decay, "head": self.head_weight_decay}.get(part)
        if len(size) == 1 and self.bias_weight_decay is not None:
            own_decay = self.bias_weight_decay
        return Rates(lr if own_lr is None else own_lr, decay if own_decay is None else own_decay)

    def _rates_of_rule(self, name: str, size: Size) -> Rates:
        """What all is updated with that the rule of this parameter updates, unless fields of its part say more."""
        return Rates(self.lr, self.weight_decay)

    def moments_of(self, name: str, size: Size) -> int:
        """Values that are kept for each value of this parameter: moments."""
        return 2

    def scratch_of(self, name: str, size: Size) -> int:
        """Values that are held for each value of this parameter while it is updated."""
        return 1

    def update_flops(self, sizes: Mapping[str, Size]) -> float:
        """FLOPs of the matrix products of one update of parameters of these shapes."""
        return 0.0

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same run: what has no effect left out or at one value."""
        values = self.model_dump(mode="json")
        if self.schedule != "linear":
            values.pop("lr_decay_share")
        if self.schedule != "cosine":
            values["lr_min_ratio"] = 1.0
        if self.schedule == "constant":
            values.pop("schedule")
        return values


class _TwoMoments(OptimConfig):
    """Fields of all that keep the moments of Adam."""

    beta1: Annotated[float, BACKBONE] = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: Annotated[float, BACKBONE] = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""


class _Divided(_TwoMoments):
    """Fields of those that divide by the root of the second."""

    eps: Annotated[float, BACKBONE] = Field(1e-8, gt=0, lt=1)
    """Added to the root of the second moment."""


class AdamATan2Config(_TwoMoments):
    """Adam whose quotient is taken by an arctangent: no epsilon, and no step depends on the loss's scale (arXiv 2407.05872)."""

    type: Literal["adam_atan2"] = "adam_atan2"
    """Which optimizer updates the backbone."""


class AdamWConfig(_Divided):
    """Adam with decoupled weight decay (arXiv 1711.05101), by torch's own kernels."""

    type: Literal["adamw"] = "adamw"
    """Which optimizer updates the backbone."""


class NAdamConfig(_Divided):
    """Adam with Nesterov's momentum, by torch (Dozat, 2016)."""

    type: Literal["nadam"] = "nadam"
    """Which optimizer updates the backbone."""
    momentum_decay: Annotated[float, BACKBONE] = Field(4e-3, ge=0, le=1)
    """How soon the momentum of the first steps comes up to `beta1`; torch's default."""


class RAdamConfig(_Divided):
    """Adam without adaptive steps until its second moment can be trusted, by torch (arXiv 1908.03265)."""

    type: Literal["radam"] = "radam"
    """Which optimizer updates the backbone."""


class LionConfig(OptimConfig):
    """Lion: the sign of a moving average of gradients, one moment (arXiv 2302.06675)."""

    type: Literal["lion"] = "lion"
    """Which optimizer updates the backbone."""
    beta1: Annotated[float, BACKBONE] = Field(0.9, ge=0, lt=1)
    """How much of the average, against the gradient, is in a step."""
    beta2: Annotated[float, BACKBONE] = Field(0.99, ge=0, lt=1)
    """Decay of the average."""

    def moments_of(self, name: str, size: Size) -> int:
        """One."""
        return 1


class SGDConfig(OptimConfig):
    """Stochastic gradient descent with momentum, as torch's, its weight decay decoupled as everywhere here."""

    type: Literal["sgd"] = "sgd"
    """Which optimizer updates the backbone."""
    momentum: Annotated[float, BACKBONE] = Field(0.9, ge=0, lt=1)
    """Decay of the velocity; 0: plain gradient descent, which keeps none."""
    nesterov: Annotated[bool, BACKBONE, unless("optim.momentum", 0)] = False
    """Look ahead by the momentum."""

    def moments_of(self, name: str, size: Size) -> int:
        """One, none without momentum."""
        return int(self.momentum > 0)


class MuonConfig(OptimConfig):
    """Matrices of the blocks by orthogonalized momentum (Jordan et al., Muon), all else by AdamW or AdamATan2.

    Defaults are those of arXiv 2601.19085, section 3: `lr` and `weight_decay` are of the matrices, `rest_lr`, `rest_weight_decay`,
    `beta1` and `beta2` of embeddings, heads, biases and all that is no matrix.
    """

    type: Literal["muon"] = "muon"
    """Which optimizer updates the backbone."""
    lr: Annotated[float, BACKBONE] = Field(0.02, gt=0, le=10)
    """Peak learning rate of the blocks' matrices."""
    weight_decay: Annotated[float, BACKBONE] = Field(0.005, ge=0)
    """Decoupled weight decay of the blocks' matrices."""
    momentum: Annotated[float, BACKBONE] = Field(0.95, ge=0, lt=1)
    """Decay of the average of gradients that is orthogonalized."""
    nesterov: Annotated[bool, BACKBONE, unless("optim.momentum", 0)] = True
    """Look ahead by the momentum."""
    ns_steps: int = Field(5, ge=1, le=30)
    """Newton-Schulz iterations: more come nearer to a matrix whose singular values are all 1, and cost more."""
    lr_adjustment: Literal["original", "match_rms_adamw"] = "original"
    """By what a matrix's shape (rows, columns) scales its step. original: sqrt(max(1, rows / columns)), the published recipe.
    match_rms_adamw: 0.2 sqrt(max(rows, columns)), whose steps are as large as AdamW's, so that its rates fit (arXiv 2502.16982)."""
    rest: Literal["adamw", "adam_atan2"] = "adamw"
    """Which optimizer updates all else."""
    rest_lr: float = Field(1e-4, gt=0, le=10)
    """Peak learning rate of all else."""
    rest_weight_decay: float = Field(1.0, ge=0)
    """Decoupled weight decay of all else."""
    beta1: Annotated[float, BACKBONE] = Field(0.9, ge=0, lt=1)
    """Decay of the first moment of all else."""
    beta2: Annotated[float, BACKBONE] = Field(0.95, ge=0, lt=1)
    """Decay of the second moment of all else."""
    eps: Annotated[float, only_with("optim.rest", "adamw")] = Field(1e-8, gt=0, lt=1)
    """Added to the root of the second moment of all else; without meaning for adam_atan2."""

    @property
    def rest_config(self) -> "AdamATan2Config | AdamWConfig":
        """The optimizer of all else."""
        shared = {name: getattr(self, name) for name in OptimConfig.model_fields if name != "type"}
        shared |= {"lr": self.rest_lr, "weight_decay": self.rest_weight_decay, "beta1": self.beta1, "beta2": self.beta2}
        return AdamATan2Config(**shared) if self.rest == "adam_atan2" else AdamWConfig(**shared, eps=self.eps)

    @staticmethod
    def is_orthogonalized(name: str, size: Size) -> bool:
        """Whether a parameter is a matrix of the blocks."""
        return len(size) == 2 and part_of(name) == "block"

    def _rates_of_rule(self, name: str, size: Size) -> Rates:
        if self.is_orthogonalized(name, size):
            return Rates(self.lr, self.weight_decay)
        return Rates(self.rest_lr, self.rest_weight_decay)

    def moments_of(self, name: str, size: Size) -> int:
        """One of a matrix, two of all else."""
        return 1 if self.is_orthogonalized(name, size) else 2

    def scratch_of(self, name: str, size: Size) -> int:
        """Of a matrix: its update, two iterates and two products of rows with rows, which are no larger."""
        return 5 if self.is_orthogonalized(name, size) else 1

    def update_flops(self, sizes: Mapping[str, Size]) -> float:
        """Of the Newton-Schulz iterations: X X' and its square, then the product with X, whose rows are the smaller axis."""
        matrices = [sorted(size) for name, size in sizes.items() if self.is_orthogonalized(name, size)]
        return 2.0 * self.ns_steps * sum(2 * rows**2 * columns + rows**3 for rows, columns in matrices)

    def deciding_values(self) -> dict[str, Any]:
        """Without `eps` where nothing adds it."""
        values = super().deciding_values()
        if self.rest == "adam_atan2":
            values.pop("eps")
        return values


class ImportedOptimizer(OptimConfig, Imported):
    """Base of optimizers in a person's own module: fields with bounds, `type` a literal, and `build`."""

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The optimizers that need no import."""
        return AdamATan2Config, AdamWConfig, MuonConfig, LionConfig, SGDConfig, NAdamConfig, RAdamConfig

    def build(self, parameters: "Mapping[str, torch.nn.Parameter]") -> "torch.optim.Optimizer":
        """The optimizer of the named parameters of the backbone, at the learning rate `lr`.

        A step sets the rate of every parameter group to the group's own first one times the schedule. The state of a parameter
        is tensors: they go to checkpoints by their names. Rates of parts (`head_lr` and the like) count where groups follow
        `rates_of`. What more or fewer than two moments cost is said by `moments_of`.
        """
        raise NotImplementedError


AnyOptimizer = Annotated[
    AdamATan2Config | AdamWConfig | MuonConfig | LionConfig | SGDConfig | NAdamConfig | RAdamConfig | ImportedOptimizer,
    Tagged("type", default="adam_atan2"),
]
"""The optimizer of a run; a file without `type` means adam_atan2."""

"""Every knob of a run, as frozen pydantic models: people write sparse YAML, machines write complete files.

Knobs keep the field's names, so that a published recipe can be typed in. Imports neither torch nor ray.
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails

from trm.console.redaction import stored
from trm.errors import ConfigError

SWIGLU_MULTIPLE = 256
MOST_WHOLE = (1 << 63) - 1
"""What tables, seeds and tensors hold."""
WHEN_WRITTEN = ("eval_every_steps", "log_every_steps", "checkpoint_every_steps", "keep_checkpoints")
"""Leaves of `training` that decide what is written down and kept, not what the weights become."""
VOTES = 32
"""Augmentations of an ARC task that vote in the evaluations of what begins now and does not say how many."""
CHANGES_WITHIN_RUN = (
    "optim.lr",
    "optim.weight_decay",
    "optim.puzzle_emb_lr",
    "optim.puzzle_emb_weight_decay",
    "optim.beta1",
    "optim.beta2",
    "optim.grad_clip",
    "optim.ema_rate",
    "model.halt_exploration_prob",
    "model.halt_max_steps",
)
"""Paths of the configuration that may change from one step to the next: they size no tensor, and neither the kind of the
optimizer, nor the cost of a step, nor the order of the data hangs on them."""


class Frozen(BaseModel):
    """Base of all configuration: unknown keys are refused, values never change, and as JSON it holds no secret of an address."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_serializer(mode="wrap", when_used="json")
    def _without_secrets(self, values: Callable[[Any], Any]) -> Any:
        """JSON is what goes into files: a configuration, a recipe, a manifest, a line of the journal."""
        return stored(values(self))


RECORDED = {"is_recorded": True}
"""pydantic's context of what this project wrote itself: rules that came later than the file do not refuse it."""


def is_recorded(info: Any) -> bool:
    """Whether what is validated was read from a file that this project wrote, by pydantic's information for validators."""
    return bool((info.context or {}).get("is_recorded"))


class Written(Frozen):
    """Base of what people write: numbers are finite, and true is no number."""

    model_config = ConfigDict(allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        if isinstance(values, dict):
            fields = cls.model_fields
            wrong = [
                InitErrorDetails(type=kind, loc=(name,), input=value)
                for name, value in values.items()
                if isinstance(value, bool) and name in fields and (kind := _number_problem(fields[name].annotation))
            ]
            wrong += [
                InitErrorDetails(type="less_than_equal", loc=(name,), input=value, ctx={"le": MOST_WHOLE})
                for name, value in values.items()
                if type(value) is int and abs(value) > MOST_WHOLE and name in fields and _is_whole(fields[name].annotation)
            ]
            if wrong:
                raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


def _is_whole(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return int in kinds and float not in kinds


def _number_problem(annotation: Any) -> str | None:
    """pydantic's name of the complaint that a value is no number; None where true and false may stand."""
    kinds = get_args(annotation) or (annotation,)
    if bool in kinds:
        return None
    return "float_type" if float in kinds else "int_type" if int in kinds else None


@dataclass(frozen=True)
class DataShape:
    """What a network must know of a data set; the bounds are for files that claim it."""

    seq_len: Annotated[int, Field(ge=1, le=1 << 24)]
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)]
    num_puzzle_identifiers: Annotated[int, Field(ge=1, le=1 << 40)]


@dataclass(frozen=True)
class DataNames:
    """What the rows of a network's tables stand for: two data sets of one shape may give them other meanings."""

    identifiers: str = ""
    """Digest of the puzzle identifiers' names, in order; empty where there is one only, or nobody knows."""
    vocabulary: tuple[str, ...] = ()
    """Names of the tokens; empty when nobody knows."""


def swiglu_width(expansion: float, width_in: int) -> int:
    """Hidden width of a SwiGLU: round(expansion * width_in * 2 / 3), rounded up to a multiple of 256."""
    return -(-round(expansion * width_in * 2 / 3) // SWIGLU_MULTIPLE) * SWIGLU_MULTIPLE


def require_divisible(global_batch_size: int, workers: int) -> None:
    """ConfigError unless the workers can share the batch evenly."""
    below = global_batch_size // workers * workers
    if below != global_batch_size:
        tries = f"{below} or {below + workers}" if below else str(workers)
        raise ConfigError(f"global batch {global_batch_size} must divide by {workers} workers", remedy=f"try {tries}")


class ModelConfig(Written):
    """The network (arXiv 2510.04871, section 4) and its halting."""

    architecture: Literal["trm"] = "trm"
    """The network family; one file in `trm/models/` each."""
    H_cycles: int = Field(3, ge=1, le=64)
    """Answer updates a supervision step; all but the last run without gradient (T in the paper)."""
    L_cycles: int = Field(6, ge=1, le=64)
    """Latent updates before each answer update (n in the paper)."""
    L_layers: int = Field(2, ge=1, le=64)
    """Blocks in the one network."""
    hidden_size: int = Field(512, ge=8, le=16384)
    """Channels of a token (D)."""
    num_heads: int = Field(8, ge=1, le=256)
    """Attention heads; without meaning when `mlp_t`."""
    expansion: float = Field(4.0, gt=0, le=64)
    """SwiGLU expansion; the width is rounded up to a multiple of 256."""
    mlp_t: bool = False
    """Mix positions with a SwiGLU across them in place of attention."""
    pos_encodings: Literal["rope", "learned", "none"] = "rope"
    """Position encodings; `none` is the rule with `mlp_t`."""
    rope_theta: float = Field(10000.0, gt=1)
    """Base of the rotary angles."""
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Added to the mean square in every norm."""
    puzzle_emb_ndim: int | None = Field(None, ge=0, le=1 << 20)
    """Values in a puzzle's own embedding row; null: `hidden_size`; 0: no puzzle embedding."""
    puzzle_emb_len: int = Field(16, ge=0, le=1024)
    """Puzzle tokens in front (P); 0: as many as `puzzle_emb_ndim` values need."""
    halt_max_steps: int = Field(16, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""
    halt_exploration_prob: float = Field(0.1, ge=0, le=1)
    """Chance, a slot and step, that a minimum number of steps is demanded before halting."""
    no_ACT_continue: bool = True
    """True: halt when q_halt > 0. False: halt when q_halt > q_continue, and learn q_continue (one more forward)."""
    forward_dtype: Literal["auto", "float32", "tf32", "bfloat16", "float64"] = "auto"
    """Type of activations; auto: bfloat16 on CUDA, float32 elsewhere. tf32 is float32 whose products CUDA may round to TF32;
    float64 holds the weights in float64 too (for checks)."""

    @property
    def puzzle_ndim(self) -> int:
        """Values in a puzzle's embedding row, `puzzle_emb_ndim` resolved."""
        return self.hidden_size if self.puzzle_emb_ndim is None else self.puzzle_emb_ndim

    @property
    def puzzle_len(self) -> int:
        """Puzzle tokens in front (P), `puzzle_emb_len` resolved."""
        return self.puzzle_emb_len or -(-self.puzzle_ndim // self.hidden_size)

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if not self.mlp_t:
            if self.hidden_size % self.num_heads:
                raise ValueError(
                    f"hidden_size must divide by num_heads: {self.hidden_size} by {self.num_heads}; "
                    f"try num_heads {math.gcd(self.hidden_size, self.num_heads)}"
                )
            if self.pos_encodings == "rope" and (self.hidden_size // self.num_heads) % 2:
                raise ValueError(
                    f"rotary encodings need an even head size: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {self.hidden_size // self.num_heads}; halve num_heads or use pos_encodings learned"
                )
        elif self.pos_encodings == "rope":
            raise ValueError(
                "mlp_t mixes positions without attention, so pos_encodings rope has no effect; set pos_encodings: none"
            )
        if self.puzzle_ndim == 0 and self.puzzle_emb_len:
            raise ValueError(f"puzzle_emb_ndim 0 goes with puzzle_emb_len 0, not {self.puzzle_emb_len}; set both to 0")
        if self.puzzle_len * self.hidden_size < self.puzzle_ndim:
            raise ValueError(
                f"puzzle_emb_len * hidden_size must hold puzzle_emb_ndim: {self.puzzle_len} * {self.hidden_size} < "
                f"{self.puzzle_ndim}; try puzzle_emb_len {-(-self.puzzle_ndim // self.hidden_size)} or 0"
            )
        return self


class OptimConfig(Written):
    """Both optimizers, the learning-rate schedule and the weight average."""

    lr: float = Field(1e-4, gt=0, le=10)
    """Peak learning rate of the backbone (AdamATan2)."""
    lr_min_ratio: float = Field(1.0, ge=0, le=1)
    """Cosine floor as a share of `lr`; 1 keeps it constant after warm-up."""
    lr_warmup_steps: int = Field(2000, ge=0)
    """Linear warm-up; step i uses lr * i / warm-up, i from 1."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of the first moment."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of the second moment."""
    weight_decay: float = Field(0.1, ge=0)
    """Decoupled weight decay of the backbone, biases and embeddings included."""
    puzzle_emb_lr: float = Field(1e-2, ge=0, le=10)
    """Peak learning rate of the puzzle embedding (sign SGD)."""
    puzzle_emb_weight_decay: float = Field(0.1, ge=0)
    """Weight decay of the rows of the puzzle embedding that a batch touches."""
    grad_clip: float | None = Field(None, gt=0)
    """Largest L2 norm of the backbone's gradient; null: no clipping."""
    ema: bool = True
    """Evaluate and export the exponential moving average of the weights."""
    ema_rate: float = Field(0.999, ge=0, lt=1)
    """Rate of the average."""
    ema_warmup: bool = False
    """Use min(ema_rate, (1 + step) / (10 + step)), so that a short run's average is not its start; sweeps set it."""


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
    loss: Literal["stablemax", "softmax"] = "stablemax"
    """Cross entropy over the vocabulary."""
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

    Off until `benchmarks/gpu.py` has passed on such a GPU."""

    @model_validator(mode="after")
    def _check(self) -> "TrainingConfig":
        given = {k: v for k in ("epochs", "steps", "train_flops") if (v := getattr(self, k)) is not None}
        if len(given) > 1:
            shown = " and ".join(f"{name} {value:g}" for name, value in given.items())
            raise ValueError(f"a run has one length, got {shown}; keep one and set the others to null")
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
    steps: int | None = Field(None, ge=1, le=4096)
    """Supervision steps a puzzle; null: halt_max_steps."""
    split: Literal["auto", "validation", "test", "none"] = "auto"
    """What a run is scored on along its way; auto: validation, or nothing where the data set has none. With nothing, the last
    weights are scored, once, on test. A run that looks at test on its way says so in every report; sweeps never do."""
    reports_halted: bool = False
    """Report beside it what the answers score that rows have when they first want to halt (`NAME_halted`); no row stops there."""

    @property
    def most_votes(self) -> int | None:
        """Augmentations of a task that vote at most; None: all."""
        return None if self.votes == "all" else self.votes


class DataConfig(Written):
    """Which data set: a recipe, built when it is missing, or the folder of a built one."""

    recipe: str | None = None
    """Path of a recipe YAML (`datasets/NAME.yaml`)."""
    folder: str | None = None
    """Folder of a built data set (holds manifest.json)."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Recipe fields to replace, for instance `path`."""
    mode: Literal["auto", "resident", "stream"] = "auto"
    """Where training rows wait: in memory, or on storage until they are needed; auto: by size, and written down for a resume."""
    shuffle_window_rows: int = Field(65536, ge=1)
    """Rows that `stream` shuffles among each other, in whole row groups; two windows are held in memory."""

    @property
    def is_streamed(self) -> bool:
        """Whether training rows come in the order of a stream."""
        return self.mode == "stream"

    def built(self, folder: str) -> "DataConfig":
        """The same data where it was built."""
        return self.model_copy(update={"recipe": None, "folder": folder, "overrides": {}})

    def order(self) -> dict[str, Any]:
        """What decides the order of training rows; `auto` that nothing resolved is resident."""
        return {"mode": "stream", "shuffle_window_rows": self.shuffle_window_rows} if self.is_streamed else {"mode": "resident"}

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if (self.recipe is None) == (self.folder is None):
            given = "neither was given" if self.recipe is None else f"got recipe {self.recipe!r} and folder {self.folder!r}"
            raise ValueError(f"data needs one of recipe and folder, {given}; give one of them")
        if self.folder is not None and self.overrides:
            raise ValueError(f"data.overrides change a recipe, but folder {self.folder!r} is built already; drop one")
        return self


class Tracking(Written):
    """Where MLflow writes."""

    enabled: bool = True
    """False: no MLflow."""
    uri: str | None = None
    """Tracking store; null: MLFLOW_TRACKING_URI, else `<storage>/mlflow.db`."""
    experiment: str | None = None
    """Experiment's name; null: the search space's name, for a run of train.py that of its data set."""
    artifact_location: str | None = None
    """Where the experiment's artifacts go; null: beside the store."""


class RunConfig(Written):
    """One complete run: what train.py takes, what a trial is."""

    data: DataConfig
    """The puzzles."""
    model: ModelConfig = ModelConfig()
    """The network."""
    optim: OptimConfig = OptimConfig()
    """The optimizers."""
    training: TrainingConfig = TrainingConfig()
    """The loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """The scoring."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Seeds weights, data order, augmentation and exploration."""
    tracking: Tracking = Field(Tracking(), exclude=True)
    """Where MLflow writes a run of train.py: no part of what the run is, and in none of the files that it leaves."""

    @model_validator(mode="after")
    def _check(self) -> "RunConfig":
        t = self.training
        if t.epochs is None and t.steps is None and t.train_flops is None:
            raise ValueError("a run needs a length; set one of training.epochs, training.steps, training.train_flops")
        if t.kernels == "fused" and (t.compile or self.model.forward_dtype not in ("auto", "float32")):
            compiled = f" and training.compile {str(t.compile).lower()}" if t.compile else ""
            raise ValueError(
                f"training.kernels fused computes in float32 and is not compiled, got model.forward_dtype "
                f"{self.model.forward_dtype}{compiled}; set training.kernels: auto"
            )
        return self

    def network_digest(self) -> str:
        """Digest of what decides the run's result: equal for two configurations that are the same run.

        The FFN width is rounded to 256, so several `expansion` are one network; `num_heads` and `rope_theta` mean nothing
        with `mlp_t`; puzzle_emb defaults are resolved. The seed counts, so a replicate on another seed differs.
        """
        values = self.model_dump(mode="json")
        model, data = values["model"], values["data"]
        for key in ("mode", "shuffle_window_rows"):
            data.pop(key)
        if self.data.is_streamed:
            data |= self.data.order()
        model["puzzle_emb_ndim"], model["puzzle_emb_len"] = self.model.puzzle_ndim, self.model.puzzle_len
        model["expansion"] = swiglu_width(self.model.expansion, self.model.hidden_size)
        if self.model.mlp_t:
            model["num_heads"] = 0
        if self.model.pos_encodings != "rope":
            model["rope_theta"] = 0
        if self.model.puzzle_ndim == 0:
            values["optim"]["puzzle_emb_lr"] = values["optim"]["puzzle_emb_weight_decay"] = 0
        if not self.optim.ema:
            values["optim"]["ema_rate"] = values["optim"]["ema_warmup"] = 0
        for key in (*WHEN_WRITTEN, "cuda_graph", "kernels"):
            values["training"].pop(key)
        for key in ("reports_halted", "split"):
            values["evaluation"].pop(key)
        if self.evaluation.most_votes is None:  # as before there was a number
            values["evaluation"].pop("votes")
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

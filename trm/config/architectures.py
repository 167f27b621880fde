"""Networks: the fields of each architecture, and what a network must know of a data set."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from trm.config.base import Later, Written
from trm.config.halting import LOCKSTEP, Halting, act
from trm.config.recursion import (
    HIGH,
    LOW,
    QUESTION,
    Call,
    Gradient,
    Latent,
    Recursion,
    hrm,
    one_call,
    several_latents,
    single_z,
    trm,
)
from trm.config.unions import Imported

if TYPE_CHECKING:
    import torch

    from trm.models.arithmetic import RowCost, TensorSizes
    from trm.models.network import Network

SWIGLU_MULTIPLE = 256
WIDEST = 16384
Activation = Literal["silu", "gelu", "relu", "relu2"]


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


def named_values(fields: Mapping[str, Any]) -> str:
    """Fields by their paths, and their values, as a message names them."""
    return " and ".join(f"{path} {value}" for path, value in fields.items())


class ModelConfig(Written):
    """What every network has: its width, its puzzle tokens, halting, and the type it computes in."""

    HAS_MATRICES: ClassVar[bool] = True
    """Whether its blocks have weights of two axes, which Muon updates."""

    architecture: str
    """The network family."""
    hidden_size: int = Field(512, ge=8, le=16384)
    """Channels of a token (D)."""
    puzzle_emb_ndim: int | None = Field(None, ge=0, le=1 << 20)
    """Values in a puzzle's own embedding row; null: `hidden_size`; 0: no puzzle embedding."""
    puzzle_emb_len: int = Field(16, ge=0, le=1024)
    """Puzzle tokens in front (P); 0: as many as `puzzle_emb_ndim` values need."""
    halt_max_steps: int = Field(16, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""
    halt_exploration_prob: float = Field(0.1, ge=0, le=1)
    """Chance, a slot and step, that a minimum number of steps is demanded before halting."""
    forward_dtype: Literal["auto", "float32", "tf32", "bfloat16", "float64"] = "auto"
    """Type of activations; auto: bfloat16 on CUDA, float32 elsewhere. tf32 is float32 whose products CUDA may round to TF32;
    float64 holds the weights in float64 too (for checks)."""

    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"architecture": ()}
    """Values of fields that the CPU's kernels do (`trm.kernels`); others go plain. Fields not named are done whatever they say."""

    @property
    def unfused(self) -> dict[str, Any]:
        """What of the network the CPU's kernels do not do: paths of fields and their values; empty where they do all of it."""
        return {f"model.{name}": value for name, done in self.FUSED_VALUES.items() if (value := getattr(self, name)) not in done}

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned; of a network that says nothing else, by q_halt alone."""
        return act(compares=False)

    @property
    def draws_in_training(self) -> bool:
        """Whether the network draws in a training step: if so, it is handed `trm.models.network.Draws`."""
        return False

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether the network draws where it is evaluated."""
        return False

    @property
    def draws_starts(self) -> bool:
        """Whether the latents that a puzzle starts from are drawn for it."""
        return False

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes; of a network that says nothing else, one call."""
        return one_call()

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return 1

    @property
    def effective_depth(self) -> int:
        """Blocks that a row passes in one supervision step (arXiv 2510.04871, section 4): H (L + 1) L_layers for trm."""
        return sum(self.layers_of(call.network) for call in self.recursion.calls)

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self

    @property
    def cycles(self) -> tuple[int, int] | None:
        """H_cycles and L_cycles; None of a network that has none."""
        found = getattr(self, "H_cycles", None), getattr(self, "L_cycles", None)
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def with_cycles(self, H_cycles: int, L_cycles: int) -> "ModelConfig":
        """The network with other cycles, its weights the same; pydantic's ValidationError where its other fields forbid that."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**values, "H_cycles": H_cycles, "L_cycles": L_cycles})

    @property
    def puzzle_ndim(self) -> int:
        """Values in a puzzle's embedding row, `puzzle_emb_ndim` resolved."""
        return self.hidden_size if self.puzzle_emb_ndim is None else self.puzzle_emb_ndim

    @property
    def puzzle_len(self) -> int:
        """Puzzle tokens in front (P), `puzzle_emb_len` resolved."""
        return self.puzzle_emb_len or -(-self.puzzle_ndim // self.hidden_size)

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: defaults resolved, what has no effect left out or zero."""
        resolved = {"puzzle_emb_ndim": self.puzzle_ndim, "puzzle_emb_len": self.puzzle_len}
        return self.model_dump(mode="json") | resolved

    @model_validator(mode="after")
    def _check_puzzle_tokens(self) -> "ModelConfig":
        if self.puzzle_ndim == 0 and self.puzzle_emb_len:
            raise ValueError(f"puzzle_emb_ndim 0 goes with puzzle_emb_len 0, not {self.puzzle_emb_len}; set both to 0")
        if self.puzzle_len * self.hidden_size < self.puzzle_ndim:
            raise ValueError(
                f"puzzle_emb_len * hidden_size must hold puzzle_emb_ndim: {self.puzzle_len} * {self.hidden_size} < "
                f"{self.puzzle_ndim}; try puzzle_emb_len {-(-self.puzzle_ndim // self.hidden_size)} or 0"
            )
        return self


class MayLearnContinue(ModelConfig):
    """A network that halts by q_halt alone or by the pair, as one chooses."""

    no_ACT_continue: bool = True
    """True: halt when q_halt > 0. False: halt when q_halt > q_continue, and learn q_continue (one more forward)."""

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned."""
        return act(compares=not self.no_ACT_continue)


class RecursiveConfig(ModelConfig):
    """Fields of the blocks that a recursion calls, whatever it is (arXiv 2510.04871, section 4)."""

    HEADS_DIVIDE: ClassVar[bool] = True
    """Whether `num_heads` must divide `hidden_size`; else attention is `num_heads * (hidden_size // num_heads)` wide."""
    FUSED_VALUES: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    num_heads: int = Field(8, ge=1, le=256)
    """Attention heads; without meaning when `mlp_t`."""
    expansion: float = Field(4.0, gt=0, le=64)
    """SwiGLU expansion; the width is rounded up to a multiple of 256."""
    mlp_t: bool = False
    """Mix positions with a SwiGLU across them in place of attention."""
    pos_encodings: Literal["rope", "rope2d", "learned", "none"] = "rope"
    """Position encodings; rope2d turns half the channels by a cell's row, half by its column; `none` is the rule with `mlp_t`."""
    rope_theta: float = Field(10000.0, gt=1)
    """Base of the rotary angles."""
    rms_norm_eps: float = Field(1e-5, gt=0, lt=1)
    """Added to the mean square in every norm."""
    halt_bias: Annotated[float, Later] = Field(-5.0, ge=-100, le=100)
    """What the halting head's two biases start from, its weights from 0: at -5 no puzzle wants to halt at first; -3 starts deep
    (nano-trm)."""
    ffn: Annotated[Literal["swiglu", "conv_swiglu", "normed_swiglu"], Later] = "swiglu"
    """swiglu: act(gate) * up. conv_swiglu: then a short convolution along the tokens and act again (arXiv 2512.14693, URM).
    normed_swiglu: sigmoid(gate) * norm(gate * up), for Muon (jvdillon/sic), across positions too where `mlp_t`."""
    activation: Annotated[Activation, Later] = "silu"
    """Activation of the gates (act); gelu by a hyperbolic tangent, relu2 the square of relu. A normed SwiGLU has silu's."""
    conv_kernel: Annotated[int, Field(ge=1, le=15), Later] = 2
    """Tokens that the convolution of conv_swiglu sees: 2 are a token and the one before, as published."""
    grid_width: Annotated[int | None, Field(ge=1, le=4096), Later] = None
    """Cells in a row of the puzzle, for rope2d; null: the puzzle is a square."""
    dropout: Annotated[float, Later] = Field(0.0, ge=0, lt=1)
    """Chance that a channel of a token is zeroed after a block, in every call, the others scaled up; in training only."""
    path_noise: Annotated[float, Later] = Field(0.0, ge=0, le=10)
    """Standard deviation of normal noise that a latent is given after every call that updates it (EqR, arXiv 2605.21488: 0.01)."""
    path_noise_in: Annotated[Literal["training", "always"], Later] = "training"
    """Where there is path noise: in training only, or in evaluation too, as in EqR's code."""
    relaxation: Annotated[float, Later] = Field(1.0, gt=0, le=1)
    """Share b of what a call says in the latent that it updates: z = (1 - b) z + b f(...) (EqR: 0.95); 1: z = f(...)."""
    initial_latents: Annotated[Literal["fixed", "random"], Later] = "fixed"
    """What a puzzle starts from: one vector a latent, the same in every place (arXiv 2510.04871); or a normal cut at 2 sigma in
    every place, drawn for each puzzle anew, in evaluation too (EqR)."""

    @property
    def draws_in_training(self) -> bool:
        """Whether the network draws in a training step."""
        return self.dropout > 0 or self.path_noise > 0 or self.draws_starts

    @property
    def draws_in_evaluation(self) -> bool:
        """Whether the network draws where it is evaluated."""
        return self.draws_starts or (self.path_noise > 0 and self.path_noise_in == "always")

    @property
    def draws_starts(self) -> bool:
        """Whether the latents that a puzzle starts from are drawn for it."""
        return self.initial_latents == "random"

    @property
    def head_size(self) -> int:
        """Channels of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def attention_width(self) -> int:
        """Channels of all heads together: `hidden_size` where the heads divide it."""
        return self.num_heads * self.head_size

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network.

        The FFN width is rounded to 256, so several `expansion` are one network; `num_heads` and `rope_theta` mean nothing
        with `mlp_t`.
        """
        values = super().deciding_values() | {"expansion": swiglu_width(self.expansion, self.hidden_size)}
        if self.mlp_t:
            values["num_heads"] = 0
        if self.pos_encodings not in ("rope", "rope2d"):
            values["rope_theta"] = 0
        for name, is_used in (("conv_kernel", self.ffn == "conv_swiglu"), ("grid_width", self.pos_encodings == "rope2d")):
            if not is_used:
                values.pop(name)
        if self.path_noise == 0:
            values.pop("path_noise_in")
        return values

    @model_validator(mode="after")
    def _check_halting(self) -> "RecursiveConfig":
        if self.halt_bias != type(self).model_fields["halt_bias"].default and not self.halting.learns_halt:
            raise ValueError(
                f"halt_bias {self.halt_bias:g} means nothing for answers_after every_cycle, which has no halting head; "
                f"leave it out, or set answers_after: last_cycle"
            )
        return self

    @model_validator(mode="after")
    def _check_blocks(self) -> "RecursiveConfig":
        if not self.mlp_t:
            if self.num_heads > self.hidden_size or (self.HEADS_DIVIDE and self.hidden_size % self.num_heads):
                raise ValueError(
                    f"hidden_size must divide by num_heads: {self.hidden_size} by {self.num_heads}; "
                    f"try num_heads {math.gcd(self.hidden_size, self.num_heads)}"
                )
            if self.pos_encodings == "rope" and self.head_size % 2:
                raise ValueError(
                    f"rotary encodings need an even head size: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {self.head_size}; halve num_heads or use pos_encodings learned"
                )
            if self.pos_encodings == "rope2d" and self.head_size % 4:
                raise ValueError(
                    f"pos_encodings rope2d needs a head size that divides by 4: hidden_size {self.hidden_size} / num_heads "
                    f"{self.num_heads} is {self.head_size}; take fewer heads or pos_encodings rope"
                )
        elif self.pos_encodings in ("rope", "rope2d"):
            raise ValueError(
                f"mlp_t mixes positions without attention, so pos_encodings {self.pos_encodings} has no effect; "
                f"set pos_encodings: none"
            )
        if self.ffn == "normed_swiglu" and self.activation != "silu":
            raise ValueError(
                f"ffn normed_swiglu has the gate of silu, got activation {self.activation}; set activation: silu or another ffn"
            )
        return self


class TinyConfig(RecursiveConfig, MayLearnContinue):
    """Fields of the tiny recursive models and their ablations (arXiv 2510.04871, section 5)."""

    H_cycles: int = Field(3, ge=1, le=64)
    """Answer updates a supervision step; all but the last run without gradient (T in the paper)."""
    L_cycles: int = Field(6, ge=1, le=64)
    """Latent updates before each answer update (n in the paper)."""
    L_layers: int = Field(2, ge=1, le=64)
    """Blocks in the one network, or in each of two."""
    networks: Annotated[Literal["shared", "separate"], Later] = "shared"
    """One network for latents and answer, or two, one that updates the answer at the end of a cycle and one for the other
    calls (82.4 against 87.4 %, arXiv 2510.04871, table 1)."""
    gradient: Annotated[Gradient, Later] = "last_cycle"
    """Calls that are differentiated: `last_call`; `one_step`, the last update of each latent; `last_cycle`; a number, so many
    last cycles (all, where there are fewer); `all`."""
    answers_after: Annotated[Literal["last_cycle", "every_cycle"], Later] = "last_cycle"
    """When the head is read. every_cycle: after each H cycle, which has a gradient of its own; then there is no halting head."""

    @property
    def halting(self) -> Halting:
        """When its slots halt, and what of its halting pair is learned."""
        return LOCKSTEP if self.answers_after == "every_cycle" else super().halting

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        raise NotImplementedError

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        recursion = self.own_recursion
        if self.networks == "separate":
            recursion = recursion.with_networks(LOW, HIGH)
        if self.answers_after == "every_cycle":
            return recursion.answering_every_cycle()
        return recursion.differentiating(self.gradient)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.L_layers

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self.model_copy(update={"H_cycles": 1, "L_cycles": 1})

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: several `gradient` differentiate the same calls."""
        values = super().deciding_values()
        if self.recursion.differentiated_calls == len(self.recursion.cycle):
            values.pop("gradient")
        else:
            values["gradient"] = self.recursion.differentiated_calls
        if not self.halting.stops_training:
            values["halt_exploration_prob"] = 0
        return values

    @model_validator(mode="after")
    def _check_answers(self) -> "TinyConfig":
        if isinstance(self.gradient, int) and self.gradient < 1:
            raise ValueError(f"gradient must be at least 1 cycle, got {self.gradient}; set 1, or last_call for less than a cycle")
        if self.answers_after == "every_cycle":
            if self.gradient != "last_cycle":
                raise ValueError(
                    f"answers_after every_cycle gives each cycle a gradient of its own, and gradient {self.gradient} means nothing "
                    f"there; set gradient: last_cycle or answers_after: last_cycle"
                )
            if not self.no_ACT_continue:
                raise ValueError(
                    "answers_after every_cycle has no halting head, and no_ACT_continue false means nothing there; set "
                    "no_ACT_continue: true or answers_after: last_cycle"
                )
        return self


class TrmConfig(TinyConfig):
    """The Tiny Recursive Model: an answer and a latent (arXiv 2510.04871, Figure 3)."""

    architecture: Literal["trm"] = "trm"
    """The network family."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return trm(self.H_cycles, self.L_cycles)


class SingleZConfig(TinyConfig):
    """One latent that is the answer too (an ablation of arXiv 2510.04871)."""

    architecture: Literal["single_z"] = "single_z"
    """The network family."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return single_z(self.H_cycles, self.L_cycles)


class LatentsConfig(TinyConfig):
    """An answer and several latents that are updated in turn (an ablation of arXiv 2510.04871)."""

    architecture: Literal["latents"] = "latents"
    """The network family."""
    num_latents: int = Field(6, ge=1, le=32)
    """Latents beside the answer; latent l mod `num_latents` is updated at inner step l, and each counts in every sum."""

    @property
    def own_recursion(self) -> Recursion:
        """The published recursion, the last H cycle differentiated."""
        return several_latents(self.num_latents, self.H_cycles, self.L_cycles)


class HrmConfig(RecursiveConfig):
    """The Hierarchical Reasoning Model: a low network and a high one, one step of each differentiated (arXiv 2506.21734)."""

    architecture: Literal["hrm"] = "hrm"
    """The network family."""
    puzzle_emb_len: int = Field(0, ge=0, le=1024)
    """Puzzle tokens in front (P); 0, as published: as many as `puzzle_emb_ndim` values need."""
    H_cycles: int = Field(2, ge=1, le=64)
    """Updates of the high latent, which is the answer, a supervision step (N in the paper)."""
    L_cycles: int = Field(2, ge=1, le=64)
    """Updates of the low latent before each of the high one (T in the paper)."""
    H_layers: int = Field(4, ge=1, le=64)
    """Blocks in the high network."""
    L_layers: int = Field(4, ge=1, le=64)
    """Blocks in the low network."""

    @property
    def halting(self) -> Halting:
        """By the pair, q_continue always learned; with a single step there is nothing to go on to, and nothing of it to learn."""
        return act(compares=True, learns_continue=self.halt_max_steps > 1)

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return hrm(self.H_cycles, self.L_cycles)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.H_layers if network == HIGH else self.L_layers

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self.model_copy(update={"H_cycles": 1, "L_cycles": 1})


class TransformerConfig(RecursiveConfig):
    """A transformer that is called once a supervision step (the baseline of arXiv 2510.04871's code)."""

    HEADS_DIVIDE: ClassVar[bool] = False

    architecture: Literal["transformer"] = "transformer"
    """The network family."""
    puzzle_emb_len: int = Field(0, ge=0, le=1024)
    """Puzzle tokens in front (P); 0, as published: as many as `puzzle_emb_ndim` values need."""
    H_layers: int = Field(8, ge=1, le=64)
    """Blocks in the network."""
    act_enabled: bool = True
    """Whether slots halt in training, when q_halt > q_continue; q_continue is never trained."""
    act_inference: bool = False
    """Whether an evaluation takes each row's answer when q_halt > q_continue."""

    @property
    def halting(self) -> Halting:
        """By the pair, of which q_halt alone is learned."""
        return Halting("q_halt > q_continue", stops_training=self.act_enabled, stops_evaluation=self.act_inference)

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return one_call(HIGH)

    def layers_of(self, network: str) -> int:
        """Blocks in a network that the recursion calls."""
        return self.H_layers

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: without halts nothing is explored."""
        values = super().deciding_values()
        if not self.halting.stops_training:
            values["halt_exploration_prob"] = 0
        return values


class DirectConfig(RecursiveConfig):
    """A transformer that is called once on a puzzle (a baseline)."""

    architecture: Literal["direct"] = "direct"
    """The network family."""
    layers: int = Field(3, ge=1, le=64)
    """Blocks in the network."""
    halt_max_steps: int = Field(1, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot: with one, nothing is called again."""

    @property
    def halting(self) -> Halting:
        """Never before `halt_max_steps`."""
        return LOCKSTEP

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes."""
        return one_call()

    def layers_of(self, network: str) -> int:
        """Blocks in the network."""
        return self.layers

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: nothing is explored."""
        return super().deciding_values() | {"halt_exploration_prob": 0}


class GridConfig(ModelConfig):
    """Fields of the baselines that see a puzzle as a grid: no halting head, puzzle tokens summed and added to every cell."""

    grid_width: int | None = Field(None, ge=1, le=4096)
    """Cells in a row of the puzzle, for convolutions; null: the puzzle is a square."""

    @property
    def halting(self) -> Halting:
        """Never before `halt_max_steps`."""
        return LOCKSTEP

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: nothing is explored."""
        return super().deciding_values() | {"halt_exploration_prob": 0}


def _as_text(value: Any) -> Any:
    """A list, or a number alone, as text: `32-64-64`."""
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value) if type(value) is int else value


def _of_numbers(value: str) -> str:
    if not all(part.isdecimal() and 1 <= int(part) <= WIDEST for part in value.split("-") if value):
        raise ValueError(f"widths are numbers from 1 to {WIDEST} with - between them, got {value!r}; write for instance 32-64-64")
    return value


class CnnConfig(GridConfig):
    """Convolutions of 3 by 3, once through (a baseline; acharyaanusha's 3-32-64-64-32-2 has 74,850 parameters)."""

    HAS_MATRICES: ClassVar[bool] = False

    architecture: Literal["cnn"] = "cnn"
    """The network family."""
    hidden_size: int = Field(32, ge=8, le=WIDEST)
    """Channels after the last convolution, which the answer is read from (D)."""
    widths: Annotated[str, BeforeValidator(_as_text), AfterValidator(_of_numbers)] = Field("32-64-64", max_length=400)
    """Channels after each convolution before the last, as text, so that a knob may have it: 32-64-64; a list is taken too."""
    halt_max_steps: int = Field(1, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot; nothing is carried from one to the next."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each convolution."""
        return (*(int(width) for width in self.widths.split("-") if width), self.hidden_size)

    def layers_of(self, network: str) -> int:
        """Convolutions."""
        return len(self.channels)


class CellMlpConfig(GridConfig):
    """A recursion on each cell by itself (a baseline of acharyaanusha: 28,258 parameters at 3 tokens and 2 classes)."""

    architecture: Literal["cell_mlp"] = "cell_mlp"
    """The network family."""
    hidden_size: int = Field(64, ge=8, le=16384)
    """Channels of a cell's latent (D); its question has half as many, its last answer a quarter, the MLP twice as many."""
    convolutions: Literal[0, 2] = 0
    """Convolutions that make a cell's question; 0: its token alone, so that no cell sees another. With 2 and D 32: 9,922
    parameters."""
    L_cycles: int = Field(4, ge=1, le=64)
    """Latent updates before each answer update."""
    halt_max_steps: int = Field(6, ge=1, le=1024)
    """Supervision steps that a puzzle may stay in its slot."""

    @property
    def question_size(self) -> int:
        """Channels of a cell's question."""
        return self.hidden_size // 2

    @property
    def answer_size(self) -> int:
        """Channels of a cell's last answer."""
        return self.hidden_size // 4

    @property
    def recursion(self) -> Recursion:
        """What one supervision step computes: the last update of the latent and that of the answer are differentiated."""
        cycle = (Call("z", ("y", QUESTION, "z")),) * self.L_cycles + (Call("y", ("z", "y")),)
        return Recursion((Latent("y", "y_init"), Latent("z", "z_init")), cycle, 1, 2)

    def shallowest(self) -> "ModelConfig":
        """The network with as little recursion as it can have: as wide, and soon timed."""
        return self.model_copy(update={"L_cycles": 1})

    def deciding_values(self) -> dict[str, Any]:
        """Fields as JSON, set alike where they make the same network: without convolutions there are no rows."""
        values = super().deciding_values()
        if not self.convolutions:
            values["grid_width"] = None
        return values

    @model_validator(mode="after")
    def _check_width(self) -> "CellMlpConfig":
        if self.hidden_size % 4:
            raise ValueError(
                f"cell_mlp needs a hidden_size that divides by 4, got {self.hidden_size}; try {self.hidden_size // 4 * 4}"
            )
        return self


class ImportedNetwork(MayLearnContinue, Imported):
    """Base of networks in a person's own module: fields with bounds, `architecture` a literal, and what their contract asks."""

    TAG: ClassVar[str] = "architecture"
    METHODS: ClassVar[tuple[str, ...]] = ("build", "tensor_sizes", "row_cost")

    @classmethod
    def built_in(cls) -> tuple[Any, ...]:
        """The networks that need no import."""
        return TrmConfig, SingleZConfig, LatentsConfig, HrmConfig, TransformerConfig, DirectConfig, CnnConfig, CellMlpConfig

    def build(self, shape: DataShape, *, dtype: "torch.dtype", generator: "torch.Generator | None") -> "Network":
        """The network, its weights drawn from `generator` alone (without one: of seed 0); see `trm.models.network.Network`."""
        raise NotImplementedError

    def tensor_sizes(self, shape: DataShape) -> "TensorSizes":
        """Shape of every trained parameter and saved buffer, by arithmetic: the search asks before anything is built."""
        raise NotImplementedError

    def row_cost(self, shape: DataShape) -> "RowCost":
        """What one row costs in one supervision step, by arithmetic."""
        raise NotImplementedError


AnyNetwork = (
    TrmConfig
    | SingleZConfig
    | LatentsConfig
    | HrmConfig
    | TransformerConfig
    | DirectConfig
    | CnnConfig
    | CellMlpConfig
    | ImportedNetwork
)
"""The network of a run."""
